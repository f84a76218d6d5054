"""Designs: which rows a study has. A row is its base trial with some fields changed, and what is said about it.

Listed kinds (rows, one_factor, leave_one_out, ladder, zip) stand below one another; only `factorial` multiplies.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ablations.fields import Origin, Path, check_path, is_field, paths, split
from ablations.schema import BestOf, Design, RowHead, typed
from ablations.source import Document, Place
from bench.errors import UserError, unknown

BASE = "base"
"""The name by which edges mean the base trial, whatever its row is called."""

MINUS, PLUS = "−", "+"


@dataclass(frozen=True)
class Change:
    """One field of the trial, set."""

    path: Path
    value: Any
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of a factor."""

    id: str
    label: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A factor and its levels, in the order of the spec."""

    name: str
    label: str
    levels: tuple[Level, ...]
    path: Path | None  # None: every level sets fields of its own


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A row before its trial is resolved."""

    id: str
    label: str
    document: Document
    place: Place
    changes: tuple[Change, ...] = ()
    factors: dict[str, str] = field(default_factory=dict)  # factor → level's label
    group: str | None = None
    head: RowHead = RowHead(id="row")
    implicit_base: bool = False  # the base row that a design brings with it
    one_factor: str | None = None  # the factor that this row changes alone: its base level is the base row

    def error(self, message: str) -> UserError:
        """One line at the row's place."""
        return self.document.error(self.place, message)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an expansion needs besides the design: where it stands, and what names mean."""

    document: Document
    place: Place  # of `design`
    model: str | None  # of the base, for the fields that it has
    data: str | None
    labels: dict[str, str]

    def label(self, name: str) -> str:
        """What a factor is called in the table."""
        return self.labels.get(name, name.rpartition(".")[2])


def expand(design: dict[str, Any], context: Context) -> tuple[list[PlannedRow], list[Factor], BestOf | None]:
    """The rows of a design, its factors, and its nuisance axis."""
    spec = typed(context.document, context.place, design, Design)
    rows: list[PlannedRow] = []
    factors: list[Factor] = []
    for kind in design:  # the order of the file
        if kind == "rows":
            rows += _listed(spec.rows, context)
        elif kind == "one_factor":
            found = [factor_of(context, name, levels, (kind, name)) for name, levels in spec.one_factor.items()]
            rows += _one_factor(found, context)
            factors += found
        elif kind == "leave_one_out":
            rows += _leave_one_out(spec.leave_one_out, context)
        elif kind == "ladder":
            rows += _ladder(spec.ladder, context)
        elif kind in ("factorial", "zip"):
            levels_by_name = spec.factorial if kind == "factorial" else spec.zip
            found = [factor_of(context, name, levels, (kind, name)) for name, levels in levels_by_name.items()]
            rows += _combined(found, kind, spec.exclude, context)
            factors += found
    if "exclude" in design and not design.get("factorial") and not design.get("zip"):
        raise context.document.error((*context.place, "exclude"), "exclude takes rows from factorial or zip; none here")
    return rows, factors, spec.best_of


def factor_of(context: Context, name: str, values: list[Any], where: Place) -> Factor:
    """A factor: a trial's field, or a name whose levels each set fields."""
    place = (*context.place, *where)
    path = split(name) if is_field(name) else None
    if path is not None and (said := check_path(path, context.model, context.data)):
        raise context.document.error(place, said)
    if path is None and not all(isinstance(value, dict) and "set" in value for value in values):
        known = paths(context.model, context.data)
        raise context.document.error(
            place, unknown("field", name, known) + "; a factor of another name sets fields: {id: NAME, set: {FIELD: …}}"
        )
    if not values:
        raise context.document.error(place, f"factor {name} has no level")
    levels = tuple(_level(context, path, value, (*place, number)) for number, value in enumerate(values))
    seen: dict[str, int] = {}
    for number, level in enumerate(levels):
        if level.id in seen:
            raise context.document.error((*place, number), f"level {level.id!r} of {name} stands twice")
        seen[level.id] = number
    return Factor(name=name, label=context.label(name), levels=levels, path=path)


def _level(context: Context, path: Path | None, value: Any, place: Place) -> Level:
    origin = Origin(context.document, place)
    if isinstance(value, dict) and ("set" in value or "value" in value):
        for key in value:
            if key not in ("id", "label", "set", "value"):
                raise context.document.error(
                    (*place, key), unknown("key of a level", key, ("id", "label", "set", "value"))
                )
        changes: list[Change] = []
        if "value" in value:
            if path is None:
                raise origin.error("this factor is no field of the trial: its levels `set` fields")
            changes.append(Change(path, value["value"], Origin(context.document, (*place, "value"))))
        changes += changes_of(context, value.get("set", {}), (*place, "set"))
        if "id" not in value and "value" not in value:
            raise origin.error("a level that sets fields needs an id")
        name = str(value.get("id", text(value.get("value"))))
        return Level(id=name, label=str(value.get("label", name)), changes=tuple(changes))
    assert path is not None
    return Level(id=text(value), label=text(value), changes=(Change(path, value, origin),))


def changes_of(context: Context, mapping: Any, place: Place) -> list[Change]:
    """A free mapping of trial fields, nested or dotted, as changes. Which fields exist is checked as a whole later."""
    if not isinstance(mapping, dict):
        raise context.document.error(place, f"must be a mapping of trial fields, not {mapping!r}")
    changes = []
    for name, value in mapping.items():
        inner = (*place, name)
        path = split(name)
        if not is_field(name):
            raise context.document.error(inner, unknown("field", name, paths(context.model, context.data)))
        changes.append(Change(path, value, Origin(context.document, inner)))
    return changes


