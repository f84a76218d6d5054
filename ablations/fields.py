"""The fields of a trial as a spec names them, and a draft: a trial in the making, with the origin of every value.

`model` and `data` hold their name and, beside it, knobs or options of their own, which only their files know; `train`
holds a recipe's name and what is changed of it. `model.image` is the input size.
"""

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ablations.source import Document, Place
from bench import registry
from bench.errors import UserError, unknown
from bench.trial import Distill, Evaluate, Execution, Frozen, Input, Train, Trial

Path = tuple[str, ...]
"""A field's path: ("model", "patch")."""

NAMED = ("model", "data")
"""Sections of a named thing: a text alone is its name, and another name replaces the whole section."""

OPTIONAL = ("data", "train", "distill", "weights", "evaluate")
"""Sections that a trial may do without: null takes them away."""

_SECTIONS: dict[str, type[Frozen]] = {
    "input": Input, "train": Train, "distill": Distill, "evaluate": Evaluate, "execution": Execution,
}
_RENAMED = {"start": "from"}  # what a spec calls it
_NOT_STATED = {("train", "version")}
_EXTRA = {("train", "recipe")}

TOP = tuple(name for name in Trial.__struct_fields__ if name != "seed")  # seeds belong to the study


@dataclass(frozen=True)
class Origin:
    """Who set a value: for messages."""

    document: Document | None
    place: Place
    text: str = ""  # where there is no document: "--set model.patch=3"

    def error(self, message: str) -> UserError:
        """One line that says where."""
        if self.document is None:
            return UserError(f"{self.text}: {message}")
        return self.document.error(self.place, message)


@dataclass
class Draft:
    """A trial's fields as given: nested plain data, and who gave each."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def copy(self) -> "Draft":
        """A draft that can be changed on its own. Values below sections are never changed in place."""
        return Draft(
            {name: copy(value) if isinstance(value, dict) else value for name, value in self.values.items()},
            dict(self.origins),
        )

    def origin(self, path: Path) -> Origin | None:
        """Who set a field, or the nearest one around it."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path[:-1]
        return None

    def get(self, path: Path) -> Any:
        """What a field is given as; None where it is not given."""
        value: Any = self.values
        for step in path:
            if not isinstance(value, dict) or step not in value:
                return None
            value = value[step]
        return value

    def set(self, path: Path, value: Any, origin: Origin) -> None:
        """Give a field, or a whole section, a value."""
        section = path[0]
        if len(path) == 1:
            self._set_section(section, value, origin)
        else:
            name = ".".join(path[1:])
            if section == "model" and name in ("image", "channels", "classes"):
                section = "input"
            if section in NAMED and name == "name" and self.get((section, "name")) != value:
                self._drop(section)  # another model has other knobs
            inside = dict(self.values.get(section) or {})
            inside[name] = value
            self.values[section] = inside
            self.origins[(section, name)] = origin
        self._exclusive(section)

    def _set_section(self, section: str, value: Any, origin: Origin) -> None:
        if value is None or section not in (*_SECTIONS, *NAMED):
            self._drop(section)
            if section == "weights" or value is not None:
                self.values[section] = value
            self.origins[(section,)] = origin
            return
        if section in NAMED and isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            raise origin.error(f"{section} must be {'a name or ' if section in NAMED else ''}a mapping, not {value!r}")
        if "name" in value and section in NAMED:
            self.set((section, "name"), value["name"], _inside(origin, "name"))
        for name, inner in value.items():
            if not (name == "name" and section in NAMED):
                self.set((section, name), inner, _inside(origin, name))
        self.origins.setdefault((section,), origin)

    def _exclusive(self, section: str) -> None:
        """A trial measures what it trains or weights that are named: stating one takes the other away."""
        if section == "weights" and self.values.get("weights") is not None:
            self._drop("train")
            self._drop("distill")
        if section == "train" and self.values.get("train") is not None:
            self._drop("weights")

    def _drop(self, section: str) -> None:
        self.values.pop(section, None)
        for path in [path for path in self.origins if path[0] == section]:
            del self.origins[path]


def _inside(origin: Origin, name: str) -> Origin:
    """The origin of a key inside a mapping that was given as a whole."""
    return Origin(origin.document, (*origin.place, name), origin.text)


def split(text: str) -> Path:
    """`model.patch` as a path; a library's dotted argument stays whole below its section."""
    section, dot, rest = text.partition(".")
    return (section, rest) if dot else (section,)


def check_path(path: Path, model: str | None, data: str | None) -> str | None:
    """What is wrong with a field's path for a model and a data set, or None."""
    section = path[0]
    if section not in TOP:
        return _no_field(path, model, data)
    if len(path) == 1:
        return None
    known = inner_names(section, model, data)
    if known is None or path[1] in known:
        return None
    return _no_field(path, model, data)


def is_field(text: str) -> bool:
    """Whether a name can be meant as a trial's field: its first part is one."""
    return text.partition(".")[0] in TOP


def inner_names(section: str, model: str | None, data: str | None) -> tuple[str, ...] | None:
    """Names below a section; None where anything goes (a library's arguments)."""
    if section == "model":
        head = ("name", "image", "channels", "classes")
        return None if model is None or ":" in model or model not in _ours() else (*head, *_knobs("models", model))
    if section == "data":
        return None if data is None else ("name", "subset", *_knobs("data", data))
    if section not in _SECTIONS:
        return ()
    return _section_names(section)


@cache
def _section_names(section: str) -> tuple[str, ...]:
    names = [_RENAMED.get(name, name) for name in _SECTIONS[section].__struct_fields__]
    stated = [name for name in names if (section, name) not in _NOT_STATED]
    return (*stated, *(name for extra, name in sorted(_EXTRA) if extra == section))


@cache
def _knobs(kind: str, name: str) -> tuple[str, ...]:
    module = registry.load(kind, name)
    struct = module.Knobs if kind == "models" else module.Options
    return tuple(struct.__struct_fields__)


@cache
def _ours() -> tuple[str, ...]:
    from bench import models

    return models.our_names()


def paths(model: str | None, data: str | None) -> Iterator[str]:
    """Every field that a spec may name, for a model and a data set."""
    for section in TOP:
        yield section
        for name in inner_names(section, model, data) or ():
            yield f"{section}.{name}"


def _no_field(path: Path, model: str | None, data: str | None) -> str:
    name = ".".join(path)
    known: Iterable[str] = paths(model, data)
    if path[0] in TOP and len(path) > 1:  # of a section: its own names first
        known = [text for text in paths(model, data) if text.startswith(f"{path[0]}.")] or [path[0]]
    return unknown("field", name, known)
