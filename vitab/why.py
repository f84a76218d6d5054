"""`vitab why`: where a number comes from, or why there is none."""

import argparse
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from ablations.columns import StudyColumn, chosen
from ablations.grid import Grid, GridRow
from ablations.grid_cell import GridCell
from ablations.printed import Printed, parse
from bench import lease, plan, registry
from bench.errors import UserError, unknown
from bench.identity import canonical, weights_key
from bench.record import Record
from bench.store import Snapshot, Store
from bench.trial import Trial
from bench.work import Work
from reports import imported
from reports.answers import choose, failure_text
from reports.cells import fill
from reports.check import words
from reports.plain import plain, plain_lines
from reports.scale import COUNTED, alone, scale, show
from reports.table import Cell, ClaimCell
from vitab import per_image
from vitab.durations import duration
from vitab.works import Selection, cell_works, selections

MOST_DIFFERENCES = 8
MOST_BOUND = 5  # seeds have weights of their own, and so other digests


def main(options: argparse.Namespace) -> int:
    """Print what stands behind one cell."""
    (one,) = selections(options, [options.study])
    row = one.grid.row(options.row)
    column = _column(one, row, options.column)
    planned = row.cells[column.name]
    store = Store(options.store)
    snapshot = store.read()
    table = fill(one.grid, snapshot, running=frozenset(lease.running(store)))
    cell = next(line for line in table.rows if line.row == row.id).cells[column.name]
    print(plain(f"{one.grid.study.name} · {row.label} · {column.label}: {_headline(cell)}"))
    images = _image_lines(one.grid, row, column, store, snapshot)
    others = imported.told(imported.records(one.grid, row.id, column.name, snapshot), planned.quantity)
    for line in (*_number_lines(planned, cell, snapshot), *others, *images, *_key_lines(planned, snapshot)):
        print(plain_lines(line))
    return 0


def _column(one: Selection, row: GridRow, name: str) -> StudyColumn:
    found = [column for column in chosen(one.grid.columns, [name]) if column.name in row.cells]
    if len(found) != 1:
        names = [column.name for column in found]
        raise UserError(
            f"{name!r} is {len(names)} columns here: {', '.join(names)}"
            if names
            else unknown("column", name, row.cells)
        )
    return found[0]


def _number_lines(planned: GridCell, cell: Cell, snapshot: Snapshot) -> Iterator[str]:
    """Claims, the choice of a level, and the record of every seed with what it found."""
    yield from _claim_lines(planned, cell)
    if cell.chosen:
        yield f"chosen on the selection split: {cell.chosen}"
    works = _works(planned, snapshot)
    for work in works:
        yield _work_line(work, planned.quantity, snapshot)
    yield from _log_lines(works, snapshot)
    yield from _parts_lines(works, snapshot)
    yield from _bound_lines([record for work in works if (record := plan.serving(work, snapshot)) is not None])
    if planned.explanation is not None:
        second = planned.explanation
        for work in second.works:
            yield f"second computation, {second.note} ({second.said}):"
            yield _work_line(work, second.quantity or "", snapshot)


def _log_lines(works: tuple[Work, ...], snapshot: Snapshot) -> Iterator[str]:
    """Where in the store lies what a program of the user's has printed."""
    for work in works:
        record = plan.serving(work, snapshot) or plan.failed(work, snapshot)
        if record is not None and "log" in record.artifacts:
            seed = "" if work.trial.seed is None else f"seed {work.trial.seed}: "
            yield f"{seed}log {record.artifacts['log']}"


def _parts_lines(works: tuple[Work, ...], snapshot: Snapshot) -> Iterator[str]:
    """Trainings behind them of which memory let less than was planned be done at once."""
    for work in works:
        record = snapshot.records.get(work.weights_key or "")
        if record is None or record.failure is not None or record.trial.train is None:
            continue
        execution = record.trial.execution
        if execution.out_of_memory == "split" and execution.micro_batch not in (None, work.trial.execution.micro_batch):
            yield (
                f"seed {record.trial.seed}: trained with {execution.micro_batch} images at once, for want of memory;"
                f" the effective batch is {record.trial.train.batch} as planned"
            )


