"""The fields of a trial as a spec names them, and a draft: a trial in the making, with the origin of every value.

`model`, `data` and `command` hold their name and, beside it, knobs, options or arguments of their own, which only their
files know; `train` holds a recipe's name and what is changed of it. The input's size, channels and classes are stated
as `model.image`, `model.channels` and `model.classes`, but they are not the model's: they stay when another model is
named.
"""

import os.path
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path as FilePath
from typing import Any

from ablations.conversion import shown
from ablations.source import Document, Place
from bench import models, registry
from bench.errors import UserError, nearest, unknown
from bench.trial import Distill, Evaluate, Execution, Frozen, Input, Train, Trial

Path = tuple[str, ...]
"""A field's path: ("task",) or ("model", "patch")."""

NAMED = ("model", "data", "command")
"""Sections of a named thing: a text alone is its name, and another name replaces the whole section."""

INPUT = Input.__struct_fields__
"""What a spec states below `model` and a trial keeps in `input`."""

_SECTIONS: dict[str, type[Frozen]] = {
    "input": Input,
    "train": Train,
    "distill": Distill,
    "evaluate": Evaluate,
    "execution": Execution,
}

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

    def inside(self, *names: str) -> "Origin":
        """The origin of a key inside a mapping that was given as a whole."""
        return Origin(self.document, (*self.place, *names), self.text)


@dataclass(frozen=True)
class Change:
    """One field of a trial, or a whole section, set."""

    path: Path
    value: Any
    origin: Origin


class FieldProblem(UserError):
    """A value that a field cannot have; the draft knows who gave it."""

    def __init__(self, path: Path, said: str) -> None:
        super().__init__(said)
        self.path = path


@dataclass
class Draft:
    """A trial's fields as given: nested plain data, and who gave each."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def copy(self) -> "Draft":
        """A draft that can be changed on its own."""
        return Draft({name: copy(value) for name, value in self.values.items()}, dict(self.origins))

    def origin(self, path: Path) -> Origin | None:
        """Who set a field, or the section around it: all of it, or the first of its fields."""
        for length in range(len(path), 0, -1):
            if (known := self.origins.get(path[:length])) is not None:
                return known.inside(*path[length:])
        return next((origin for known, origin in self.origins.items() if known[0] == path[0]), None)

    def file(self, path: Path, given: str) -> str:
        """The absolute path of a file that a field names: relative to the spec that names it, or to where we are."""
        origin = self.origin(path)
        folder = origin.document.folder if origin and origin.document else FilePath()
        return os.path.normpath((folder / FilePath(given).expanduser()).absolute())

    def get(self, path: Path) -> Any:
        """What a field is given as; None where it is not given."""
        section, *inside = stored(path)
        value = self.values.get(section)
        return value.get(inside[0]) if inside and isinstance(value, dict) else None if inside else value

    def name(self, section: str) -> str | None:
        """The model or the data set that is named."""
        name = self.get((section, "name"))
        return name if isinstance(name, str) else None

    def named(self, section: str) -> Change | None:
        """Who named the model or the data set, and how."""
        name, origin = self.name(section), self.origins.get((section, "name"))
        return None if name is None or origin is None else Change((section, "name"), name, origin)

    def set(self, changes: Iterable[Change]) -> None:
        """Apply what one mapping, or one call, says, `flat`. Names come first: another model has other knobs.

        Weights that are named take a training away that was inherited, and a training takes them away.
        """
        changes = sorted(changes, key=_rank)
        given = {change.path[0] for change in changes if change.value is not None}
        for training in sorted(given & {"train", "distill"}) if "weights" in given else ():
            where = next(change.origin for change in changes if change.path[0] == "weights")
            raise where.error(
                f"a trial measures weights that it trains or that it names: `{training}` or `weights`, not both"
            )
        for change in changes:
            self._set(change)
        for stated, taken in (("weights", ("train", "distill")), ("train", ("weights",))):
            if stated in given:
                for section in taken:
                    self._drop(section)

    def _set(self, change: Change) -> None:
        section, *inside = change.path
        if not inside:
            self._drop(section)
            if change.value is not None:
                self.values[section] = change.value
        else:
            if section in NAMED and inside == ["name"] and self.get(change.path) != change.value:
                self._drop(section)
            self.values.setdefault(section, {})[inside[0]] = change.value
        self.origins[change.path] = change.origin

    def _drop(self, section: str) -> None:
        self.values.pop(section, None)
        for path in [path for path in self.origins if path[0] == section]:
            del self.origins[path]


def _rank(change: Change) -> int:
    """Sections as a whole, then names, then the rest."""
    return 0 if len(change.path) == 1 else 1 if change.path[0] in NAMED and change.path[1] == "name" else 2


def _flat(change: Change) -> Iterator[Change]:
    """A change field by field: a section given as a mapping is merged into what was there."""
    section, *inside = change.path
    if inside:
        yield Change(stored(change.path), change.value, change.origin)
    elif change.value is None or section not in (*_SECTIONS, *NAMED):
        yield change
    elif section in NAMED and isinstance(change.value, str):
        yield Change((section, "name"), change.value, change.origin)
    elif isinstance(change.value, dict):
        for name, value in change.value.items():
            yield Change(stored((section, name)), value, change.origin.inside(name))
    else:
        kind = "a name or a mapping" if section in NAMED else "a mapping"
        such = ", such as {recipe: NAME}" if section == "train" else ""
        raise change.origin.error(f"{section} must be {kind}{such}, not {shown(change.value)}")


def flat(changes: Iterable[Change]) -> list[Change]:
    """Changes field by field. Raises UserError where two of them set the same one."""
    found: dict[Path, Change] = {}
    for change in changes:
        for one in _flat(change):
            if one.path in found:
                raise one.origin.error(f"{dotted(one.path)} is set twice")
            found[one.path] = one
    return list(found.values())


def split(text: str) -> Path:
    """`model.patch` as a path; a library's dotted argument stays whole below its section."""
    section, dot, rest = text.partition(".")
    return (section, rest) if dot else (section,)


