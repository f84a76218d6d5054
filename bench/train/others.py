"""What becomes of the other processes of a training: whether they come, how they end, what they say is wrong.

Nothing waits for a process that has ended, and nobody is blamed for a connection that another one broke.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import Interrupted
from bench.record import Failed, Failure

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from bench.attempt import Watch

COMING_S = 600.0
"""How long the first process waits for the others: they import torch and read a file system that may be slow."""

LEAVING_S = 10.0
"""For a process to end by itself after the last step, or to be seen dead after its connection broke."""

PROBLEM = "problem"
"""Where the first process that has one says it, as a failure."""

TOLD = 3
"""The exit code of a process that said what its problem was, or only saw a connection break."""

STARTS = 2
"""Of a process of another node, which starts it again by itself, in one training."""


class Lost(Exception):
    """A process was ended, or a connection broke: nothing that the training did. Its checkpoint is still good."""


@dataclass(frozen=True, kw_only=True)
class Others:
    """All processes of a training but the first, as that one sees them."""

    store: "Store"
    count: int  # with the first
    started: dict[int, subprocess.Popen[bytes]]  # by rank, those of this machine
    heard: int = 0  # characters that other nodes had said before

    def ends(self) -> list[tuple[int, str]]:
        """(rank, how) of every process that did not end by itself, on this machine and on others."""
        here = [(rank, how_it_ended(process.poll())) for rank, process in self.started.items()]
        there = [line.partition(" ") for line in said_by_nodes()[self.heard :].splitlines()]
        return [(rank, how) for rank, how in here if how] + [(int(rank), how) for rank, _, how in there]

    def named(self, rank: int, how: str) -> str:
        """Process 1 of 2 was ended by SIGKILL."""
        return f"process {rank} of {self.count} {how}"


def said_by_nodes() -> str:
    """Lines of the other nodes of a job, `RANK HOW`, which `VITAB_ENDS` collects; nothing where there are none."""
    path = os.environ.get("VITAB_ENDS")
    return Path(path).read_text(encoding="utf-8") if path else ""


def how_it_ended(code: int | None) -> str | None:
    """In words; None while it runs, and where it ended by itself."""
    if code in (None, 0, TOLD):
        return None
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def came(rank: int) -> str:
    """What a process says when it has come."""
    return f"came {rank}"


def wait_for(others: Others, watch: "Watch") -> None:
    """Until every process has come. Raises Lost, Failed, or Interrupted where the worker is asked to go meanwhile."""
    deadline = time.monotonic() + COMING_S
    missing = set(range(1, others.count))
    while missing := {rank for rank in missing if not others.store.check([came(rank)])}:
        if watch.stop():
            raise Interrupted
        ends = others.ends()
        deaths = Counter(rank for rank, _ in ends)
        for rank, how in ends:
            if rank in others.started or deaths[rank] >= STARTS:
                raise Lost(others.named(rank, how))
        if gone := [rank for rank in missing & others.started.keys() if others.started[rank].poll() is not None]:
            raise Lost(others.named(min(gone), "ended before it came"))
        if time.monotonic() > deadline:
            reason = others.named(min(missing), f"did not come in {COMING_S:g} s")
            raise Failed(Failure(kind="crashed", reason=reason))
        time.sleep(0.05)


def broken(problem: BaseException) -> bool:
    """Whether it is a connection between processes that broke."""
    return any(library in str(problem).lower() for library in ("gloo", "nccl"))


def explain(others: Others, problem: Exception) -> None:
    """Raise what is behind an exception of the first process, where another process is: Lost or Failed.

    A broken connection is often seen before the end of the process that broke it, or before what it says: hence the
    patience.
    """
    deadline = time.monotonic() + (LEAVING_S if broken(problem) else 0.0)
    while True:
        if ends := others.ends():
            raise Lost(others.named(*ends[0])) from problem
        if others.store.check([PROBLEM]):
            raise Failed(msgspec.json.decode(others.store.get(PROBLEM), type=Failure)) from problem
        if time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    if broken(problem):
        raise Lost(f"the connection to another of the {others.count} processes broke") from problem


@contextmanager
def watched(others: Others) -> Iterator[None]:
    """End this process when another one was ended and this one does not notice: NCCL may wait for the dead."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            if (ends := others.ends()) and not over.wait(2 * LEAVING_S):
                sys.stderr.write(f"{others.named(*ends[0])}, and this one waits for it in vain\n")
                sys.stderr.flush()
                os._exit(TOLD)

    threading.Thread(target=look, name="others", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def end_without(store: "Store", key: str) -> None:
    """End this process when the first one is gone, with the store that it holds, and this one does not notice."""

    def look() -> None:
        try:
            while store.check([key]):
                time.sleep(1.0)
        except RuntimeError:  # torch's DistError is one
            time.sleep(LEAVING_S)
        sys.stderr.write("the first process is gone, and this one waits for it in vain\n")
        sys.stderr.flush()
        os._exit(TOLD)

    threading.Thread(target=look, name="first", daemon=True).start()
