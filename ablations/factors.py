"""Factors: what a design varies, and the levels that it takes. Free mappings of trial fields, as changes."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ablations.conversion import shown
from ablations.fields import (
    NAMED,
    TOP,
    Change,
    Origin,
    Path,
    check_path,
    dotted,
    flat,
    is_field,
    nearest_field,
    no_field,
    split,
)
from ablations.schema import LevelHead, typed
from ablations.source import Document, Place
from bench.errors import UserError, nearest, unknown

A_LEVEL = "{id: NAME, set: {FIELD: …}}"


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
class Context:
    """Where a part of a spec stands, and what names mean there."""

    document: Document
    place: Place
    model: str | None  # of the base, for the fields that it has
    data: str | None
    labels: dict[str, str]

    def label(self, name: str) -> str:
        """What a factor is called in the table."""
        return self.labels.get(name, name.rpartition(".")[2])

    def error(self, place: Place, message: str) -> UserError:
        """One line at a place below this part."""
        return self.document.error((*self.place, *place), message)

    def unknown(self, kind: str, name: str, known: Collection[str] = ()) -> str:
        """What is wrong with a name that is neither one of `known` nor a trial's field."""
        if name in ("seed", "seeds"):
            return no_field(name, self.model, self.data)
        near = nearest(name, known) or nearest_field(name, self.model, self.data)
        return f"no {kind} {name!r}; nearest: {near!r}" if near else unknown(kind, name, (*known, *TOP), most=40)


def factor(context: Context, name: str, values: list[Any], place: Place) -> Factor:
    """A factor: a trial's field, or a name whose levels each set fields. `place` is below the context's."""
    path = split(name) if is_field(name) else None
    if path is not None and (said := check_path(path, context.model, context.data)):
        raise context.error(place, said)
    if not values:
        raise context.error(place, f"factor {name} has no level")
    if path is None:
        _check_named(context, name, values, place)
    levels: dict[str, Level] = {}
    for number, value in enumerate(values):
        level = _level(context, path, value, (*place, number))
        if level.id in levels:
            twice = f"level {level.id!r} of {name} stands twice; another value of that name needs an id"
            raise context.error((*place, number), f"{twice}: {{id: NAME, value: …}}")
        levels[level.id] = level
    return Factor(name=name, label=context.label(name), levels=tuple(levels.values()), path=path)


def _check_named(context: Context, name: str, values: list[Any], place: Place) -> None:
    """Raise UserError where a name that is no field is no factor of its own either."""
    setting = [isinstance(value, dict) and "set" in value for value in values]
    if all(setting):
        return
    if any(setting):
        said = f"{name} is no field, and so each of its levels sets some: {A_LEVEL}"
        raise context.error((*place, setting.index(False)), said)
    near = nearest_field(name, context.model, context.data)
    said = f"nearest: {near!r}" if near else f"a factor of another name has levels that set fields: {A_LEVEL}"
    raise context.error(place, f"no field {name!r}; {said}")


def factors(context: Context, levels_by_name: dict[str, list[Any]], place: Place) -> list[Factor]:
    """Several factors. Raises UserError where two of them would set the same field."""
    found = [factor(context, name, levels, (*place, name)) for name, levels in levels_by_name.items()]
    owners: dict[Path, str] = {}
    for one in found:
        for path in {change.path for level in one.levels for change in level.changes}:
            if path in owners:
                raise context.error((*place, one.name), f"{one.name} and {owners[path]} both set {dotted(path)}")
            owners[path] = one.name
    return found


def _level(context: Context, path: Path | None, value: Any, place: Place) -> Level:
    """A level: a plain value of the factor's field, or a mapping with an id of its own."""
    if not (isinstance(value, dict) and ("set" in value or "value" in value) and not _is_named(path, value)):
        assert path is not None
        origin = Origin(context.document, (*context.place, *place))
        name = _level_id(context, value, place)
        return Level(id=name, label=name, changes=tuple(flat([Change(path, value, origin)])))
    said = typed(context.document, (*context.place, *place), value, LevelHead)
    if path is None and "value" in value:
        raise context.error((*place, "value"), "this factor is no field of the trial: its levels `set` fields")
    if said.id is None and "value" not in value:
        raise context.error(place, f"a level that sets fields needs an id: {A_LEVEL}")
    changes = changes_of(context, said.set, (*place, "set"))
    if path is not None and "value" in value:
        origin = Origin(context.document, (*context.place, *place, "value"))
        changes = flat([Change(path, said.value, origin), *changes])
    name = _level_id(context, said.value if said.id is None else said.id, place)
    return Level(id=name, label=said.label or name, changes=tuple(changes))


def _is_named(path: Path | None, value: dict[str, Any]) -> bool:
    """Whether a mapping is a model or a data set with its options, one of which may be called `set`."""
    return path is not None and path[0] in NAMED and len(path) == 1 and "name" in value


def _level_id(context: Context, value: Any, place: Place) -> str:
    """A level's id: the parts of rows' ids, which people type. Raises UserError for what nobody can."""
    name = text(value)
    if not name or not name.isprintable() or name != name.strip():
        raise context.error(place, f"{name!r} is no id of a level; give it one of a line of text: {{id: NAME, …}}")
    return name


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The last part of each name, or all of it where two would be the same: patch; model.image and train.image."""
    ends = {name: name.rpartition(".")[2] for name in names}
    count = Counter(ends.values())
    return {name: end if count[end] == 1 else name for name, end in ends.items()}


def changes_of(context: Context, mapping: Any, place: Place) -> list[Change]:
    """A free mapping of trial fields, nested or dotted, field by field. Which fields a model has is checked later."""
    if not isinstance(mapping, dict):
        raise context.error(place, f"{place[-1]} must be a mapping of trial fields, not {shown(mapping)}")
    changes = []
    for name, value in mapping.items():
        if not is_field(name):
            raise context.error((*place, name), no_field(name, context.model, context.data))
        changes.append(Change(split(name), value, Origin(context.document, (*context.place, *place, name))))
    return flat(changes)


def text(value: Any) -> str:
    """A value as an id and a label: none, on, off, 0.1, 2-2-6-2, a named thing's name."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, list):
        return "-".join(map(text, value))
    if isinstance(value, dict):
        return str(value["name"]) if "name" in value else ",".join(f"{key}={text(v)}" for key, v in value.items())
    return str(value)
