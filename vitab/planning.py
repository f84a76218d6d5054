"""`vitab plan`: the rows, what is in the store, what would run. Nothing happens."""

import argparse
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from tabulate import tabulate

from ablations.grid import GridRow
from ablations.grid_cell import GridCell
from ablations.schema import Resources
from ablations.study import Study
from bench import lease, plan, slot
from bench.record import TRAIN
from bench.store import Snapshot, Store
from bench.train import processes
from bench.work import Work
from reports.answers import failure_text
from reports.plain import plain_lines
from vitab.durations import duration
from vitab.works import Selection, cell_works, selections, shown_rows, trainings_of, works

MOST_ROWS = 60  # of the table
MOST_NAMES = 12  # in one line
MOST_NOTES = 12
FORMAT = 1
FOR_JOBS = tuple(name for name in Resources.__struct_fields__ if name != "timeout_min")
UNNAMED = "what it did not name"


def main(options: argparse.Namespace) -> int:
    """Print the plan of every study."""
    store = Store(options.store)
    snapshot = store.read()
    running = frozenset(lease.running(store))
    chosen = selections(options)
    if options.as_json:
        said = [as_data(one, store, snapshot, running, retry_failed=options.retry_failed) for one in chosen]
        print(msgspec.json.encode({"format": FORMAT, "studies": said}).decode())
        return 0
    described = (describe(one, store, snapshot, running, retry_failed=options.retry_failed) for one in chosen)
    print(plain_lines("\n\n".join(described)))
    return 0


