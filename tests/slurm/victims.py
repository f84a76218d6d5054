"""Processes of sweeps and of nodes: found, to be killed or held up."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

AGAIN_S = 0.05
"""Slurm wakes what it signals: whoever is to stay stopped is stopped over and over."""


def of_sweep(folder: Path, module: str, node: str | None = None) -> list[int]:
    """Processes of the sweep in a folder that run one of our modules, of all nodes or of one."""
    return [
        pid
        for pid, words, variables in _all()
        if module.encode() in words
        and any(str(folder).encode() in word for word in words)
        and b"srun" not in words[0]
        and (node is None or f"SLURMD_NODENAME={node}".encode() in variables)
    ]


def of_node(configuration: Path, node: str) -> list[int]:
    """Every process of a cluster's jobs on a node, Slurm's own first: one that lives tells how the others ended."""
    slurms = f"slurmstepd: [{node}".encode()
    found = [
        (not words[0].startswith(slurms), pid)
        for pid, words, variables in _all()
        if f"SLURM_CONF={configuration}".encode() in variables
        and (f"SLURMD_NODENAME={node}".encode() in variables or words[0].startswith(slurms))
    ]
    return [pid for _, pid in sorted(found)]


def _all() -> Iterator[tuple[int, list[bytes], list[bytes]]]:
    """Number, command line and environment of what runs here."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                yield int(entry.name), words, (entry / "environ").read_bytes().split(b"\0")


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def held(pids: list[int]) -> Iterator[None]:
    """Processes do nothing while this lasts."""
    over = threading.Event()

    def hold() -> None:
        while not over.wait(AGAIN_S):
            signal_all(pids, signal.SIGSTOP)

    signal_all(pids, signal.SIGSTOP)
    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()
        signal_all(pids, signal.SIGCONT)


def is_told_to_go(pid: int) -> bool:
    """Whether a process has a SIGTERM that waits for it, or is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    (pending,) = (int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:"))
    return bool(pending >> (signal.SIGTERM - 1) & 1)
