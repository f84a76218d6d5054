"""The systems and methods that tables and lectures speak of, each with its state here: reports/systems.yaml, checked.

measurable   a model that is known here, or a field, a measure or data of ours, is what it takes
reported     its numbers stand in tables here, and nothing measures them yet: `missing` says what it would take
missing      neither
"""

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ablations import shipped
from ablations.fields import check_path, split
from ablations.source import Document, read
from bench import models, registry
from bench.errors import UserError, unknown
from bench.trial import Frozen

State = Literal["measurable", "reported", "missing"]
Text = Annotated[str, Meta(min_length=1)]


class System(Frozen):
    """A system or a method by the name that tables give it, what measures it here, and what is missing."""

    name: Text
    about: Text
    models: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()  # of a trial, which switch it
    measures: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()  # with its numbers, reported or measured
    missing: Text | None = None


def state(system: System) -> State:
    """What can be done about a system here."""
    if system.models or system.fields or system.measures or system.data:
        return "measurable"
    return "reported" if system.studies else "missing"


@cache
def systems() -> tuple[System, ...]:
    """Every system. Raises UserError, at its line, for a name that nothing here has."""
    return listed(read(Path(__file__).with_name("systems.yaml"), name="reports/systems.yaml"))


def listed(document: Document) -> tuple[System, ...]:
    """The systems of a file, each checked. Models of a library that is not installed are taken as they stand."""
    found: dict[str, System] = {}
    for number, entry in enumerate(document.value):
        try:
            system = msgspec.convert(entry, System)
        except msgspec.ValidationError as problem:
            raise document.error((number,), f"no system: {problem}") from problem
        said = _problem(system)
        if system.name in found:
            said = f"{system.name!r} stands twice"
        if said is not None:
            raise document.error((number,), said)
        found[system.name] = system
    return tuple(found.values())


def _problem(system: System) -> str | None:
    """What is wrong with an entry, or None."""
    for model in system.models:
        try:
            models.canonical_name(model)
        except UserError as problem:
            return str(problem)
    for field in system.fields:
        if said := check_path(split(field), None, None):
            return said
    known: tuple[tuple[str, tuple[str, ...], Collection[str]], ...] = (
        ("study", system.studies, shipped.names()),
        ("measure", system.measures, registry.names("measures")),
        ("data set", system.data, registry.names("data")),
    )
    for kind, names, there in known:
        for name in names:
            if name not in there:
                return unknown(kind, name, there)
    if state(system) != "measurable" and system.missing is None:
        return f"{system.name!r} is not measurable, and nothing says what is missing"
    return None
