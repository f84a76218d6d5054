"""Another process of a training: it computes its share of every batch, and writes nothing.

    python -P -m bench.train.peer --host HOST --port PORT --rank N --alive-fd FD

What is trained it hears where the processes meet. It ends with the training, with the process that started it, or
when a connection breaks; whether anybody stops is the first process's to say.
"""

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from bench import attention
from bench.attempt import LONGEST_REASON, Watch, failure_of
from bench.errors import Diverged, Interrupted
from bench.subject import Subject
from bench.train import others, processes
from bench.train.others import COMING_S, PROBLEM, TOLD, came
from bench.train.processes import SILENT_S, TASK, Task
from bench.train.ranks import Ranks, joined
from bench.worker import end_with

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when the training ended or stopped, TOLD when something is wrong here."""
    parser = argparse.ArgumentParser(prog="bench.train.peer")
    for name in ("--port", "--rank", "--alive-fd"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--host", required=True)
    options = parser.parse_args(arguments)
    end_with(options.alive_fd)
    for sent_to_all in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):  # the first process decides
        signal.signal(sent_to_all, signal.SIG_IGN)
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # exported under a condition

    if options.host == processes.Meeting.host:
        processes.by_loopback()
    coming = timedelta(seconds=COMING_S)
    store = TCPStore(options.host, options.port, is_master=False, timeout=coming, wait_for_workers=False)
    task = msgspec.json.decode(store.get(TASK), type=Task)
    others.end_without(store, TASK)
    try:
        follow(task, options.rank, store)
    except (Diverged, Interrupted):  # as in all the others
        return 0
    except Exception as problem:  # noqa: BLE001 the first process makes a record of it
        traceback.print_exc()
        _tell(store, options.rank, task, problem)
        return TOLD
    return 0


def follow(task: Task, rank: int, store: "Store") -> None:
    """Train along, from the first step that is left to the last."""
    from bench.train import loop
    from bench.train.reproducible import reproducible
    from bench.train.training import prepared

    trial = task.trial
    subject = Subject(store=Path(task.store), weights_folder=Path(task.folder), device=task.device)
    watch = Watch(stop=lambda: False, still_mine=lambda: False, progress=lambda said: None)
    ranks = Ranks(rank=rank, count=trial.execution.processes)
    store.set(came(rank), "")
    with (
        reproducible(trial.execution.threads, task.device),
        attention.forced(trial.attention),
        joined(ranks, store, task.device, SILENT_S),
    ):
        loop.steps(prepared(trial, subject, Path(task.folder), ranks), watch)


def _tell(store: "Store", rank: int, task: Task, problem: Exception) -> None:
    """Say to the first process what went wrong here, where it still listens and nobody did before."""
    if others.broken(problem):  # whoever broke the connection is to blame
        return
    failure = failure_of(problem)
    said = f"process {rank} of {task.trial.execution.processes}: {failure.reason}"
    failure = msgspec.structs.replace(failure, reason=said[:LONGEST_REASON])
    with contextlib.suppress(RuntimeError):
        store.compare_set(PROBLEM, "", msgspec.json.encode(failure).decode())


def _end(code: int) -> NoReturn:
    """At once: a peer has nothing to tidy up, and the first process waits for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
