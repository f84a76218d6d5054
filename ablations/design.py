"""Designs: which rows a study has. A row is its base trial with some fields changed, and what is said about it.

Listed kinds (rows, one_factor, leave_one_out, ladder, zip) stand below one another; only `factorial` multiplies.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ablations.factors import Context, Factor, Level, changes_of, factors, short_names, text
from ablations.fields import Change, dotted, flat, is_field, no_field
from ablations.schema import KINDS, BestOf, Design, RowHead, typed
from ablations.source import Document, Place
from bench.errors import UserError, unknown

BASE = "base"
"""The name by which edges mean the base trial, whatever its row is called."""

MINUS, PLUS = "−", "+"

COMBINED = ("factorial", "zip")
"""Kinds whose rows are combinations of levels."""

KEYS_OF_A_STEP = tuple(name for name in RowHead.__struct_fields__ if name not in ("repeats", "hidden", "within"))
"""What a step of a ladder says beside the fields that it sets."""

MOST_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A row before its trial is resolved."""

    id: str
    label: str
    document: Document
    place: Place
    head: RowHead
    changes: tuple[Change, ...] = ()
    levels: dict[str, Level] = field(default_factory=dict)  # of the factors that make it, by the factor's name
    within: dict[str, tuple[Change, ...]] = field(default_factory=dict)  # column → changes in that column alone
    group: str | None = None
    brought: bool = False  # the base row that a design brings with it
    alone: str | None = None  # the factor that this row changes alone: its base level is the base row

    def error(self, message: str, *inside: str) -> UserError:
        """One line at the row's place, or at a key inside it."""
        return self.document.error((*self.place, *inside), message)


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """What a design says: rows in the order of the file, the factors that make some of them, its nuisance axis."""

    rows: tuple[PlannedRow, ...]
    factors: tuple[Factor, ...]
    best_of: BestOf | None


def expand(design: dict[str, Any], context: Context) -> Expanded:
    """The rows of a design. Raises UserError at the part that is wrong."""
    spec = typed(context.document, context.place, design, Design)
    kinds = [kind for kind in design if kind in KINDS]
    for kind in kinds:
        if not getattr(spec, kind):
            raise context.error((kind,), f"{kind} is empty: it makes no row")
    combined = {kind: factors(context, getattr(spec, kind), (kind,)) for kind in kinds if kind in COMBINED}
    rules, used = _rules(spec, combined, context), set[int]()
    rows: list[PlannedRow] = []
    varied: list[Factor] = []
    for kind in kinds:
        if kind == "one_factor":
            alone = _separate(spec, context)
            rows += _one_factor(alone, context)
            varied += alone
        elif kind in COMBINED:
            rows += _combined(combined[kind], kind, rules, used, context)
            varied += combined[kind]
        elif kind == "rows":
            rows += _listed(spec.rows, context)
        elif kind == "leave_one_out":
            rows += _leave_one_out(spec.leave_one_out, context)
        else:
            rows += _ladder(spec.ladder, context)
    for number in range(len(rules)):
        if number not in used:
            raise context.error(("exclude", number), "this excludes nothing")
    if kinds and not rows:
        raise context.error(("exclude",), "this leaves no row")
    return Expanded(rows=tuple(_once(rows)), factors=tuple(varied), best_of=spec.best_of)


def _once(rows: list[PlannedRow]) -> Iterator[PlannedRow]:
    """Every row once: kinds of design that bring the base row bring the same one, and a listed one stands for it."""
    listed = any(row.id == BASE and not row.brought for row in rows)
    seen: dict[str, PlannedRow] = {}
    for row in rows:
        if row.brought and (listed or BASE in seen):
            continue
        if row.id == BASE and row.changes:
            raise row.error(f"{BASE!r} is the name of the base trial; a row that changes it needs another id")
        before = seen.setdefault(row.id, row)
        if before is not row:
            line, _ = before.document.position(before.place)
            hint = "; give its level an id" if row.levels else ""
            raise row.error(f"row id {row.id!r} stands twice, first in line {line}{hint}")
        yield row


def brought(context: Context, place: Place, label: str = BASE) -> PlannedRow:
    """The base row, as a design brings it."""
    return PlannedRow(
        id=BASE,
        label=label,
        document=context.document,
        place=(*context.place, *place),
        head=RowHead(id=BASE),
        brought=True,
    )


def _listed(rows: list[dict[str, Any]], context: Context) -> Iterator[PlannedRow]:
    for number, raw in enumerate(rows):
        place: Place = ("rows", number)
        said = {key: value for key, value in raw.items() if key in RowHead.__struct_fields__}
        for key in raw:
            if key not in said and not is_field(key):
                raise context.error((*place, key), context.unknown("key or field", key, RowHead.__struct_fields__))
        head = typed(context.document, (*context.place, *place), said, RowHead)
        fields = {key: value for key, value in raw.items() if key not in said}
        yield PlannedRow(
            id=head.id,
            label=head.label or head.id,
            group=head.group,
            document=context.document,
            place=(*context.place, *place),
            head=head,
            changes=tuple(changes_of(context, fields, place)),
            within={
                column: tuple(changes_of(context, said, (*place, "within", column)))
                for column, said in head.within.items()
            },
        )


def _separate(spec: Design, context: Context) -> list[Factor]:
    """Factors that vary one at a time: they may share fields."""
    return [
        one for name, levels in spec.one_factor.items() for one in factors(context, {name: levels}, ("one_factor",))
    ]