def _image_lines(grid: Grid, row: GridRow, column: StudyColumn, store: Store, snapshot: Snapshot) -> Iterator[str]:
    """A row's predictions beside those of the base row, as far as both are kept."""
    if grid.base is None or row.id == grid.base or row.cells[column.name].quantity not in per_image.QUANTITIES:
        return
    base = grid.row(grid.base)
    planned = base.cells.get(column.name)
    own = row.cells[column.name]
    if planned is not None and planned.quantity == own.quantity:
        works, others = _works(own, snapshot), _works(planned, snapshot)
        yield from per_image.beside(works, others, quantity=own.quantity, named=base.label, store=store, at=snapshot)


def _key_lines(planned: GridCell, snapshot: Snapshot) -> Iterator[str]:
    """Every field behind the key of the first seed."""
    for work in _works(planned, snapshot)[:1]:
        seed = "" if work.trial.seed is None else f" of seed {work.trial.seed}"
        yield f"\nthe key{seed} is made of {_parts(work)}:"
        fields = list(_fields(work))
        width = max(24, *(len(name) + 2 for name, _ in fields))
        for name, value in fields:
            yield f"  {name:<{width}}{value}"


def _work_line(work: Work, quantity: str, snapshot: Snapshot) -> str:
    record = plan.serving(work, snapshot) or plan.failed(work, snapshot) or plan.lacking(work, snapshot)
    return _record_line(record, quantity) if record is not None else _missing_line(work, snapshot)


def _works(planned: GridCell, snapshot: Snapshot) -> tuple[Work, ...]:
    if not planned.candidates:
        return planned.works
    best = choose(planned.candidates, str(planned.selected_by), snapshot)
    return best.works if best else tuple(cell_works(planned, snapshot))


def _headline(cell: Cell) -> str:
    if cell.value is None:
        return words(cell.state) + (f": {cell.reason}" if cell.reason else "")
    exact = _exactly(cell.value, cell.unit)
    exact = f"{exact} imported, not measured here" if cell.state == "imported" else exact
    spread = "" if cell.std is None else f" ± {cell.std:.2f} over {cell.n} seeds"
    return exact + spread + (f"; {cell.reason}" if cell.reason else "")


def _exactly(value: float, unit: str | None) -> str:
    """Counts to the last one; what is noisy as a table shows it."""
    return f"{value:,.0f} {unit}" if unit in COUNTED else alone(value, unit)


def _claim_lines(planned: GridCell, cell: Cell) -> Iterator[str]:
    for claim, reported in zip(cell.claims, planned.claims, strict=True):
        numbers = parse(claim.printed, reported.printed_by or "rounding")
        meant = ", ".join(_interval(number, cell.unit) for number in numbers)
        yield f"reported {claim.printed} ({claim.source}){f' means {meant}' if meant else ''}: {_verdict(claim)}"


def _interval(number: Printed, unit: str | None) -> str:
    """[4.45G, 4.55G): the ends with one digit more than was printed."""
    if math.isinf(number.low) or math.isinf(number.high):
        return f"{'≥' if math.isinf(number.high) else '≤'} {alone(number.value, unit)}"
    own = scale(unit, [number.value])
    width = round((number.high - number.low) / own.divisor, 12)  # 0.1 and not 0.09999999999999432
    own = msgspec.structs.replace(own, decimals=max(0, 1 - math.floor(math.log10(width))) if width else own.decimals)
    sign = "%" if own.unit == "%" else ""
    return f"[{show(number.low, own)}{sign}, {show(number.high, own)}{sign})"


def _verdict(claim: ClaimCell) -> str:
    off = "" if not claim.deviation else f", {100 * claim.deviation:+.2f} %".replace("-", "−")
    return words(claim.verdict) + off + (f"; {claim.note}" if claim.note else "")


