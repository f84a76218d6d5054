"""`vitab retry`: try again what failed, of one kind or of any, with other execution fields where they help."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import msgspec

from bench import crashes, local, plan
from bench.crashes import Repeated
from bench.errors import UserError, unknown
from bench.record import TRAIN, FailureKind
from bench.store import Snapshot, Store
from bench.work import Work
from vitab import dispatch, planning, running, sent, stopping
from vitab.bill import counts
from vitab.following import follow
from vitab.journal import Call
from vitab.progress import watching
from vitab.works import Selection, works

KINDS = tuple(kind.replace("_", "-") for kind in get_args(FailureKind) if kind not in ("needs", "upstream"))


def main(options: argparse.Namespace) -> int:
    """The exit code: 1 when something failed again."""
    kind = _kind(options.failed)
    _only_execution(options.sets)
    store = Store(options.store)
    snapshot = store.read()
    calls = sent.calls_of(options.study, store)
    chosen = [changed(call, options.sets) for call in calls]
    todo = failed(chosen, store, snapshot, kind=kind)
    if not todo:
        of_kind = f" with {options.failed}" if kind else ""
        print(f"{calls[0].name} · nothing failed{of_kind}")
        return 0
    options.on = options.on or calls[-1].on
    running.check(options)
    if options.on == "slurm":
        return _on_slurm(chosen, todo, store, snapshot, options)
    if options.dry_run:
        print(f"{calls[0].name} · would try again: {counts(todo)}")
        return 0
    workers = min(options.workers or planning.cores(), len(todo))
    try:
        with watching(todo, snapshot, workers=workers) as progress:
            hear = running.listener(progress, crashes.watched(todo, store, options.stop_after))
            local.run(todo, store, workers=workers, on_event=hear)
    except Repeated as stopped:
        sys.stderr.write(f"{stopping.told(stopped)}\n")
    return running.show(chosen, store, store.read(snapshot), options.form)


def _on_slurm(
    chosen: list[Selection], todo: list[Work], store: Store, snapshot: Snapshot, options: argparse.Namespace
) -> int:
    dispatch.here()
    watched = dispatch.send(chosen, todo, store, snapshot, options)
    if watched is None:
        return 0
    snapshot = follow(watched, store, snapshot, name=chosen[0].grid.study.name)
    if (stopped := crashes.repeated(watched, snapshot, options.stop_after)) is not None:
        sys.stderr.write(f"{stopping.told(stopped)}\n")
    return dispatch.finish(chosen, store, snapshot, options)


def failed(chosen: Iterable[Selection], store: Store, snapshot: Snapshot, *, kind: str | None) -> list[Work]:
    """What failed, in order, with the trainings that it takes; what only lacked their weights goes with them."""
    every = {work.key: work for one in chosen for work in works(one, snapshot)}
    trainings = [work for work in every.values() if work.measure == TRAIN]
    wanted = [work for work in every.values() if work.measure != TRAIN and _is(work, every, snapshot, kind)]
    return plan.missing([*wanted, *trainings], snapshot, weights_ready=store.weights_ready, retry_failed=True)


def _is(work: Work, every: dict[str, Work], snapshot: Snapshot, kind: str | None) -> bool:
    """Whether a piece of work, or a training that it needs, failed in a way."""
    record = plan.failed(work, snapshot)
    if record is None or record.failure is None:
        return False
    if kind is None or record.failure.kind == kind:
        return True
    needed = (every[key] for key in work.after if key in every)
    return record.failure.kind == "upstream" and any(_is(one, every, snapshot, kind) for one in needed)


def _kind(typed: str) -> str | None:
    if not typed:
        return None
    if typed.replace("_", "-") not in KINDS:
        raise UserError(f"--failed: {unknown('kind of failure', typed, KINDS)}")
    return typed.replace("-", "_")


def _only_execution(sets: list[str]) -> None:
    for text in sets:
        if not text.startswith("execution."):
            raise UserError(
                f"--set {text}: another number would come out; only execution fields can change when something"
                " is tried again, such as execution.micro_batch=8"
            )


def changed(call: Call, sets: list[str]) -> Selection:
    """What a call asked for, with other execution fields; it is the same variation of its study still."""
    found = sent.selected(msgspec.structs.replace(call, sets=(*call.sets, *sets)))
    return replace(found, sets=call.sets)