def stored(path: Path) -> Path:
    """Where a trial keeps a field: `model.image` is the input's."""
    return ("input", path[1]) if path[:1] == ("model",) and path[1:] and path[1] in INPUT else path


def dotted(path: Path) -> str:
    """A path as a spec writes it."""
    return ".".join(("model", *path[1:]) if path[0] == "input" else path)


def is_field(text: str) -> bool:
    """Whether a name can be meant as a trial's field: its first part is one."""
    return text.partition(".")[0] in TOP


def no_field(text: str, model: str | None, data: str | None) -> str:
    """What is wrong with a name that is no field of a trial."""
    if text.partition(".")[0] in ("seed", "seeds"):
        return f"no field {text!r}; a study's `seeds:` stand beside its base"
    near = nearest_field(text, model, data)
    return f"no field {text!r}; nearest: {near!r}" if near else unknown("field", text, TOP)


def nearest_field(text: str, model: str | None, data: str | None) -> str | None:
    """The field that is probably meant: one that ends like this, such as `lr`, or looks like it."""
    known = list(paths(model, data))
    return next((path for path in known if path.rpartition(".")[2] == text), None) or nearest(text, known)


@lru_cache(maxsize=4096)
def check_path(path: Path, model: str | None, data: str | None) -> str | None:
    """What is wrong with a field's path for a model and a data set, or None."""
    if path[0] not in TOP:
        return no_field(dotted(path), model, data)
    known = inner_names(path[0], model, data)
    if len(path) == 1 or known is None or path[1] in known:
        return None
    beside = [f"{path[0]}.{name}" for name in known] or [path[0]]
    return unknown("field", ".".join(path), beside)


def check_fields(draft: Draft) -> None:
    """Raise UserError for a field that there is not, for the model and the data set that were chosen in the end."""
    model, data = draft.name("model"), draft.name("data")
    for path, origin in draft.origins.items():
        if said := check_path(path, model, data):
            raise origin.error(said)


def inner_names(section: str, model: str | None, data: str | None) -> tuple[str, ...] | None:
    """Names below a section; None where anything goes (a library's arguments) or nobody knows yet."""
    if section == "model":
        ours = model is not None and model in models.our_names()
        return ("name", *INPUT, *_own("models", str(model), "Knobs")) if ours else None
    if section == "data":
        known = data is not None and data in registry.names("data")
        return ("name", "subset", *_own("data", str(data), "Options")) if known else None
    if section == "command":
        return None
    return _section_names(section)


@cache
def _section_names(section: str) -> tuple[str, ...]:
    if section not in _SECTIONS:
        return ()
    names = _SECTIONS[section].__struct_fields__
    if section == "train":  # as a spec calls them: `from` is `start`, and the loop's version is not for it to say
        return ("recipe", "from", *(name for name in names if name not in ("start", "version")))
    return names


@cache
def _own(kind: str, name: str, struct: str) -> tuple[str, ...]:
    """Fields that a model or a data set has of its own."""
    fields: tuple[str, ...] = getattr(registry.load(kind, name), struct).__struct_fields__
    return fields


def paths(model: str | None, data: str | None) -> Iterator[str]:
    """Every field that a spec may name, for a model and a data set."""
    for section in TOP:
        yield section
        for name in inner_names(section, model, data) or ():
            yield f"{section}.{name}"
