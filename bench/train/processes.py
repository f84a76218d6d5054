"""Starting the other processes of a training, and what becomes of them.

The first process opens a store of torch's, says there what is trained, starts its neighbours on this machine
(`python -m bench.train.peer`) and waits until all have come. In a job of several nodes `VITAB_NODES` says how many
there are and `VITAB_MEETING` (host:port) where their processes meet; each node starts its own then.
"""

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from bench import slot
from bench.errors import Diverged, Invalid, Needs, UserError
from bench.record import TRAIN, Failed
from bench.train import others
from bench.train.others import COMING_S, LEAVING_S, Others
from bench.train.ranks import ALONE, Ranks, joined
from bench.trial import Frozen, Trial
from bench.work import Work

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from bench.attempt import Watch
    from bench.subject import Subject

SILENT_S = 1800.0
"""How long a process waits for what another one sends: the first evaluates between two epochs."""

TASK = "task"
"""Where the first process says what is trained."""


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


def here(work: Work) -> int:
    """Processes of a piece of work on this machine: a training's share of those that its trial says."""
    return math.ceil(work.trial.execution.processes / meeting().nodes) if work.measure == TRAIN else 1


def most(works: Iterable[Work]) -> int:
    """How many processes a slot of this machine is for: the most that any work has for which there are enough GPUs."""
    devices = len(slot.gpus())
    fitting = (here(work) for work in works if not devices or work.trial.execution.device != "cpu")
    return max((count for count in fitting if not devices or count <= devices), default=1)


def lacking(works: Iterable[Work]) -> list[Work]:
    """Trainings with more processes than this machine has GPUs, where it has any: each process wants its own."""
    devices = len(slot.gpus())
    return [work for work in works if devices < here(work) and devices and work.trial.execution.device != "cpu"]


@contextmanager
def together(trial: Trial, subject: "Subject", watch: "Watch") -> Iterator[Ranks]:
    """All processes of a training, of which this is the first. They end with it, and it with any of them.

    Raises Lost where one of them was ended, or its connection broke; Failed where one of them says why it cannot.
    """
    count, place = trial.execution.processes, meeting()
    if count == 1:
        yield ALONE
        return
    if count % place.nodes:
        raise Invalid(f"{count} processes do not spread evenly over {place.nodes} nodes")
    gpus = _gpus(count // place.nodes) if subject.device == "cuda" else [None] * (count // place.nodes)
    if place.nodes == 1:
        by_loopback()
    heard = len(others.said_by_nodes())
    store, port = _opened(place)
    folder = str(subject.weights_folder)
    task = Task(trial=trial, store=str(subject.store), folder=folder, device=subject.device)
    store.set(TASK, msgspec.json.encode(task).decode())
    with peers(list(enumerate(gpus))[1:], host=place.host, port=port) as started:
        them = Others(store=store, count=count, started=started, heard=heard)
        try:
            others.wait_for(them, watch)
            with (
                others.watched(them),
                joined(Ranks(count=count), store, subject.device, SILENT_S) as mine,
            ):
                yield mine
        except (UserError, Diverged, Failed, others.Lost):
            raise
        except Exception as problem:
            others.explain(them, problem)
            raise


def by_loopback() -> None:
    """Let gloo find its neighbours on this machine without asking what the machine's name stands for."""
    if "lo" in (name for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _gpus(count: int) -> list[str]:
    """Devices of the processes of this machine, the worker's own first: its slot's. Raises Needs: there are too few."""
    mine = slot.gpus()
    if len(mine) < count:
        raise Needs(f"{count} GPUs, one a process; {len(mine)} here")
    return mine[:count]


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
