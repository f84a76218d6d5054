"""Columns: what a table shows of every row. Quantities that are measured, fields of the trial, facts of the row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ablations.conversion import shown
from ablations.design import PlannedRow
from ablations.factors import Context, changes_of
from ablations.fields import NAMED, Change, Path, check_path, is_field, paths, split, stored
from ablations.schema import ColumnHead, typed
from ablations.source import Document, Place
from ablations.study import Study
from bench import registry
from bench.errors import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class QuantityFacts:
    """What is known of a quantity before anything is measured."""

    name: str
    label: str
    unit: str | None
    better: Literal["higher", "lower"] | None
    measure: str | None  # None: nobody here measures it
    needs: str | None = None  # why it is not measured


@dataclass(frozen=True, kw_only=True)
class StudyColumn:
    """One column of a study."""

    name: str
    label: str
    document: Document
    place: Place
    quantity: QuantityFacts | None = None  # None: a field or a fact
    heads: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()  # fields that it sets on every row's trial
    field: Path | None = None
    fact: str | None = None
    difference: bool | None = None
    spread: bool = True  # under a layout: once for every combination of the laid-out levels
    needs: str | None = None  # why its cells are not measured
    source: str = ""  # the column of the spec that it comes from, where a layout made several of one


def columns(study: Study, context: Context) -> list[StudyColumn]:
    """The columns of a study, in the order of its spec."""
    found: dict[str, StudyColumn] = {}
    for number, raw in enumerate(study.spec.columns):
        column = _column(study, context, raw, (number,))
        if column.name in found:
            raise context.error((number,), f"column {column.name!r} stands twice")
        found[column.name] = column
    document, place = study.spot("needs")
    known = {*found, *(column.quantity.name for column in found.values() if column.quantity)}
    if place[:1] == ("settings",):  # it may be for columns that another setting has
        known |= {*registry.quantities(), *study.spec.quantities}
    for name in study.spec.needs:
        if name not in known:
            raise document.error((*place, name), unknown("column", name, known))
    return list(found.values())


def _column(study: Study, context: Context, raw: Any, place: Place) -> StudyColumn:
    name, said, place = _named(context, raw, place)
    plain = {key: value for key, value in said.items() if key in ColumnHead.__struct_fields__}
    fields = {key: value for key, value in said.items() if key not in plain}
    for key in fields:
        if not is_field(key):
            raise context.error((*place, key), context.unknown("key or field", key, ColumnHead.__struct_fields__))
    head = typed(context.document, (*context.place, *place), plain, ColumnHead)
    if head.field is not None or head.fact is not None:
        if beside := [key for key in said if key not in ("field" if head.fact is None else "fact", "label", "heads")]:
            shows = f"a column that shows a {'field' if head.fact is None else 'fact'} measures nothing"
            raise context.error((*place, beside[0]), f"{shows}: {beside[0]} has no place in it")
        return _shown(study, context, name, head, place)
    said_at = (*context.place, *place, *(("quantity",) if head.quantity else ()))
    quantity = quantity_facts(study, head.quantity or name, context.document, said_at)
    needs = study.spec.needs
    return StudyColumn(
        name=name,
        label=head.label or study.spec.labels.get(name) or (quantity.label if name == quantity.name else name),
        document=context.document,
        place=(*context.place, *place),
        quantity=quantity,
        heads=tuple(head.heads),
        changes=(*_setting_changes(study, head.setting, context, place), *changes_of(context, fields, place)),
        difference=head.difference,
        spread=head.spread,
        needs=needs.get(name, needs.get(quantity.name, quantity.needs)),
        source=name,
    )


def _named(context: Context, raw: Any, place: Place) -> tuple[str, dict[str, Any], Place]:
    """A column's name, what it says, and where: `top1`, or `top1: {label: …}`."""
    if isinstance(raw, str):
        return raw, {}, place
    if not (isinstance(raw, dict) and len(raw) == 1):
        raise context.error(place, "a column is a quantity's name, or one name with what it sets: {NAME: {…}}")
    ((name, said),) = raw.items()
    if not name.isprintable() or name != name.strip() or not name or {":", ","} & set(name):
        raise context.error((*place, name), f"{name!r} is no name of a column: a line of text without ':' and ','")
    if not isinstance(said, dict | None):
        raise context.error((*place, name), f"column {name!r} must hold a mapping, not {shown(said)}")
    return name, said or {}, (*place, name)


