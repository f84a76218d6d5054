"""A slot: one place on this machine for a worker process, which may be killed and filled again.

The process has its own session and log, is fed through its standard input and heard through a private pipe, and lives
by a second one: it is gone, with whatever it started, as soon as its parent is.
"""

import contextlib
import os
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import machine
from bench.work import Work
from bench.worker import Event


@dataclass(kw_only=True)
class Slot:
    """One place for a worker, and what that does now."""

    gpus: str | None = None  # those of its own, as CUDA_VISIBLE_DEVICES names them; None: there are none here
    log: Path = Path(os.devnull)
    process: subprocess.Popen[bytes] | None = None
    events: int = -1  # our end of the pipe that the worker speaks on
    alive: int = -1  # our end of the pipe that it lives by
    heard: bytes = b""  # the beginning of an event
    work: Work | None = None
    attempt: str = ""  # of the work, once the worker began it
    began: float = 0.0  # then, by the monotonic clock, in seconds
    too_long: bool = False  # it was killed for that
    out_of_memory: int = 0  # processes that the kernel had ended for want of memory when this one started


def start(slot: Slot, store: Path) -> None:
    """Fill a slot with a worker, in a fixed folder so that nothing lying about where we are is imported."""
    slot.events, says = os.pipe()
    lives, slot.alive = os.pipe()
    os.set_blocking(slot.events, False)
    slot.heard = b""
    slot.out_of_memory = out_of_memory()
    command = [sys.executable, "-P", "-m", "bench.worker", "--store", str(store)]
    with slot.log.open("ab") as log:
        slot.process = subprocess.Popen(
            [*command, "--events-fd", str(says), "--alive-fd", str(lives)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=store,
            env=environment(slot.gpus),
            pass_fds=(says, lives),
            start_new_session=True,
        )
    os.close(says)
    os.close(lives)


def send(slot: Slot, work: Work) -> None:
    """Give a running worker something to do."""
    assert slot.process is not None
    assert slot.process.stdin is not None
    slot.work, slot.attempt, slot.too_long = work, "", False
    with contextlib.suppress(BrokenPipeError):  # it has just died, which is seen by its end and not here
        slot.process.stdin.write(msgspec.json.encode(work) + b"\n")


def hear(slot: Slot) -> list[Event] | None:
    """What a worker has said since the last time, without waiting; None: it will say nothing more."""
    try:
        said = os.read(slot.events, 1 << 16)
    except BlockingIOError:
        return []
    if not said:
        return None
    *lines, slot.heard = (slot.heard + said).split(b"\n")
    return [msgspec.json.decode(line, type=Event) for line in lines]


def has_ended(slot: Slot) -> bool:
    """Whether the worker ended. It is not reaped: the number of its group stays taken until the group was killed."""
    assert slot.process is not None
    try:
        return os.waitid(os.P_PID, slot.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else has asked for it: a parent that ignores SIGCHLD, whose ways are inherited
        return True


def kill(slot: Slot) -> None:
    """End a worker and all that it started, at once."""
    assert slot.process is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(slot.process.pid, signal.SIGKILL)


def out_of_memory() -> int:
    """How many processes of this machine the kernel has ended for want of memory, a control group's or its own."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def clear(slot: Slot) -> int:
    """Empty a slot: nothing of its worker is left. Its exit code, or minus the signal that ended it."""
    assert slot.process is not None
    assert slot.process.stdin is not None
    kill(slot)
    code = slot.process.wait()
    with contextlib.suppress(BrokenPipeError):
        slot.process.stdin.close()
    os.close(slot.events)
    os.close(slot.alive)
    slot.process = None
    return code


def end(slots: Iterable[Slot], *, interrupt: bool, grace_s: float) -> None:
    """Empty all slots: idle workers end with their input, interrupted ones save what they can, late ones are killed."""
    filled = [slot for slot in slots if slot.process is not None]
    try:
        for slot in filled:
            assert slot.process is not None
            assert slot.process.stdin is not None
            slot.process.stdin.close()
            if interrupt:
                slot.process.terminate()
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and not all(has_ended(slot) for slot in filled):
            time.sleep(0.01)
    finally:  # a second Ctrl-C does not wait
        for slot in filled:
            clear(slot)


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may be in a slot: the devices that this process may use, else those of the driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not machine.gpus():
        return []
    if visible is None:
        return [str(index) for index in range(len(machine.gpus()))]
    return [device.strip() for device in visible.split(",") if device.strip()]


def places(workers: int, each: int) -> list[str | None]:
    """The GPUs of each slot, where a trial may have `each` processes: so many, and no more slots than such groups.

    Where a slot has one GPU, several may share it; where there are none, as many processes in all as there are
    workers.
    """
    devices = gpus()
    if not devices:
        return [None] * max(1, workers // each)
    groups = [",".join(devices[first : first + each]) for first in range(0, len(devices) - each + 1, each)]
    count = workers if each == 1 else min(workers, len(groups))
    return [groups[index % len(groups)] for index in range(max(1, count))]


def environment(gpus: str | None) -> dict[str, str]:
    """A worker's environment: ours, with paths that stay true in its folder, one thread, and its GPUs."""
    root = Path(__file__).resolve().parents[1]
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root not in map(Path, site.getsitepackages()):  # a checkout: the worker runs the code that its parent runs
        paths.insert(0, str(root))
    settings = {
        **dict.fromkeys(machine.THREAD_SETTINGS, "1"),
        "PYTHONPATH": os.pathsep.join(paths),
        "VITAB_DATA": str(Path(os.environ.get("VITAB_DATA", "data")).absolute()),
    }
    if gpus is not None:
        settings |= {"CUDA_VISIBLE_DEVICES": gpus, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # numbered as by nvidia-smi
    return {**os.environ, **settings}
