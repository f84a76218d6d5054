"""`vitab run`: measure what is missing, with live progress, then print the table."""

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import crashes, lease, local, plan
from bench.crashes import Repeated
from bench.errors import UserError
from bench.record import Record
from bench.store import Snapshot, Store, writing
from bench.work import Work
from bench.worker import Event
from reports.cells import fill
from reports.render import render
from vitab import journal, planning, stopping
from vitab.progress import Progress, watching
from vitab.works import Selection, selections, works

ROUNDS = 8
"""A nuisance axis asks for a second round: what it chose is measured when the selection is known."""


def main(options: argparse.Namespace) -> int:
    """The exit code: 1 when something failed, now or earlier, or lacked what it needs."""
    check(options)
    if options.on == "slurm":
        from vitab import dispatch

        return dispatch.main(options)
    if options.dry_run:
        options.as_json = False
        return planning.main(options)
    chosen = selections(options)
    store = Store(options.store)
    _announce(chosen, store, retry_failed=options.retry_failed)
    workers = options.workers or planning.cores()
    try:
        here = options.on == "debug"
        snapshot = measure(
            chosen,
            store,
            workers=workers,
            here=here,
            retry_failed=options.retry_failed,
            stop_after=options.stop_after,
        )
    except BrokenPipeError as gone:  # `vitab run … 2>&1 | head`
        raise KeyboardInterrupt("stopped: nobody reads what is said") from gone
    return show(chosen, store, snapshot, options.form)


def check(options: argparse.Namespace) -> None:
    """Raises UserError for options that say nothing where the work is done."""
    for_slurm = ("detach", "slurm", "budget", "yes", "hold")
    if options.on != "slurm" and (typed := [name for name in for_slurm if getattr(options, name)]):
        raise UserError(f"--{typed[0]} is for --on slurm")
    if options.on == "slurm" and options.workers:
        raise UserError("--workers is for --on local; a job has a worker for each of its GPUs, or one")


def show(chosen: Sequence[Selection], store: Store, snapshot: Snapshot, form: str) -> int:
    """Print the tables. The exit code: 1 when something failed, now or earlier, or lacked what it needs."""
    for problem in snapshot.problems:
        sys.stderr.write(f"{store.path.name}: {problem}\n")
    for number, one in enumerate(chosen):
        if number:
            print()
        busy = frozenset(lease.running(store))
        table = fill(one.grid, snapshot, running=busy, columns=one.columns, rows=one.rows)
        print(render(table, form).rstrip())
    return 1 if unmeasured(chosen, snapshot, plan.failed) or unmeasured(chosen, snapshot, plan.lacking) else 0


def _announce(chosen: Sequence[Selection], store: Store, *, retry_failed: bool) -> None:
    """Say in the store who runs what. Raises UserError where the store cannot be written, unless nothing is missing."""
    try:
        store.folder("records")
        with writing(store.path):
            for one in chosen:
                journal.write(store, one)
    except UserError as refused:
        try:
            snapshot = store.read()
        except UserError:
            raise refused from None
        if any(planning.missing(one, store, snapshot, retry_failed=retry_failed) for one in chosen):
            raise


def measure(
    chosen: Sequence[Selection],
    store: Store,
    *,
    workers: int,
    here: bool,
    retry_failed: bool,
    stop_after: int = crashes.MOST,
) -> Snapshot:
    """Do what is missing, round after round until nothing is; the store as it is then.

    Nothing more is done once `stop_after` pieces of work have crashed in one place, where that is not 0.
    """
    todo: list[Work] = []
    snapshot = Snapshot()
    for round_ in range(ROUNDS):
        snapshot = store.read(snapshot)
        wanted = [works(one, snapshot) for one in chosen]
        before = {work.key for work in todo}
        todo = plan.missing(
            (work for listed in wanted for work in listed),
            snapshot,
            weights_ready=store.weights_ready,
            retry_failed=retry_failed and round_ == 0,
        )
        if round_ == 0:
            for one, listed in zip(chosen, wanted, strict=True):
                sys.stderr.write(f"{planning.headline(one, listed)} · {_left(listed, todo)}\n")
                if said := planning.resources_note(one.grid.study):
                    sys.stderr.write(f"resources: {said}\n")
            if said := planning.processes_note(todo):
                sys.stderr.write(f"needs: {said}\n")
        if not todo or before >= {work.key for work in todo}:
            break
        try:
            with watching(todo, snapshot, workers=1 if here else min(workers, len(todo))) as progress:
                run = _here if here else _spread
                run(todo, store, workers, listener(progress, crashes.watched(todo, store, stop_after)))
        except Repeated as stopped:
            sys.stderr.write(f"{stopping.told(stopped)}\n")
            break
    snapshot = store.read(snapshot)
    if failures := unmeasured(chosen, snapshot, plan.failed):
        sys.stderr.write(f"{failures} failed; --retry-failed tries them again\n")
    if lacks := unmeasured(chosen, snapshot, plan.lacking):
        sys.stderr.write(f"{lacks} with unmet needs; the same command tries again\n")
    return snapshot


def unmeasured(chosen: Sequence[Selection], snapshot: Snapshot, why: Callable[[Work, Snapshot], Record | None]) -> int:
    """How many pieces of work have a record of why there is no number, and no other."""
    return len({work.key for one in chosen for work in works(one, snapshot) if why(work, snapshot)})


def _spread(todo: list[Work], store: Store, workers: int, on_event: local.OnEvent) -> None:
    local.run(todo, store, workers=min(workers, len(todo)), on_event=on_event)


def _here(todo: list[Work], store: Store, workers: int, on_event: local.OnEvent) -> None:
    local.run_here(todo, store, on_event=on_event)


def listener(progress: Progress, brake: Callable[[Event], None]) -> Callable[[Event, Work], None]:
    """What hears of work: who watches, and what stops it when it crashes in one place."""

    def hear(event: Event, work: Work) -> None:
        progress.hear(event, work)
        brake(event)

    return hear


def _left(listed: list[Work], todo: list[Work]) -> str:
    mine = {work.key for work in listed}
    missing = sum(work.key in mine for work in todo)
    return f"{missing} to do" if missing else "nothing missing"
