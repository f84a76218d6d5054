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
from bench.trial import Trial
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
    elif kind == "models":
        for name in models.our_names():
            yield name, _about(registry.load("models", name))
        for library in models.LIBRARIES:
            prefix = "" if library == "timm" else f"{library}:"
            for name in registry.load("models", library).names():
                yield prefix + name, library
    elif kind == "recipes":
        for name in train.recipes():
            values = train.recipe(name)
            optimizer = f"{values['optimizer']}, lr {values['lr']:g}"
            yield name, f"{optimizer}, batch {values['batch']}, {values['epochs']} epochs"
    elif kind == "knobs":
        yield from _knobs()
    else:
        for name in registry.names(kind):
            yield name, _about_measure(name) if kind == "measures" else _about(registry.load(kind, name))


def _about_study(path: Path) -> str:
    head: Any = read(path).value
    return str(head.get("title") or head.get("question") or "")


def _about(module: Any) -> str:
    """The first line of a file's docstring, without its name."""
    line = (module.__doc__ or "").strip().splitlines()[0] if module.__doc__ else ""
    return line.partition(": ")[2] or line


def _about_measure(name: str) -> str:
    module = registry.load("measures", name)
    made = ", ".join(f"{quantity} [{unit}]" for quantity, (unit, _) in module.PRODUCES.items())
    return f"{made}: {_about(module)}"


def _knobs() -> Iterator[tuple[str, str]]:
    """Fields that a spec may set: every trial's, then those of each of our models and data sets."""
    for path in paths(None, None):
        if path not in ("model", "data"):
            yield path, _default(path)
    for kind, struct_name, section in (("models", "Knobs", "model"), ("data", "Options", "data")):
        for name in models.our_names() if kind == "models" else registry.names("data"):
            struct = getattr(registry.load(kind, name), struct_name)
            for knob in msgspec.structs.fields(struct):
                given = "required" if knob.required else f"default {_shown(knob.default)}"
                yield f"{section}.{knob.name}", f"{name}: {_type(struct, knob.name)}, {given}"


def _default(path: str) -> str:
    section, _, name = path.partition(".")
    for field in msgspec.structs.fields(Trial):
        if field.name == section and not name:
            unsaid = field.required or field.default in (None, msgspec.NODEFAULT)
            return "" if unsaid else f"default {_shown(field.default)}"
    return ""


def _type(struct: type, name: str) -> str:
    for field in msgspec.inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        if field.name == name:
            choices = getattr(field.type, "values", None)
            return " | ".join(map(str, choices)) if choices else type(field.type).__name__.removesuffix("Type").lower()
    return ""


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