def missing(selection: Selection, store: Store, snapshot: Snapshot, *, retry_failed: bool) -> list[Work]:
    """What would run, in order."""
    return plan.missing(
        works(selection, snapshot), snapshot, weights_ready=store.weights_ready, retry_failed=retry_failed
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def headline(selection: Selection, needed: list[Work]) -> str:
    """study · rows × seeds = trials, measurements."""
    grid, rows = selection.grid, shown_rows(selection)
    trainings = trainings_of(needed, grid)
    seeds = f" × {len(grid.seeds)} seeds" if len(grid.seeds) > 1 and trainings else ""
    data = sorted({work.trial.data.name for work in needed if work.trial.data is not None})
    on = f" on {', '.join(data)}" if data else ""
    parts = [f"{selection.name} · {_count(len(rows), 'row')}{seeds}{on}"]
    if trainings:
        parts.append(_count(len(trainings), "training"))
    parts.append(_count(sum(work.measure != TRAIN for work in needed), "measurement"))
    return " · ".join(parts)


def describe(
    selection: Selection, store: Store, snapshot: Snapshot, running: frozenset[str], *, retry_failed: bool
) -> str:
    """The plan of one study, for a reader."""
    every = works(selection, snapshot)
    needed = [work for work in every if work.measure != TRAIN] + trainings_of(every, selection.grid)
    todo = missing(selection, store, snapshot, retry_failed=retry_failed)
    lines = [headline(selection, needed), _rows_table(selection, store, snapshot, running)]
    lines.append(_line("in the store", _by_measure([work for work in needed if _held(work, store, snapshot)])))
    held = [work for work in todo if work.key in running]
    if held:
        lines.append(_line("running", _by_measure(held)))
    todo = [work for work in todo if work.key not in running]
    seconds = plan.estimate(todo, snapshot) if todo else None
    workers = min(cores(), max(1, len(todo)))
    about = "" if seconds is None else f" · about {duration(seconds / workers)} on {_count(workers, 'core')}"
    lines.append(_line("to run", _by_measure(todo) + about if todo else "nothing"))
    trained = [work for work in todo if work.measure == TRAIN]
    if trained:
        lines.append(_line("to train", _by_row(trained)))
    lines += [*_reasons(selection, snapshot, every, retry_failed=retry_failed), *_notes(shown_rows(selection))]
    if said := processes_note(todo):
        lines.append(_line("needs", said))
    if said := resources_note(selection.grid.study):
        lines.append(_line("resources", said))
    return "\n".join(lines)


def processes_note(todo: Sequence[Work]) -> str | None:
    """What is said of trainings that have more processes than this machine has GPUs."""
    lacking = processes.lacking(todo)
    if not lacking:
        return None
    most = max(work.trial.execution.processes for work in lacking)
    return (
        f"{_by_row(lacking)}: execution.processes {most} wants {most} GPUs, one a process;"
        f" {len(slot.gpus())} here: send it with --on slurm"
    )


def resources_note(study: Study) -> str | None:
    """What is said of resources that a study asks for and that only a job can be given."""
    asked, usual = msgspec.structs.asdict(study.spec.resources), msgspec.structs.asdict(Resources())
    named = [(name, asked[name]) for name in FOR_JOBS if asked[name] != usual[name]]
    said = ", ".join(f"{name} {value if isinstance(value, str) else format(value, 'g')}" for name, value in named)
    return (
        f"{said}: for Slurm jobs; a local worker has `execution.threads`, and a GPU where there is one"
        if said
        else None
    )


def _held(work: Work, store: Store, snapshot: Snapshot) -> bool:
    if work.measure == TRAIN:
        return store.weights_ready(work.key)
    return plan.serving(work, snapshot) is not None


def _by_measure(listed: list[Work]) -> str:
    counts = Counter(work.measure for work in listed)
    inside = ", ".join(f"{measure} {count}" for measure, count in sorted(counts.items(), key=_training_first))
    return f"{len(listed)}" + (f" ({inside})" if counts else "")


def _training_first(item: tuple[str, int]) -> tuple[bool, str]:
    return item[0] != TRAIN, item[0]


def _by_row(trainings: list[Work]) -> str:
    """small, finetuned (3 seeds each), or none (5 seeds), rope (2 seeds); trainings, where some share a seed."""
    counts = Counter(_row_of(work) for work in trainings)
    noun = "seed" if len({(_row_of(work), work.trial.seed) for work in trainings}) == len(trainings) else "training"
    names = list(counts)[:MOST_NAMES]
    more = f", and {len(counts) - MOST_NAMES} more" if len(counts) > MOST_NAMES else ""
    if len(set(counts.values())) > 1:
        return ", ".join(f"{name} ({_count(counts[name], noun)})" for name in names) + more
    each = f" ({_count(counts[names[0]], noun)}{' each' if len(counts) > 1 else ''})" if counts[names[0]] > 1 else ""
    return ", ".join(names) + more + each


def _notes(rows: Sequence[GridRow]) -> Iterator[str]:
    """What is built otherwise than it reads, or said of rows by the spec, with the rows that it is said of."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            said.setdefault(note, []).append(row.id)
    for note, ids in itertools.islice(said.items(), MOST_NOTES):
        more = f" and {len(ids) - MOST_NAMES} more" if len(ids) > MOST_NAMES else ""
        yield _line("note", f"{', '.join(ids[:MOST_NAMES])}{more}: {note}")
    if len(said) > MOST_NOTES:
        yield _line("note", f"… {len(said) - MOST_NOTES} more")


def _row_of(work: Work) -> str:
    """positional_embedding/none:seed3 → none."""
    return work.label.partition("/")[2].rpartition(":seed")[0]


def _line(head: str, said: str) -> str:
    return f"  {head:<13}{said}"


def _rows_table(selection: Selection, store: Store, snapshot: Snapshot, running: frozenset[str]) -> str:
    """A line a row: the state of every cell."""
    columns = [
        column
        for column in selection.grid.columns
        if column.quantity is not None and (selection.columns is None or column.name in selection.columns)
    ]
    rows = shown_rows(selection)
    body = []
    for row in rows[:MOST_ROWS]:
        states = [_state(row.cells.get(column.name), store, snapshot, running) for column in columns]
        body.append([row.id, *([] if row.label == row.id else [row.label]), *states])
    width = max(len(line) for line in body)
    if width > 1 + len(columns):  # some rows have a label of their own
        body = [line if len(line) == width else [line[0], "", *line[1:]] for line in body]
    heads = ["row", *(["label"] if width > 1 + len(columns) else []), *(column.name for column in columns)]
    if len(rows) > MOST_ROWS:
        body.append([f"… {len(rows) - MOST_ROWS} more"])
    table = tabulate(body, headers=heads, tablefmt="plain", disable_numparse=True)
    return "\n".join(f"  {line}".rstrip() for line in table.splitlines())


def _state(cell: GridCell | None, store: Store, snapshot: Snapshot, running: frozenset[str]) -> str:
    """One cell in a word or two."""
    if cell is None:
        return ""
    if cell.invalid is not None:
        return "invalid"
    if cell.needs is not None:
        return "needs"
    counts: Counter[str] = Counter(_work_state(work, snapshot, running) for work in cell_works(cell, snapshot))
    if len(counts) == 1 and cell.works and not cell.seeds_matter:
        return next(iter(counts))
    total = sum(counts.values())
    if set(counts) == {"done"}:
        return f"{total} done"
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _work_state(work: Work, snapshot: Snapshot, running: frozenset[str]) -> str:
    if plan.serving(work, snapshot) is not None:
        return "done"
    if running & {work.key, *work.after}:
        return "running"
    if plan.lacking(work, snapshot) is not None:
        return "needs"
    return "failed" if plan.failed(work, snapshot) is not None else "to run"


def _reasons(selection: Selection, snapshot: Snapshot, every: list[Work], *, retry_failed: bool) -> list[str]:
    """Why some cells will stay without a number: invalid, needs, failed before."""
    invalid: dict[str, list[str]] = {}
    needs: dict[str, list[str]] = {}
    for row, column, cell in selection.grid.cells(columns=selection.columns, rows=selection.rows):
        if cell.invalid is not None and row.id not in invalid.get(cell.invalid, []):
            invalid.setdefault(cell.invalid, []).append(row.id)
        if cell.needs is not None:
            needs.setdefault(cell.needs, []).append(column.name)
    lines = [
        _line("invalid", f"{_count(len(rows), 'row')} kept as the spec asks: {rule}") for rule, rows in invalid.items()
    ]
    for reason, names in needs.items():
        counts = Counter(names)
        each = ", ".join(f"{name}: {_count(count, 'cell')}" for name, count in counts.items())
        lines.append(_line("needs", f"{reason} ({each if len(counts) <= 4 else _count(len(names), 'cell')})"))
    lacks = Counter(
        record.failure.reason.strip() or UNNAMED
        for work in every
        if (record := plan.lacking(work, snapshot)) and record.failure
    )
    lines += [_line("needs", f"{reason} ({count} × earlier; tried again)") for reason, count in lacks.items()]
    failed = [record for work in every if (record := plan.failed(work, snapshot)) is not None]
    if failed and not retry_failed:
        reasons = Counter(failure_text(record.failure) for record in failed if record.failure is not None)
        reason, count = reasons.most_common(1)[0]
        lines.append(_line("failed", f"{len(failed)} earlier ({count} × {reason}): --retry-failed tries them again"))
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def as_data(
    selection: Selection, store: Store, snapshot: Snapshot, running: frozenset[str], *, retry_failed: bool
) -> dict[str, Any]:
    """The plan as a machine reads it: every piece of work with its key and state."""
    todo = {work.key for work in missing(selection, store, snapshot, retry_failed=retry_failed)}
    listed = []
    for work in works(selection, snapshot):
        if work.measure == TRAIN:
            state = "done" if store.weights_ready(work.key) else "running" if work.key in running else ""
        else:
            state = _work_state(work, snapshot, running)
        if state in ("", "to run", "failed", "needs"):
            state = "pending" if work.key in todo else "failed" if state == "failed" else "unneeded"
        said = {"key": work.key, "measure": work.measure, "label": work.label, "state": state, "after": work.after}
        listed.append(said)
    return {
        "study": selection.grid.study.name,
        "setting": selection.grid.study.setting,
        "rows": [_row_data(row) for row in shown_rows(selection)],
        "work": listed,
    }


def _row_data(row: GridRow) -> dict[str, Any]:
    cells = {}
    for name, cell in row.cells.items():
        cells[name] = {
            "quantity": cell.quantity,
            "keys": [work.key for work in cell.works],
            **({"invalid": cell.invalid} if cell.invalid else {}),
            **({"needs": cell.needs} if cell.needs else {}),
        }
    notes = {"notes": row.notes} if row.notes else {}
    return {"row": row.id, "label": row.label, "group": row.group, **notes, "cells": cells}