def _one_factor(varied: list[Factor], context: Context) -> Iterator[PlannedRow]:
    yield brought(context, ("one_factor",))
    several = len(varied) > 1
    names = short_names(factor.name for factor in varied)
    for factor in varied:
        for number, level in enumerate(factor.levels):
            name = f"{names[factor.name]}={level.id}" if several else level.id
            yield PlannedRow(
                id=name,
                label=level.label,
                group=context.labels.get(factor.name, names[factor.name]) if several else None,
                document=context.document,
                place=(*context.place, "one_factor", factor.name, number),
                head=RowHead(id=name),
                changes=level.changes,
                levels={factor.name: level},
                alone=factor.name,
            )


def _leave_one_out(off: dict[str, Any], context: Context) -> Iterator[PlannedRow]:
    yield brought(context, ("leave_one_out",))
    names = short_names(off)
    for name, value in off.items():
        place = ("leave_one_out", name)
        if is_field(name):
            changes = changes_of(context, {name: value}, place[:1])
        elif isinstance(value, dict):
            changes = changes_of(context, value, place)
        else:
            said = no_field(name, context.model, context.data)
            raise context.error(place, f"{said}; or a name of your own with the fields it sets: {{FIELD: …}}")
        row_id = f"no-{names[name]}"
        yield PlannedRow(
            id=row_id,
            label=f"{MINUS} {context.label(name)}",
            document=context.document,
            place=(*context.place, *place),
            head=RowHead(id=row_id),
            changes=tuple(changes),
        )


def _ladder(steps: list[dict[str, Any]], context: Context) -> Iterator[PlannedRow]:
    yield brought(context, ("ladder",))
    below: dict[tuple[str, ...], Change] = {}
    for number, step in enumerate(steps):
        place: Place = ("ladder", number)
        said = {key: value for key, value in step.items() if key in KEYS_OF_A_STEP}
        fields = {key: value for key, value in step.items() if key not in said and key != "set"}
        for key in fields:
            if not is_field(key):
                raise context.error((*place, key), context.unknown("key or field", key, (*KEYS_OF_A_STEP, "set")))
        mine = flat(changes_of(context, fields, place) + changes_of(context, step.get("set", {}), (*place, "set")))
        if not mine:
            raise context.error(place, "a step of a ladder sets at least one field")
        below |= {change.path: change for change in mine}
        name = str(said.get("id", mine[0].path[-1]))
        head = typed(context.document, (*context.place, *place), said | {"id": name}, RowHead)
        yield PlannedRow(
            id=name,
            label=f"{PLUS} {head.label or f'{context.label(dotted(mine[0].path))} {text(mine[0].value)}'}",
            document=context.document,
            group=head.group,
            place=(*context.place, *place),
            head=head,
            changes=tuple(below.values()),
        )


def _combined(
    varied: list[Factor], kind: str, rules: list[dict[str, str]], used: set[int], context: Context
) -> Iterator[PlannedRow]:
    """The grid of all levels, or the levels paired in order, without what is excluded; which rules were `used`."""
    counts = {factor.name: len(factor.levels) for factor in varied}
    longest = max(counts, key=lambda name: counts[name])
    for name, count in counts.items() if kind == "zip" else ():
        if count != counts[longest]:
            said = f"zip pairs levels: {name} has {count} of them and {longest} {counts[longest]}"
            raise context.error((kind, name), said)
    if kind == "factorial" and (size := math.prod(counts.values())) > MOST_ROWS:
        raise context.error((kind,), f"factorial makes {size:,} rows; at most {MOST_ROWS:,}")
    every = (factor.levels for factor in varied)
    for combination in zip(*every, strict=True) if kind == "zip" else itertools.product(*every):
        levels = {factor.name: level for factor, level in zip(varied, combination, strict=True)}
        if rules:
            ids = {name: level.id for name, level in levels.items()}.items()
            matching = [number for number, rule in enumerate(rules) if rule.items() <= ids]
            used.update(matching)
            if matching:
                continue
        name = ":".join(level.id for level in combination)
        yield PlannedRow(
            id=name,
            label=" · ".join(level.label for level in combination),
            document=context.document,
            place=(*context.place, kind),
            head=RowHead(id=name),
            changes=tuple(change for level in combination for change in level.changes),
            levels=levels,
        )


def _rules(spec: Design, combined: dict[str, list[Factor]], context: Context) -> list[dict[str, str]]:
    """What is excluded, as partial combinations: factor → level's id."""
    known: dict[str, list[str]] = {}
    for factor in itertools.chain(*combined.values()):
        known.setdefault(factor.name, []).extend(level.id for level in factor.levels)
    if spec.exclude and not known:
        raise context.error(("exclude",), "exclude takes rows from factorial or zip; none here")
    for number, rule in enumerate(spec.exclude):
        if not rule:
            raise context.error(("exclude", number), "an exclusion names levels: {FACTOR: LEVEL, …}")
        for name, value in rule.items():
            place = ("exclude", number, name)
            if name not in known:
                raise context.error(place, unknown("factor", name, known))
            if text(value) not in known[name]:
                raise context.error(place, unknown(f"level of {name}", text(value), known[name]))
    return [{name: text(value) for name, value in rule.items()} for rule in spec.exclude]