def _record_line(record: Record, quantity: str) -> str:
    """One record: value, measure, libraries, time, place."""
    measured = record.quantities.get(quantity)
    if record.failure is not None:
        said = failure_text(record.failure)
    elif measured is None:
        said = f"no {quantity}"
    else:
        said = _exactly(sum(measured.samples) / len(measured.samples), measured.unit)
    libraries = record.environment.get("libraries", {})
    ours = ("timm", "torch") if record.trial.command is None else ()  # what a program of the user's has used, it knows
    wanted = [name for name in ours if name in libraries]
    versions = ", ".join(f"{name} {libraries[name]}" for name in wanted)
    seed = "" if record.trial.seed is None else f"seed {record.trial.seed}: "
    host = record.environment.get("host", "an unknown machine")
    took = "" if record.seconds is None else f" in {duration(record.seconds)}"
    built = f" ({versions})" if versions else ""
    size = f" @ {record.trial.input.size}" if record.trial.input.size else ""
    return (
        f"{seed}{said} · {record.measure} v{record.version} on {record.trial.model.name}{size}"
        f"{built} · {record.time[:10]}{took} on {host} · record {record.key}"
    )


def _missing_line(work: Work, snapshot: Snapshot) -> str:
    """No record; the nearest one there is, and what differs."""
    near = _nearest(work, snapshot)
    said = f"{'' if work.trial.seed is None else f'seed {work.trial.seed}: '}no record {work.key}"
    if near is None:
        return said
    record, different = near
    shown = "; ".join(
        f"{name} {then} → {now}" for name, then, now in different[:MOST_DIFFERENCES] if name != "weights.key"
    )
    more = "" if len(different) <= MOST_DIFFERENCES else f"; and {len(different) - MOST_DIFFERENCES} more"
    return f"{said}; the nearest is {record.key}, before {shown}{more}"


def _nearest(work: Work, snapshot: Snapshot) -> tuple[Record, list[tuple[str, str, str]]] | None:
    """The record of the same measure and model that differs in the fewest fields."""
    best: tuple[Record, list[tuple[str, str, str]]] | None = None
    wanted = dict(_fields(work))
    for record in snapshot.records.values():
        then, now = record.trial, work.trial
        if (record.measure, then.model.name, then.seed) != (work.measure, now.model.name, now.seed):
            continue
        held = dict(_named(record.trial, record.measure, record.version))
        different = [
            (name, held.get(name, "absent"), wanted.get(name, "absent"))
            for name in {**held, **wanted}
            if held.get(name) != wanted.get(name)
        ]
        if different and (best is None or len(different) < len(best[1])):
            best = record, different
    return best


def _parts(work: Work) -> str:
    depends: tuple[str, ...] = registry.load("measures", work.measure).DEPENDS_ON
    return ", ".join(["measure", "version", *depends])


def _fields(work: Work) -> list[tuple[str, str]]:
    """Every field behind a key, flat, with its value."""
    return _named(work.trial, work.measure, work.version)


def _named(trial: Trial, measure: str, version: int) -> list[tuple[str, str]]:
    depends: tuple[str, ...] = registry.load("measures", measure).DEPENDS_ON
    found: dict[str, Any] = {"measure": measure, "version": version}
    for name in depends:
        if name != "weights":
            found[name] = canonical(getattr(trial, name))
    if "weights" in depends:
        found["weights"] = {"key": weights_key(trial)}
        for name in ("train", "distill", "seed"):
            found[name] = canonical(getattr(trial, name))
    return [(name, value) for name, value in _flat(found) if value != "None"]


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value != {}:
            yield prefix + name, str(value)


def _bound_lines(records: list[Record]) -> Iterator[str]:
    """What only the machine knew: fingerprints, kernels; where records differ, all of it."""
    names = sorted({name for record in records for name in record.bound})
    for name in names:
        values = list(dict.fromkeys(_plainly(record.bound.get(name)) for record in records))
        shown = ", ".join(values[:MOST_BOUND]) + (", …" if len(values) > MOST_BOUND else "")
        yield f"found when measured: {name} {shown}"


def _plainly(value: Any) -> str:
    """A fact as a reader takes it in: the beginning of a digest, a mapping as its names and values."""
    if isinstance(value, dict):
        return " ".join(f"{name} {_plainly(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plainly, value))
    text = str(value)
    return text[:12] + "…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
