"""Plain data as typed structs; where it does not fit, which part, what is allowed there and what was found instead.

msgspec stops at the first part that does not fit, but names no choices and hides the keys of mappings: both are worked
out here, from the type.
"""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from ablations.source import Place
from bench.errors import UserError, unknown

T = TypeVar("T")

MOST_SHOWN = 60  # characters of a value in a message


class Misfit(UserError):
    """A part of a value that its type does not allow."""

    def __init__(self, place: Place, rule: str, *, known: tuple[str, tuple[str, ...]] | None = None) -> None:
        super().__init__(rule)
        self.place = place  # inside the value
        self.rule = rule
        self.known = known  # of a name that there is not: that name, and those that there are

    def line(self, name: str) -> str:
        """What is wrong with the part, called `name`."""
        return f"{name} {self.rule}" if self.known is None else unknown(name, *self.known)


class UnknownKey(Misfit):
    """A key that a mapping cannot have."""

    def line(self, name: str) -> str:
        """What is wrong with the key, whatever it is in."""
        return super().line("key")


def convert(value: Any, kind: type[T]) -> T:
    """A value as a type, strictly: "5" is no number. Raises Misfit."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as problem:
        raise _misfit(value, kind, str(problem)) from problem


def _misfit(value: Any, kind: Any, said: str) -> Misfit:
    place = _place(value, kind, said)
    found, expected = _at(value, place), _type_at(kind, place)
    if missing := re.match(r"Object missing required field `(\w+)`", said):
        return Misfit(place, f"lacks the key {missing[1]!r}")
    if said.startswith("Object contains unknown field"):
        (struct,) = (one for one in _members(expected) if isinstance(one, inspect.StructType))
        names = tuple(field.encode_name for field in struct.fields)
        key = next(key for key in found if key not in names)
        return UnknownKey((*place, key), "is unknown", known=(key, names))
    if isinstance(found, list) and any(isinstance(one, inspect.TupleType) for one in _members(expected)):
        return Misfit(place, f"must be {words(expected)}, not of {len(found)}")
    choices = _choices(expected)
    known = (found, choices) if choices and isinstance(found, str) else None
    return Misfit(place, f"must be {words(expected)}, not {shown(found)}", known=known)


def shown(value: Any) -> str:
    """A value as messages quote it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else _plain(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _plain(value: Any) -> str:
    """A scalar as YAML writes it."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def words(kind: Any) -> str:
    """What a type allows, in words: "a whole number of at least 1 or null"."""
    if isinstance(kind, inspect.Metadata):
        extra: Any = kind.extra_json_schema or {}
        return str(extra.get("description") or words(kind.type))
    if isinstance(kind, inspect.UnionType):
        return " or ".join(dict.fromkeys(words(one) for one in kind.types))
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return ("a whole number" if isinstance(kind, inspect.IntType) else "a number") + _bounds(kind)
    if isinstance(kind, inspect.StructType):
        return f"a mapping of {', '.join(field.encode_name for field in kind.fields)}"
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(map(str, kind.values))
    if isinstance(kind, inspect.TupleType):
        return f"a list of {len(kind.item_types)}"
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return "a list"
    plain: dict[Any, str] = {inspect.StrType: "text", inspect.BoolType: "true or false", inspect.NoneType: "null"}
    return plain.get(type(kind), "a mapping")


def _bounds(kind: "inspect.IntType | inspect.FloatType") -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    pairs = ((kind.gt, "above"), (kind.ge, "of at least"), (kind.lt, "below"), (kind.le, "of at most"))
    said = [f"{word} {bound}" for bound, word in pairs if bound is not None]
    return " " + " and ".join(said) if said else ""


def _choices(kind: Any) -> tuple[str, ...]:
    """The literals that a type allows, where it allows nothing but them and null."""
    kinds = [one for one in _members(kind) if not isinstance(one, inspect.NoneType)]
    if not kinds or not all(isinstance(one, inspect.LiteralType) for one in kinds):
        return ()
    return tuple(str(value) for one in kinds for value in one.values)


def _members(kind: Any) -> list[Any]:
    """The types that a type is made of: those of a union, or itself."""
    if isinstance(kind, inspect.Metadata):
        return _members(kind.type)
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


def _type_at(kind: Any, place: Place) -> Any:
    """The inspected type of a part of a type's values."""
    found: Any = inspect.type_info(kind)
    for step in place:
        found = next(inner for one in _members(found) if (inner := _type_inside(one, step)) is not None)
    return found


def _type_inside(kind: Any, step: str | int) -> Any:
    if isinstance(kind, inspect.StructType):
        return next((field.type for field in kind.fields if field.encode_name == step), None)
    if isinstance(kind, inspect.DictType):
        return kind.value_type
    if isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(step, int):
        return kind.item_type
    if isinstance(kind, inspect.TupleType) and isinstance(step, int):
        return kind.item_types[step]
    return None


def _place(value: Any, kind: Any, said: str) -> Place:
    """The path in what msgspec said, as a place: `$.needs[...].label`, where `[...]` stands for some key."""
    place: Place = ()
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", said.partition(" - at `$")[2]):
        step = _culprit(value, kind, place, said) if index == "..." else name or int(index)
        place = (*place, step)
    return place


def _culprit(value: Any, kind: Any, place: Place, said: str) -> str:
    """The key of a mapping that msgspec meant: it says the same of a mapping of this key alone."""
    mapping: dict[str, Any] = _at(value, place)
    for key, inner in mapping.items():
        try:
            msgspec.convert(_with(value, place, {key: inner}), kind, strict=True)
        except msgspec.ValidationError as problem:
            if str(problem) == said:
                return key
    raise AssertionError(f"no key of {place} is the one that {said!r} speaks of")


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


def _with(value: Any, place: Place, part: Any) -> Any:
    """A value with one part of it replaced."""
    if not place:
        return part
    step, *rest = place
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[step] = _with(value[step], tuple(rest), part)  # type: ignore[index]
    return copied
