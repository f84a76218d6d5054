"""`vitab list`: what there is, one line each."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ablations import shipped
from ablations.fields import paths
from ablations.source import read
from bench import models, registry, train
from bench.trial import Model, Source, Trial
from reports.systems import System, state, systems
from vitab.commands import LISTS

FORMAT = 1


def main(options: argparse.Namespace) -> int:
    """Print one kind, or how many there are of each."""
    if options.kind is None:
        for kind in LISTS:
            items = list(_items(kind))
            shown = ", ".join(name for name, _ in items[:6])
            print(f"{kind:<10}{len(items):>5}  {shown}{', …' if len(items) > 6 else ''}")
        return 0
    if options.kind == "systems" and options.as_json:
        listed = [msgspec.to_builtins(system) | {"state": state(system)} for system in systems()]
        print(msgspec.json.encode({"format": FORMAT, "kind": options.kind, "items": listed}).decode())
        return 0
    items = list(_items(options.kind))
    if options.as_json:
        listed = [{"name": name, "about": about} for name, about in items]
        print(msgspec.json.encode({"format": FORMAT, "kind": options.kind, "items": listed}).decode())
        return 0
    width = min(40, max((len(name) for name, _ in items), default=0))
    for name, about in items:
        print(f"{name:<{width}}  {about}".rstrip())
    return 0


def _items(kind: str) -> Iterator[tuple[str, str]]:
    """Names with a line about each."""
    if kind in ("studies", "tables"):
        for name, path in shipped.names(kind).items():
            yield name, _about_study(path)
    elif kind == "systems":
        for system in systems():
            yield system.name, _about_system(system)
    elif kind == "models":
        for name in models.our_names():
            yield name, _about(registry.load("models", name))
        for library in models.LIBRARIES:
            prefix = "" if library == "timm" else f"{library}:"
            for name in models.installed_names(library) or ():
                yield prefix + name, library
    elif kind == "recipes":
        for name in train.recipes():
            values = train.recipe(name)
            optimizer = f"{values['optimizer']}, lr {values['lr']:g}"
            yield name, f"{optimizer}, batch {values['batch']}, {values['epochs']} epochs: {train.about(name)}"
    elif kind == "knobs":
        yield from _knobs()
    else:
        for name in registry.names(kind):
            yield name, _about_measure(name) if kind == "measures" else _about(registry.load(kind, name))


def _about_study(path: Path) -> str:
    head: Any = read(path).value
    return str(head.get("title") or head.get("question") or "")


def _about_system(system: System) -> str:
    """The state of a system, by what it is measured, where its numbers stand, and what is missing."""
    by = (*system.models, *system.fields, *system.measures, *system.data)
    parts = [", ".join(by), f"in {', '.join(system.studies)}" if system.studies else ""]
    found = state(system)
    if system.missing:
        parts.append(system.missing if found == "missing" else f"missing: {system.missing}")
    return f"{found}: {'; '.join(part for part in parts if part)}"


def _about(module: Any) -> str:
    """The first line of a file's docstring, without its name."""
    line = (module.__doc__ or "").strip().splitlines()[0] if module.__doc__ else ""
    return line.partition(": ")[2] or line


def _about_measure(name: str) -> str:
    module = registry.load("measures", name)
    made = ", ".join(f"{quantity} [{unit}]" for quantity, (unit, _) in module.PRODUCES.items())
    return f"{made}: {_about(module)}" if made else _about(module)


def _knobs() -> Iterator[tuple[str, str]]:
    """Fields that a spec may set: every trial's, then those of each of our models and data sets."""
    every = list(paths(None, None))
    for path in every:
        if not any(other.startswith(f"{path}.") for other in every) and path not in ("model", "data"):
            yield path, _about_field(path)
    yield "data.subset", _about_field("data.subset")
    for kind, struct_name, section in (("models", "Knobs", "model"), ("data", "Options", "data")):
        for name in models.our_names() if kind == "models" else registry.names("data"):
            for field in _fields(getattr(registry.load(kind, name), struct_name)).values():
                yield f"{section}.{field.name}", f"{name}: {_type(field.type)}, {_default(field) or 'required'}"


def _about_field(path: str) -> str:
    """The type of a trial's field, and its default where the trial has one: others are the recipe's or the data's."""
    if path == "train.recipe":
        return " | ".join(train.recipes())
    if path == "command":
        return "a program of yours by the name that your own configuration gives it, and its arguments"
    fields: dict[str, Any] = _fields(Trial)
    *sections, last = ["start" if step == "from" else step for step in path.split(".")]
    for section in sections:
        fields = _fields(_struct(fields[section].type))
    field = fields[last]
    if _struct(field.type) is Source:
        return "a row of the study, a published checkpoint, or a file"
    if _struct(field.type) is Model:
        return "a model's name, or a mapping with its name and knobs, default null"
    return ", ".join(filter(None, (_type(field.type), _default(field))))


def _fields(struct: Any) -> dict[str, Any]:
    return {field.name: field for field in msgspec.inspect.type_info(struct).fields}  # type: ignore[attr-defined]


def _struct(of: Any) -> type | None:
    """The struct that a field holds, also where it may be null or carries metadata."""
    for inner in (of, getattr(of, "type", None), *getattr(of, "types", ())):
        if isinstance(inner, msgspec.inspect.StructType):
            return inner.cls
    return None


def _type(of: Any) -> str:
    """A type as a spec's author knows it: 4, 0.1, true, text, one of some words, a list."""
    if isinstance(of, msgspec.inspect.Metadata):
        return _type(of.type)
    if isinstance(of, msgspec.inspect.UnionType):
        return " | ".join(map(_type, of.types))
    if isinstance(of, msgspec.inspect.LiteralType):
        return " | ".join(map(str, of.values))
    if isinstance(of, msgspec.inspect.VarTupleType):
        return f"list of {_type(of.item_type)}"
    if isinstance(of, msgspec.inspect.TupleType):
        return f"[{', '.join(map(_type, of.item_types))}]"
    name = type(of).__name__.removesuffix("Type").lower()
    return {"str": "text", "float": "number", "none": "null", "dict": "mapping"}.get(name, name)


def _default(field: Any) -> str:
    if field.required:
        return ""
    return f"default {_shown(field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory())}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
