"""The sections of a trial, each from what a spec says of it: defaults are filled in by whoever owns them.

    recipe → train     knobs → model     options → data     data → input.classes, input.channels     input → sizes

A section is resolved once for equal content (`packed`), because the trials of a grid share most of theirs.
"""

from functools import lru_cache
from typing import Any

import msgspec

from ablations import formulas
from ablations.conversion import Misfit, convert, shown
from ablations.fields import INPUT, FieldProblem, dotted
from ablations.formulas import FORMULA
from bench import data as data_sets
from bench import models, registry
from bench import train as recipes
from bench.errors import Invalid, UserError, unknown
from bench.models import formula
from bench.trial import Data, Evaluate, Execution, Frozen, Input, Model, Train, Trial

WITHOUT_DATA = {"classes": 1000, "channels": 3}
"""ImageNet-1K's: what published counts assume where no data set is named."""

FALLBACK_IMAGE = 224
"""Pixels a side where neither the spec, the model's name nor the data says otherwise."""


def packed(value: Any) -> bytes:
    """Plain data as a key of a cache."""
    return msgspec.msgpack.encode(value)


def unpacked(content: bytes) -> Any:
    """Plain data again, nobody else's."""
    return msgspec.msgpack.decode(content)


def fit(struct: type[Frozen], values: dict[str, Any], section: str) -> Any:
    """A section as its struct. Raises FieldProblem at the value that does not fit."""
    plain = {name: msgspec.to_builtins(value) if isinstance(value, Frozen) else value for name, value in values.items()}
    try:
        return convert(plain, struct)
    except Misfit as problem:
        path = (section, *map(str, problem.place[:1]))
        raise FieldProblem(path, problem.line(dotted(path))) from problem


def word(name: str, value: Any) -> Any:
    """One of the words that a field of a trial allows."""
    try:
        return convert(value, Trial.__annotations__[name])
    except Misfit as problem:
        raise FieldProblem((name,), problem.line(name)) from problem


@lru_cache(maxsize=4096)
def model(content: bytes) -> Model:
    """An architecture by its name, with every knob."""
    knobs = unpacked(content)
    name = knobs.pop("name")
    if not isinstance(name, str):
        raise FieldProblem(("model", "name"), f"model.name must be text, not {shown(name)}")
    try:
        canonical = models.canonical_name(name)
        if canonical in models.our_names():
            knobs = formulas.knobs_of(knobs, _part_of_formula) if canonical == FORMULA else knobs
            fit(registry.load("models", canonical).Knobs, knobs, "model")
        elif null := next((knob for knob, value in knobs.items() if value is None), None):
            said = f"model.{null} must not be null; leave it out to take the library's default"
            raise FieldProblem(("model", null), said)
        return models.resolve(canonical, knobs)
    except FieldProblem:
        raise
    except UserError as problem:
        raise FieldProblem(("model", "name"), str(problem)) from problem


def teacher_model(given: Any) -> Model:
    """The model of a teacher that is a file: a name, or a name and knobs."""
    knobs = {"name": given} if isinstance(given, str) else given
    if not isinstance(knobs, dict) or "name" not in knobs:
        said = f"distill.teacher_model must be a model's name, or a mapping with its name, not {shown(given)}"
        raise FieldProblem(("distill", "teacher_model"), said)
    try:
        return model(packed(knobs))
    except UserError as problem:
        raise FieldProblem(("distill", "teacher_model"), str(problem)) from problem


def _part_of_formula(name: str, given: Any) -> dict[str, Any]:
    """One model of a formula, stated as a trial's is."""
    fields = {"name": given} if isinstance(given, str) else given
    if not isinstance(fields, dict) or "name" not in fields:
        said = f"model.models.{name} must be a model's name, or a mapping with its name"
        raise FieldProblem(("model", "models"), said)
    given_input = {field: value for field, value in fields.items() if field in INPUT}
    try:
        resolved = model(packed({field: value for field, value in fields.items() if field not in INPUT}))
        eats = images(resolved.name, None, packed(given_input))
        if eats.image is None or resolved.name == FORMULA:
            raise Invalid(f"{resolved.name} eats no images")
        part = formula.Part(model=resolved, image=eats.image, channels=eats.channels, classes=eats.classes)
        models.check(part.model, part.input)
    except UserError as problem:
        raise FieldProblem(("model", "models"), f"{name}: {problem}") from problem
    plain: dict[str, Any] = msgspec.to_builtins(part)
    return plain