def _shown(study: Study, context: Context, name: str, head: ColumnHead, place: Place) -> StudyColumn:
    """A column of a field or a fact: it measures nothing."""
    path = None if head.field is None else split(head.field)
    if path is not None and (said := check_path(path, context.model, context.data)):
        raise context.error((*place, "field"), said)
    if path is not None and len(path) == 1 and path[0] not in NAMED:
        inside = [inner for inner in paths(context.model, context.data) if inner.startswith(f"{path[0]}.")]
        if inside:
            raise context.error((*place, "field"), f"{path[0]} holds several fields; allowed: {', '.join(inside)}")
    return StudyColumn(
        name=name,
        label=head.label or study.spec.labels.get(name) or name,
        document=context.document,
        place=(*context.place, *place),
        heads=tuple(head.heads),
        field=None if path is None else stored(path),
        fact=head.fact,
        source=name,
    )


def quantity_facts(study: Study, name: str, document: Document, place: Place) -> QuantityFacts:
    """A quantity that a measure produces, or that the spec declares. Raises UserError with the nearest."""
    measured = registry.quantities()
    if name in measured:
        module = registry.load("measures", measured[name])
        unit, better = module.PRODUCES[name]
        label = getattr(module, "LABELS", {}).get(name, name)
        return QuantityFacts(name=name, label=label, unit=unit, better=better, measure=measured[name])
    if name not in study.spec.quantities:
        known = sorted({*measured, *study.spec.quantities})
        raise document.error(place, unknown("measure", name, known))
    facts = declared(study, name, measure=None)
    return replace(facts, needs=facts.needs or f"a measure of {name}, which there is none of here")


def declared(study: Study, name: str, *, measure: str | None) -> QuantityFacts:
    """A quantity as the spec declares it, and who measures it."""
    said = study.spec.quantities[name]
    return QuantityFacts(
        name=name, label=said.label or name, unit=said.unit, better=said.better, measure=measure, needs=said.needs
    )


def _setting_changes(study: Study, name: str | None, context: Context, place: Place) -> list[Change]:
    """The base of a named setting, as a column applies it."""
    if name is None:
        return []
    if name not in study.spec.settings:
        raise context.error((*place, "setting"), unknown("setting", name, study.spec.settings))
    document, spot = study.spot(f"settings.{name}")
    there = Context(document=document, place=spot, model=context.model, data=context.data, labels={})
    return changes_of(there, study.spec.settings[name].get("base", {}), ("base",))


def check_facts(columns: Iterable[StudyColumn], rows: Iterable[PlannedRow]) -> None:
    """Raise UserError for a column of a fact that no row states."""
    known = {fact for row in rows for fact in row.head.facts}
    for column in columns:
        if column.fact is not None and column.fact not in known:
            raise column.document.error((*column.place, "fact"), unknown("fact", column.fact, known))


def called(columns: Iterable[StudyColumn], name: str) -> list[StudyColumn]:
    """The columns that a name means: that of a column, of what a layout spread, or of a quantity."""
    measured = [column for column in columns if column.quantity is not None]
    return [column for column in measured if name in (column.name, column.source)] or [
        column for column in measured if column.quantity and column.quantity.name == name
    ]


def chosen(columns: Sequence[StudyColumn], names: Iterable[str]) -> list[StudyColumn]:
    """The columns that a call names, each once. Raises UserError with the nearest."""
    found: dict[str, StudyColumn] = {}
    for name in names:
        matching = called(columns, name)
        if not matching:
            raise UserError(unknown("column", name, {column.name for column in columns if column.quantity}))
        found |= {column.name: column for column in matching}
    return list(found.values())
