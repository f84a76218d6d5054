"""Starting the other processes of a training, and what becomes of them.

The first process opens a store of torch's, says there what is trained, starts its neighbours on this machine
(`python -m bench.train.peer`) and waits until all have come. In a job of several nodes `VITAB_NODES` says how many
there are and `VITAB_MEETING` (host:port) where their processes meet; each node starts its own then.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from bench import slot
from bench.errors import Diverged, Interrupted, Invalid, Needs, UserError
from bench.train import ranks
from bench.train.ranks import ALONE, Ranks
from bench.trial import Frozen, Trial

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from bench.attempt import Watch
    from bench.subject import Subject

COMING_S = 600.0
"""How long the first process waits for the others: they import torch and read a file system that may be slow."""

SILENT_S = 1800.0
"""How long a process waits for what another one sends: the first evaluates between two epochs."""

LEAVING_S = 10.0
"""For a process to end by itself after the last step, or to be seen dead after its connection broke."""

TASK, PROBLEM = "task", "problem"

TOLD = 1
"""The exit code of a process that said what its problem was."""


class Task(Frozen):
    """What the first process says to the others."""

    trial: Trial
    store: str
    folder: str  # of the weights
    device: str


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Where processes meet, and over how many nodes they are spread."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    nodes: int = 1


def meeting() -> Meeting:
    """What the environment says; this machine alone where it says nothing."""
    host, _, port = os.environ.get("VITAB_MEETING", "").rpartition(":")
    return Meeting(host=host, port=int(port), nodes=int(os.environ.get("VITAB_NODES", "1"))) if host else Meeting()


@contextmanager
def together(trial: Trial, subject: "Subject", watch: "Watch") -> Iterator[Ranks]:
    """All processes of a training, of which this is the first. They end with it, and it with any of them.

    Raises RuntimeError, in one line that names the process, where one of them died.
    """
    count, place = trial.execution.processes, meeting()
    if count == 1:
        yield ALONE
        return
    ranks.check(trial)
    if count % place.nodes:
        raise Invalid(f"{count} processes do not spread evenly over {place.nodes} nodes")
    gpus = _gpus(count // place.nodes) if subject.device == "cuda" else [None] * (count // place.nodes)
    if place.nodes == 1:
        by_loopback()
    store, port = _opened(place)
    folder = str(subject.weights_folder)
    task = Task(trial=trial, store=str(subject.store), folder=folder, device=subject.device)
    store.set(TASK, msgspec.json.encode(task).decode())
    with peers(list(enumerate(gpus))[1:], host=place.host, port=port) as started:
        try:
            _await(store, started, count, watch)
            with ranks.joined(Ranks(count=count), store, subject.device, SILENT_S) as mine:
                yield mine
        except (UserError, Diverged):
            raise
        except Exception as problem:
            broken = any(library in str(problem).lower() for library in ("gloo", "nccl"))
            why = _why(store, started, count, patience_s=LEAVING_S if broken else 0.0)
            if why is None and broken and place.nodes > 1:
                why = f"the connection to another of the {count} processes broke; the logs of the job's nodes say more"
            if why is None:
                raise
            raise RuntimeError(why) from problem


def by_loopback() -> None:
    """Let gloo find its neighbours on this machine without asking what the machine's name stands for."""
    if "lo" in (name for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _gpus(count: int) -> list[str | None]:
    """Devices of the processes of this machine: the worker's own first. Raises Needs where there are too few."""
    known = [name for name in os.environ.get("VITAB_GPUS", "").split(",") if name] or slot.gpus()
    own = os.environ.get("CUDA_VISIBLE_DEVICES", known[0] if known else "").split(",")[0]
    if len(known) < count:
        raise Needs(f"{count} GPUs, one a process; {len(known)} here")
    first = known.index(own) if own in known else 0
    return [known[(first + number) % len(known)] for number in range(count)]


def _opened(place: Meeting) -> "tuple[Store, int]":
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # exported under a condition

    store = TCPStore(
        place.host, place.port, is_master=True, timeout=timedelta(seconds=COMING_S), wait_for_workers=False
    )
    return store, store.port


@contextmanager
def peers(
    places: Sequence[tuple[int, str | None]], *, host: str, port: int
) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Processes of this machine by rank, each with its GPU. They live as long as this process at most."""
    lives, alive = os.pipe()
    started: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for rank, gpu in places:
            where = ["--host", host, "--port", str(port), "--rank", str(rank), "--alive-fd", str(lives)]
            started[rank] = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.train.peer", *where],
                stdin=subprocess.DEVNULL,
                env=slot.environment(gpu),
                pass_fds=(lives,),
            )
        yield started
        _leave(started)
    finally:  # where something went wrong nobody is waited for: only the first process writes
        for process in started.values():
            process.kill()
            process.wait()
        os.close(lives)
        os.close(alive)


def _leave(started: dict[int, subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended, or for long enough."""
    deadline = time.monotonic() + LEAVING_S
    while time.monotonic() < deadline and any(process.poll() is None for process in started.values()):
        time.sleep(0.01)


def _await(store: "Store", started: dict[int, subprocess.Popen[bytes]], count: int, watch: "Watch") -> None:
    """Until every process has come. Raises Interrupted where the worker is asked to go meanwhile."""
    deadline = time.monotonic() + COMING_S
    missing = set(range(1, count))
    while missing := {rank for rank in missing if not store.check([came(rank)])}:
        if watch.stop():
            raise Interrupted
        dead = [rank for rank, process in started.items() if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            raise RuntimeError(f"process {min(dead or missing)} of {count} did not come")
        time.sleep(0.05)


def came(rank: int) -> str:
    """What a process says when it has come."""
    return f"came {rank}"


def _why(store: "Store", started: dict[int, subprocess.Popen[bytes]], count: int, *, patience_s: float) -> str | None:
    """What became of the other processes, in one line; None where nothing is wrong with them.

    A broken connection is often seen before the end of the process that broke it: hence the patience.
    """
    deadline = time.monotonic() + patience_s
    while True:
        for rank, process in started.items():
            code = process.poll()
            if code is not None and code < 0:
                return f"process {rank} of {count} was ended by {signal.Signals(-code).name}"
            if code not in (None, 0, TOLD):
                return f"process {rank} of {count} ended with exit code {code}"
        if store.check([PROBLEM]):
            return store.get(PROBLEM).decode()
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)