@lru_cache(maxsize=1024)
def data(content: bytes) -> Data | None:
    """A data set by its name, with every option."""
    options = unpacked(content)
    if not options:
        return None
    name, subset = options.pop("name", None), options.pop("subset", 1.0)
    if name is None:
        raise FieldProblem(("data",), f"data needs a name: {', '.join(registry.names('data'))}")
    if not isinstance(name, str):
        raise FieldProblem(("data", "name"), f"data.name must be text, not {shown(name)}")
    if name not in registry.names("data"):
        raise FieldProblem(("data", "name"), unknown("data set", name, registry.names("data")))
    fit(registry.load("data", name).Options, options, "data")
    fit(Data, {"name": name, "subset": subset}, "data")
    return data_sets.resolve(name, options, subset=float(subset))


def derived(known: Data | None) -> dict[str, int]:
    """Classes and channels of the data, else ImageNet's."""
    if known is None:
        return WITHOUT_DATA
    facts = data_sets.facts(known)
    return {"classes": facts.classes, "channels": facts.channels}


def unsized(known: Data | None, given: Any) -> Input:
    """The input of what is no model here: nobody knows at which size the images were seen."""
    section: Input = fit(Input, {"image": None} | derived(known) | (given or {}), "input")
    return section


@lru_cache(maxsize=4096)
def images(name: str, of_data: bytes | None, content: bytes) -> Input:
    """A model's input: its size, channels and classes as stated, else its own or the data's, else ImageNet's."""
    known = None if of_data is None else msgspec.msgpack.decode(of_data, type=Data)
    usual = models.usual_input(name)
    given: dict[str, Any] = usual | (unpacked(content) or {})
    if "tokens" in usual:
        given = {"image": None} | given
    elif given.get("image") is None:
        try:
            native = FALLBACK_IMAGE if known is None else data_sets.facts(known).image
            given["image"] = _library_image(name) or native
        except UserError as problem:
            raise FieldProblem(("model", "name"), f"{problem}: `model.image`") from problem
    section: Input = fit(Input, derived(known) | given, "input")
    return section


def _library_image(name: str) -> int | None:
    """The size that a library's model is made for; None for ours, which have none of their own."""
    library, colon, own = name.partition(":")
    if not colon:
        return None
    size: int = registry.load("models", library).default_image(own.partition(".")[0])
    return size


@lru_cache(maxsize=4096)
def train(content: bytes, image: int) -> Train:
    """A recipe by its name, with what is changed of it, at the size of the model where it states none."""
    given = unpacked(content)
    name = given.pop("recipe", None)
    values: dict[str, Any] = {}
    if name is not None:
        if not isinstance(name, str):
            raise FieldProblem(("train", "recipe"), f"train.recipe must be the name of a recipe, not {shown(name)}")
        if name not in recipes.recipes():
            raise FieldProblem(("train", "recipe"), unknown("recipe", name, recipes.recipes()))
        values = _recipe(name)
    merged = {"image": image} | values | given
    lacking = [field.name for field in msgspec.structs.fields(Train) if field.required and field.name not in merged]
    if lacking:
        known = ", ".join(recipes.recipes())
        raise FieldProblem(("train",), f"train lacks {', '.join(lacking)}; name a recipe: {known}")
    section: Train = fit(Train, merged | {"version": recipes.VERSION}, "train")
    return section


_recipe = lru_cache(recipes.recipe)


@lru_cache(maxsize=1024)
def evaluate(content: bytes, image: int) -> Evaluate:
    """The protocol, at the size of the model where it states none."""
    section: Evaluate = fit(Evaluate, {"image": image} | unpacked(content), "evaluate")
    return section


@lru_cache(maxsize=1024)
def execution(content: bytes) -> Execution:
    """How the work is carried out."""
    section: Execution = fit(Execution, unpacked(content), "execution")
    return section
