"""The worker: work as JSON lines in, records out. What local slots and Slurm jobs start.

    python -P -m bench.worker --store FOLDER [--events-fd N] [--alive-fd N]

For every line: take the lease of its key, look whether somebody has done it meanwhile, append a start line, do it,
append the record (quantities, or a typed failure), let the lease go, and only then say `done` on the events pipe. So
a worker can be killed at any moment: what has a record is done, and what has none is not.

SIGTERM ends the worker without a record; a training saves a checkpoint first. SIGINT is for the parent to decide.
"""

import argparse
import contextlib
import faulthandler
import fcntl
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

import msgspec

from bench import lease, machine, plan
from bench.attempt import Watch, attempt
from bench.errors import Interrupted, UserError
from bench.lease import Lease
from bench.record import TRAIN, Failure, Record, Start
from bench.store import Snapshot, Store, now
from bench.trial import Frozen
from bench.work import Work


class Event(Frozen):
    """What happens to a piece of work, as it happens."""

    # held: another process works on it; died: its worker did, and another one tries once more
    event: Literal["ready", "started", "progress", "held", "done", "died"]
    key: str = ""
    attempt: str = ""
    failure: Failure | None = None  # done: in this failure
    seconds: float | None = None  # done: how long it took whoever did it
    progress: dict[str, float] = {}  # of a training: epoch, epochs, loss …


Say = Callable[[Event], None]

AT_ONCE_S = 0.3
"""Slurm ends the processes of a job one after another, in far less time."""


@dataclass
class Stop:
    """Whether the worker was asked to go: raised at once, or left for a training to see at its next step."""

    asked: bool = False
    polled: bool = False

    def ask(self, *_: object) -> None:
        """Handle SIGTERM."""
        self.asked = True
        if not self.polled:
            raise Interrupted

    @contextlib.contextmanager
    def polling(self) -> Iterator[None]:
        """Nothing is raised while this lasts; somebody looks at `asked`."""
        self.polled = True
        try:
            yield
        finally:
            self.polled = False
        if self.asked:
            raise Interrupted

    def comes(self) -> bool:
        """Whether we are being ended: of several processes that are told to go at once, we may hear of it last."""
        if not self.asked:
            time.sleep(AT_ONCE_S)
        return self.asked


def perform(work: Work, store: Store, snapshot: Snapshot, *, say: Say, stop: Stop) -> Snapshot:
    """Do one piece of work, unless it is held or was done elsewhere. The store as seen just before."""
    mine = lease.acquire(store, work.key)
    if mine is None:
        say(Event(event="held", key=work.key))
        return snapshot
    try:
        snapshot = store.read(snapshot)
        record = plan.answer(work, snapshot)
        if record is None:
            with stop.polling() if work.measure == TRAIN else contextlib.nullcontext():
                record = _do(work, store, mine, say=say, stop=stop)
    except Interrupted:
        if stop.asked:
            raise
        say(Event(event="held", key=work.key))  # taken over while we were thought dead: its new holder goes on
        return snapshot
    finally:
        lease.release(mine)
    say(Event(event="done", key=work.key, attempt=record.attempt, failure=record.failure, seconds=record.seconds))
    return snapshot


def _do(work: Work, store: Store, mine: Lease, *, say: Say, stop: Stop) -> Record:
    """Work between its start line and its record."""
    name, moment = mine.attempt, now()
    start = Start(key=work.key, measure=work.measure, attempt=name, time=moment, host=machine.host(), pid=os.getpid())
    store.append(start)
    sys.stderr.write(f"--- {moment} {work.label or work.key} {work.measure} {name}\n")
    say(Event(event="started", key=work.key, attempt=name))
    watch = Watch(
        stop=lambda: stop.asked,
        still_mine=lambda: lease.still_mine(mine),
        progress=lambda said: say(Event(event="progress", key=work.key, attempt=name, progress=said)),
    )
    record = attempt(work, store, name, watch)
    if record.failure is not None and stop.comes():  # it is our own end: a library turned it into an error (numpy, when
        raise Interrupted  # it is being imported), or a process that we need was ended a moment before us
    if not lease.still_mine(mine):  # it was succeeded while it slept, suspended: there is one record of a piece of work
        raise Interrupted
    store.append(record)
    return record


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when there is no more work, 143 after SIGTERM. Raises UserError."""
    parser = _Parser(prog="vitab worker", description="Takes work as JSON lines, appends records.")
    parser.add_argument("--store", type=Path, required=True, help="the folder of records and weights")
    parser.add_argument("--events-fd", type=int, help="an open file to say on, as JSON lines, what happens")
    parser.add_argument("--alive-fd", type=int, help="a pipe whose other end is the parent: no worker outlives it")
    options = parser.parse_args(arguments)
    faulthandler.enable()  # a segmentation fault leaves its traceback in the log
    check_packages()
    if options.alive_fd is not None:
        end_with(options.alive_fd)
    stop = Stop()
    for sent_to_all in (signal.SIGINT, signal.SIGUSR2):  # from a terminal, from Slurm: the parent decides
        signal.signal(sent_to_all, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.ask)
    os.register_at_fork(after_in_child=_own_end)
    store = Store(options.store)
    say = _say_on(options.events_fd)
    snapshot = Snapshot()
    try:
        say(Event(event="ready"))
        for number, line in enumerate(_private_stdin(), 1):
            if line.strip():
                snapshot = perform(_work(line, number), store, snapshot, say=say, stop=stop)
    except Interrupted:
        return 128 + signal.SIGTERM
    return 0


def _own_end() -> None:
    """What a measurement forks ends when it is told to, and neither saves nor raises in our name."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def check_packages() -> None:
    """Raise UserError when a file of the user's hides one of our packages, whose names are common words."""
    ours = Path(__file__).resolve().parents[1]
    for name in ("vitab", "ablations", "bench", "reports", "slurm"):
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None and Path(found.origin).resolve().parents[1] != ours:
            raise UserError(f"{found.origin} hides a package of vitab's; rename it or take its folder off PYTHONPATH")


def end_with(descriptor: int) -> None:
    """End this process and its group as soon as the other end of a pipe is gone, however busy it is.

    The kernel sends SIGKILL when the last writer closes: a thread would have to wait for the interpreter's lock, which
    one long call into C may hold. The thread is for a writer that was gone before, and for kernels that send nothing.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp() if os.getpgrp() == os.getpid() else os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="alive", daemon=True).start()


def _say_on(descriptor: int | None) -> Say:
    if descriptor is None:
        return lambda event: None
    os.set_inheritable(descriptor, False)

    def say(event: Event) -> None:
        os.write(descriptor, msgspec.json.encode(event) + b"\n")

    return say


def _private_stdin() -> BinaryIO:
    """Standard input under another number: what the work starts must not read our lines."""
    lines = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return lines


def _work(line: bytes, number: int) -> Work:
    try:
        return msgspec.json.decode(line, type=Work)
    except msgspec.DecodeError as problem:
        raise UserError(f"line {number} is no work: {problem}") from problem


if __name__ == "__main__":
    try:
        code = main()
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        code = 2
    sys.exit(code)
