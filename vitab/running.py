"""`vitab run`: measure what is missing, with live progress, then print the table."""

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import lease, local, plan
from bench.store import Store
from bench.work import Work
from bench.worker import Event, check_packages
from reports.cells import fill, part
from reports.render import render
from vitab import journal, planning
from vitab.progress import Progress, watching
from vitab.works import Selection, selections, works

ROUNDS = 8
"""A nuisance axis asks for a second round: what it chose is measured when the selection is known."""


def main(options: argparse.Namespace) -> int:
    """The exit code: 1 when something failed now or earlier."""
    if options.dry_run:
        options.as_json = False
        return planning.main(options)
    chosen = selections(options)
    store = Store(options.store)
    store.folder("records")  # an unwritable store is known before anything is computed
    check_packages()
    for one in chosen:
        journal.write(store, one, options)
    workers = options.workers or planning.cores()
    failed = measure(chosen, store, workers=workers, here=options.on == "debug", retry_failed=options.retry_failed)
    snapshot = store.read()
    for problem in snapshot.problems:
        sys.stderr.write(f"{store.path.name}: {problem}\n")
    for number, one in enumerate(chosen):
        if number:
            print()
        table = fill(one.grid, snapshot, running=frozenset(lease.running(store)))
        print(render(part(table, columns=one.columns, rows=one.rows), options.form).rstrip())
    return 1 if failed else 0


def measure(chosen: Sequence[Selection], store: Store, *, workers: int, here: bool, retry_failed: bool) -> bool:
    """Do what is missing, round after round until nothing is; whether something failed, now or earlier."""
    todo: list[Work] = []
    for round_ in range(ROUNDS):
        snapshot = store.read()
        every = list({work.key: work for one in chosen for work in works(one, snapshot)}.values())
        before = {work.key for work in todo}
        todo = plan.missing(
            every, snapshot, weights_ready=store.weights_ready, retry_failed=retry_failed and round_ == 0
        )
        if round_ == 0:
            for one in chosen:
                sys.stderr.write(planning.headline(one, _needed(one, store)) + _held(one, todo, store) + "\n")
        if not todo or before >= {work.key for work in todo}:
            break
        with watching(todo, snapshot, workers=1 if here else min(workers, len(todo))) as progress:
            run = _here if here else _spread
            run(todo, store, workers, _listener(progress))
    snapshot = store.read()
    earlier = [work for one in chosen for work in works(one, snapshot) if plan.failed(work, snapshot)]
    if earlier:
        sys.stderr.write(f"{len({work.key for work in earlier})} failed; --retry-failed tries them again\n")
    return bool(earlier)


def _spread(todo: list[Work], store: Store, workers: int, on_event: local.OnEvent) -> None:
    local.run(todo, store, workers=min(workers, len(todo)), on_event=on_event)


def _here(todo: list[Work], store: Store, workers: int, on_event: local.OnEvent) -> None:
    local.run_here(todo, store, on_event=on_event)


def _listener(progress: Progress) -> Callable[[Event, Work], None]:
    return lambda event, work: progress.hear(event, work)


def _needed(selection: Selection, store: Store) -> list[Work]:
    return works(selection, store.read())


def _held(selection: Selection, todo: list[Work], store: Store) -> str:
    mine = {work.key for work in works(selection, store.read())}
    missing = sum(work.key in mine for work in todo)
    return " · nothing missing" if not missing else f" · {missing} to do"
