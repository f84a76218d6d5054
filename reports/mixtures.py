"""What of a table is not alike: rows that are evaluated otherwise than the base, columns measured in several places."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ablations.grid import Grid
from ablations.grid_cell import GridCell
from bench import plan, registry
from bench.identity import canonical
from bench.record import Record
from bench.store import Snapshot
from bench.trial import Trial
from bench.work import Work
from reports.table import Cell

MOST_NAMED = 4  # rows that are named one by one
DIGEST = 12  # characters of a fingerprint that tell it from others

Protocol = tuple[tuple[str, str], ...]
"""Field of `evaluate` → how a reader calls its value."""


def protocols(grid: Grid) -> dict[str, list[str]]:
    """Row → notes on how it is evaluated otherwise than the base row, or than most rows where there is no base."""
    found: dict[str, list[str]] = {}
    for column in grid.columns:
        if column.quantity is None:
            continue
        own = {row.id: _protocol(row.cells.get(column.name)) for row in grid.rows}
        usual = own.get(grid.base or "") or next(iter(Counter(filter(None, own.values())).most_common(1)), (None,))[0]
        others = "the base row" if own.get(grid.base or "") else "most rows"
        for row in grid.rows:
            different = [
                (name, said, theirs)
                for (name, said), (_, theirs) in zip(own[row.id] or (), usual or (), strict=False)
                if said != theirs and (name == "split" or f"evaluate.{name}" not in row.factors)
            ]
            if different:
                ours, theirs = (", ".join(one[at] for one in different) for at in (1, 2))
                note = f"evaluated {ours}, {others} {theirs}"
                found.setdefault(row.id, []).append(note)
    return {row: list(dict.fromkeys(said)) for row, said in found.items()}


def _protocol(cell: GridCell | None) -> Protocol | None:
    """How a cell is evaluated; None where nothing is. A size that is the model's own differs from no other's own."""
    works = () if cell is None else cell.works or tuple(work for one in cell.candidates for work in one.works)
    for trial in (work.trial for work in works[:1]):
        how = trial.evaluate
        if how is None:
            return None
        own_size = how.image == trial.input.image
        return (
            ("split", "on held-out images" if how.split == "report" else f"on the {how.split} split"),
            ("image", "at the model's size" if own_size else f"at {how.image} px"),
            ("crop", f"with crop {how.crop:g}"),
            ("interpolation", f"with {how.interpolation} interpolation"),
        )
    return None


def environments(grid: Grid, cells: Mapping[str, Mapping[str, Cell]], snapshot: Snapshot) -> tuple[str, ...]:
    """A note for every column, and fact, of which its numbers do not agree: images, torch, device."""
    notes = []
    for column in grid.columns:
        facts: dict[tuple[str, str], dict[str, list[str]]] = {}  # fact, of what → value → the rows that it is of
        for row in grid.rows:
            cell, planned = cells.get(row.id, {}).get(column.name), row.cells.get(column.name)
            for record in _records(cell, planned, snapshot) if cell and planned else ():
                for fact, of, value in _facts(record):
                    facts.setdefault((fact, of), {}).setdefault(value, []).append(row.label)
        notes += [f"{column.label}: {fact} {_told(values)}" for (fact, _), values in facts.items() if len(values) > 1]
    return tuple(dict.fromkeys(notes))


def _records(cell: Cell, planned: GridCell, snapshot: Snapshot) -> Iterator[Record]:
    """The records behind a number, of its measurements and of the trainings that these are of."""
    keys = set(cell.keys) if cell.value is not None else set()
    works = [*planned.works, *(work for candidate in planned.candidates for work in candidate.works)]
    for work in works:
        if work.key not in keys or not _is_noisy(work):
            continue
        if (record := plan.serving(work, snapshot)) is not None:
            yield record
        for key in work.after:
            training = snapshot.records.get(key)
            if training is not None and training.failure is None:
                yield training


def _is_noisy(work: Work) -> bool:
    """Whether the machine has a part in a value; a count is the same everywhere."""
    return "weights" in registry.load("measures", work.measure).DEPENDS_ON


def _facts(record: Record) -> Iterator[tuple[str, str, str]]:
    """Which fact, of what, and its value; what a record does not say contradicts nothing."""
    trial, bound, environment = record.trial, record.bound, record.environment
    doing = "training" if record.measure == "train" else "evaluation"
    if (data := bound.get("data")) is not None:
        yield f"{doing} images differ in content,", _of_data(trial), str(data)[:DIGEST]
    if (images := bound.get("images")) is not None:
        yield f"{doing} images differ in number,", _of_data(trial), str(images)
    if torch := environment.get("libraries", {}).get("torch"):
        yield f"{doing} under several versions of torch,", "", str(torch)
    if device := _device(record):
        yield f"{doing} on several devices,", "", device


def _of_data(trial: Trial) -> str:
    """Which images a trial should see: those of two data sets need not agree."""
    data: Any = None if trial.data is None else canonical(trial.data)
    return str((data, None if trial.evaluate is None else trial.evaluate.split))


def _device(record: Record) -> str | None:
    """The GPU of a record where it had one and was not told to leave it alone, else the processor."""
    gpus = record.environment.get("gpus") or []
    if gpus and record.trial.execution.device != "cpu":
        return " and ".join(dict.fromkeys(map(str, gpus)))
    processor = record.environment.get("cpu")
    return None if processor is None else str(processor)


def _told(values: Mapping[str, list[str]]) -> str:
    """`2.14.1 (18 of 20), 2.11.0 (rows rope, none)`: the usual value, and of which rows the others are."""
    usual, *others = sorted(values.items(), key=lambda item: -len(item[1]))
    said = [f"{usual[0]} ({len(usual[1])} of {sum(map(len, values.values()))})"]
    for value, labels in others:
        rows = list(dict.fromkeys(labels))
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        said.append(f"{value} ({'row' if len(rows) == 1 else 'rows'} {', '.join(rows[:MOST_NAMED])}{more})")
    return ", ".join(said)