def _listed(rows: list[dict[str, Any]], context: Context) -> Iterator[PlannedRow]:
    for number, raw in enumerate(rows):
        place = (*context.place, "rows", number)
        said = {key: value for key, value in raw.items() if key in RowHead.__struct_fields__}
        if "id" not in raw:
            raise context.document.error(place, "a row needs an id")
        for key in raw:
            if key not in said and not is_field(key):
                known = (*RowHead.__struct_fields__, *paths(context.model, context.data))
                raise context.document.error((*place, key), unknown("key or field", key, known))
        head = typed(context.document, place, said, RowHead)
        fields = {key: value for key, value in raw.items() if key not in said}
        yield PlannedRow(
            id=head.id,
            label=head.label or head.id,
            group=head.group,
            document=context.document,
            place=place,
            changes=tuple(changes_of(context, fields, place)),
            head=head,
        )


def _base_row(context: Context, kind: str, label: str = BASE) -> PlannedRow:
    return PlannedRow(
        id=BASE, label=label, document=context.document, place=(*context.place, kind), implicit_base=True
    )


def _one_factor(factors: list[Factor], context: Context) -> Iterator[PlannedRow]:
    yield _base_row(context, "one_factor")
    several = len(factors) > 1
    for factor in factors:
        for level in factor.levels:
            yield PlannedRow(
                id=f"{factor.label}={level.id}" if several else level.id,
                label=level.label,
                group=factor.label if several else None,
                document=context.document,
                place=level.changes[0].origin.place if level.changes else (*context.place, "one_factor", factor.name),
                changes=level.changes,
                factors={factor.name: level.label},
                one_factor=factor.name,
            )


def _leave_one_out(off: dict[str, Any], context: Context) -> Iterator[PlannedRow]:
    yield _base_row(context, "leave_one_out")
    for name, value in off.items():
        place = (*context.place, "leave_one_out", name)
        if is_field(name):
            changes = changes_of(context, {name: value}, place[:-1])
        else:
            if not isinstance(value, dict):
                raise context.document.error(place, unknown("field", name, paths(context.model, context.data)))
            changes = changes_of(context, value, place)
        yield PlannedRow(
            id=f"no-{name.rpartition('.')[2]}",
            label=f"{MINUS} {context.label(name)}",
            document=context.document,
            place=place,
            changes=tuple(changes),
        )


def _ladder(steps: list[dict[str, Any]], context: Context) -> Iterator[PlannedRow]:
    yield _base_row(context, "ladder")
    below: list[Change] = []
    for number, step in enumerate(steps):
        place = (*context.place, "ladder", number)
        said = {key: step[key] for key in ("id", "label", "set", "reported", "facts", "notes") if key in step}
        fields = {key: value for key, value in step.items() if key not in said}
        mine = changes_of(context, fields, place) + changes_of(context, said.pop("set", {}), (*place, "set"))
        if not mine:
            raise context.document.error(place, "a step of a ladder sets at least one field")
        below += mine
        last = mine[0]
        name = str(said.get("id", last.path[-1]))
        head = typed(context.document, place, said | {"id": name}, RowHead)
        yield PlannedRow(
            id=name,
            label=f"{PLUS} {head.label or f'{context.label(last.path[-1])} {text(last.value)}'}",
            document=context.document,
            place=place,
            changes=tuple(below),
            head=head,
        )


def _combined(
    factors: list[Factor], kind: str, exclude: list[dict[str, Any]], context: Context
) -> Iterator[PlannedRow]:
    """The grid of all levels, or the levels paired in order."""
    if not factors:
        return
    if kind == "zip":
        longest = max(factors, key=lambda factor: len(factor.levels))
        for factor in factors:
            if len(factor.levels) != len(longest.levels):
                raise context.document.error(
                    (*context.place, kind, factor.name),
                    f"{factor.name} has {len(factor.levels)} levels and {longest.name} has {len(longest.levels)};"
                    " zip pairs them",
                )
    combinations: Iterable[tuple[Level, ...]] = (
        zip(*(factor.levels for factor in factors), strict=True)
        if kind == "zip"
        else itertools.product(*(factor.levels for factor in factors))
    )
    rules = [_rule(rule, factors, context, number) for number, rule in enumerate(exclude)]
    hits = [0] * len(rules)
    for levels in combinations:
        named = {factor.name: level.id for factor, level in zip(factors, levels, strict=True)}
        matching = [number for number, rule in enumerate(rules) if rule.items() <= named.items()]
        for number in matching:
            hits[number] += 1
        if matching:
            continue
        yield PlannedRow(
            id=":".join(level.id for level in levels),
            label=" · ".join(level.label for level in levels),
            document=context.document,
            place=(*context.place, kind),
            changes=tuple(change for level in levels for change in level.changes),
            factors={factor.name: level.label for factor, level in zip(factors, levels, strict=True)},
        )
    for number, count in enumerate(hits):
        if not count:
            raise context.document.error((*context.place, "exclude", number), "this excludes nothing")


def _rule(rule: dict[str, Any], factors: list[Factor], context: Context, number: int) -> dict[str, str]:
    """A partial combination: factor → level's id."""
    place = (*context.place, "exclude", number)
    known = {factor.name: factor for factor in factors}
    found = {}
    for name, value in rule.items():
        if name not in known:
            raise context.document.error((*place, name), unknown("factor", name, known))
        ids = [level.id for level in known[name].levels]
        if text(value) not in ids:
            raise context.document.error((*place, name), unknown(f"level of {name}", text(value), ids))
        found[name] = text(value)
    return found


def text(value: Any) -> str:
    """A level as its id and label: none, on, off, 0.1, 2-2-6-2, a named thing's name."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "-".join(map(text, value))
    if isinstance(value, dict):
        return str(value["name"]) if "name" in value else ",".join(f"{key}={text(v)}" for key, v in value.items())
    return str(value)
