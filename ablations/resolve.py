"""A draft becomes a trial: defaults filled in by whoever owns them, input derived from data, nothing left open.

    recipe → train     knobs → model     options → data     data → input.classes, input.channels     input → sizes

Sections are resolved once for equal content, because the trials of a grid share most of theirs.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec

from ablations.conversion import Misfit, convert
from ablations.fields import Draft, Path, check_path, dotted
from bench import data as data_sets
from bench import models, registry, train
from bench.errors import Invalid, UserError, unknown
from bench.trial import Data, Distill, Evaluate, Execution, Frozen, Input, Model, Source, Train, Trial

WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".npz")

WITHOUT_DATA = {"classes": 1000, "channels": 3}
"""ImageNet-1K's: what published counts assume where no data set is named."""

FALLBACK_IMAGE = 224
"""Pixels a side where neither the spec, the model's name nor the data says otherwise."""

_WORDS = ("task", "precision", "attention")
"""Fields of a trial that are one word."""


class Edge(Frozen):
    """Weights of another row of the same study."""

    row: str
    seed: int | Literal["same"] = "same"


FindSource = Callable[[Edge], Source]


class NoSource(UserError):
    """An edge that leads to no weights; whoever follows it knows the field that states it."""


class FieldProblem(UserError):
    """A value that a field cannot have; the draft knows who gave it."""

    def __init__(self, path: Path, said: str) -> None:
        super().__init__(said)
        self.path = path


def resolve(draft: Draft, *, seed: int | None, find: FindSource) -> Trial:
    """A trial with nothing left open. Raises UserError, at the place in the spec that is wrong."""
    try:
        return _resolve(draft, seed, find)
    except FieldProblem as problem:
        origin = draft.origin(problem.path)
        raise (origin.error(str(problem)) if origin else UserError(str(problem))) from problem


def check(trial: Trial) -> list[str]:
    """Apply every rule that is known without data or torch. Raises Invalid; returns notes for the row."""
    notes = list(models.check(trial.model, trial.input))
    for image in {trial.train and trial.train.image, trial.evaluate and trial.evaluate.image}:
        if image is not None and image != trial.input.image:
            models.check(trial.model, msgspec.structs.replace(trial.input, image=image))
    if trial.train is not None:
        train.check(trial)
    if trial.distill is not None and trial.train is None:
        raise Invalid("a teacher needs a student that is trained: `distill` without `train`")
    return notes


def _resolve(draft: Draft, seed: int | None, find: FindSource) -> Trial:
    values = draft.values
    _known_fields(draft)
    data = _data(_packed(values.get("data")))
    model = _model(_packed(values.get("model")))
    input_ = _input(model.name, None if data is None else _packed(data), _packed(values.get("input")))
    recipe, distill = dict(values.get("train") or {}), dict(values.get("distill") or {})
    start, teacher = recipe.pop("from", None), distill.pop("teacher", None)
    if "distill" in values and teacher is None:
        raise FieldProblem(("distill",), "distill needs a teacher: {row: ID}, a published name or a file")
    training = _train("train" in values, _packed(recipe), input_.image)
    started = _source(start, ("train", "from"), find)
    taught = _source(teacher, ("distill", "teacher"), find)
    return Trial(
        model=model,
        input=input_,
        data=data,
        train=training if training is None or started is None else msgspec.structs.replace(training, start=started),
        distill=None if taught is None else _fit(Distill, distill | {"teacher": taught}, "distill"),
        weights=_source(values.get("weights"), ("weights",), find),
        evaluate=None if data is None else _evaluate(_packed(values.get("evaluate") or {}), input_.image),
        execution=_execution(_packed(values.get("execution") or {})),
        seed=seed,
        **{name: _word(name, values[name]) for name in _WORDS if values.get(name) is not None},
    )


def _known_fields(draft: Draft) -> None:
    """Every field that was given exists, for the model and the data set that were chosen in the end."""
    model, data = draft.name("model"), draft.name("data")
    if model is None and draft.get(("model", "name")) is None:
        raise FieldProblem(("model",), "the trial names no model: `model: NAME` or `model: {name: NAME, …}`")
    for path, origin in draft.origins.items():
        if said := _path_problem(path, model, data):
            raise origin.error(said)


_path_problem = lru_cache(maxsize=4096)(check_path)


def _packed(value: Any) -> bytes:
    """Plain data as a key of a cache."""
    return msgspec.msgpack.encode(value)


def _unpacked(packed: bytes) -> Any:
    return msgspec.msgpack.decode(packed)


def _fit(struct: type[Frozen], values: dict[str, Any], section: str) -> Any:
    """A section as its struct. Raises FieldProblem at the value that does not fit."""
    plain = {name: msgspec.to_builtins(value) if isinstance(value, Frozen) else value for name, value in values.items()}
    try:
        return convert(plain, struct)
    except Misfit as problem:
        path = (section, *map(str, problem.place[:1]))
        raise FieldProblem(path, problem.line(dotted(path))) from problem


@lru_cache(maxsize=4096)
def _model(packed: bytes) -> Model:
    knobs = _unpacked(packed)
    name = knobs.pop("name")
    if not isinstance(name, str):
        raise FieldProblem(("model", "name"), f"a model's name must be text, not {name!r}")
    try:
        canonical = models.canonical_name(name)
        if canonical in models.our_names():
            _fit(registry.load("models", canonical).Knobs, knobs, "model")
        return models.resolve(canonical, knobs)
    except FieldProblem:
        raise
    except UserError as problem:
        raise FieldProblem(("model", "name"), str(problem)) from problem


@lru_cache(maxsize=1024)
def _data(packed: bytes) -> Data | None:
    options = _unpacked(packed)
    if not options:
        return None
    name, subset = options.pop("name", None), options.pop("subset", 1.0)
    if not isinstance(name, str):
        raise FieldProblem(("data",), "data needs a name")
    if name not in registry.names("data"):
        raise FieldProblem(("data", "name"), unknown("data set", name, registry.names("data")))
    _fit(registry.load("data", name).Options, options, "data")
    _fit(Data, {"name": name, "subset": subset}, "data")
    return data_sets.resolve(name, options, subset=float(subset))


@lru_cache(maxsize=4096)
def _input(model: str, data: bytes | None, packed: bytes) -> Input:
    """The input's size, channels and classes: as stated, else the library model's or the data's, else ImageNet's."""
    facts = None if data is None else data_sets.facts(msgspec.msgpack.decode(data, type=Data))
    derived = WITHOUT_DATA if facts is None else {"classes": facts.classes, "channels": facts.channels}
    image = _library_image(model) or (facts.image if facts else FALLBACK_IMAGE)
    section: Input = _fit(Input, {"image": image} | derived | (_unpacked(packed) or {}), "input")
    return section


def _library_image(model: str) -> int | None:
    """The size that a library's model is made for; None for ours, which have none of their own."""
    library, colon, name = model.partition(":")
    if not colon:
        return None
    size: int = registry.load("models", library).default_image(name.partition(".")[0])
    return size


@lru_cache(maxsize=4096)
def _train(wanted: bool, packed: bytes, image: int) -> Train | None:
    if not wanted:
        return None
    given = _unpacked(packed)
    name = given.pop("recipe", None)
    values: dict[str, Any] = {}
    if name is not None:
        if name not in train.recipes():
            raise FieldProblem(("train", "recipe"), unknown("recipe", str(name), train.recipes()))
        values = _recipe(name)
    merged = {"image": image} | values | given
    lacking = [field.name for field in msgspec.structs.fields(Train) if field.required and field.name not in merged]
    if lacking:
        raise FieldProblem(("train",), f"train lacks {', '.join(lacking)}; name a recipe: {', '.join(train.recipes())}")
    section: Train = _fit(Train, merged | {"version": train.VERSION}, "train")
    return section


_recipe = lru_cache(train.recipe)


@lru_cache(maxsize=1024)
def _evaluate(packed: bytes, image: int) -> Evaluate:
    section: Evaluate = _fit(Evaluate, {"image": image} | _unpacked(packed), "evaluate")
    return section


@lru_cache(maxsize=1024)
def _execution(packed: bytes) -> Execution:
    section: Execution = _fit(Execution, _unpacked(packed), "execution")
    return section


def _word(name: str, value: Any) -> Any:
    """One of the words that a field of a trial allows."""
    try:
        return convert(value, Trial.__annotations__[name])
    except Misfit as problem:
        raise FieldProblem((name,), problem.line(name)) from problem


def _source(value: Any, path: Path, find: FindSource) -> Source | None:
    """Weights of a row, a published checkpoint's name, or a file."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"file": value} if "/" in value or value.endswith(WEIGHT_SUFFIXES) else {"published": value}
    try:
        if isinstance(value, dict) and "row" in value:
            return find(convert(value, Edge))
        if isinstance(value, dict) and set(value) == {"file"}:
            return Source(kind="file", ref=str(FilePath(str(value["file"])).expanduser().absolute()))
        if isinstance(value, dict) and set(value) == {"published"}:
            return Source(kind="published", ref=_published(str(value["published"])))
    except Misfit as problem:
        raise FieldProblem(path, problem.line(".".join((*path, *map(str, problem.place))))) from problem
    except NoSource as problem:
        raise FieldProblem(path, str(problem)) from problem
    name = ".".join(path)
    raise FieldProblem(path, f"{name} must be {{row: ID}}, {{published: NAME}}, {{file: PATH}}, a name or a path")


def _published(name: str) -> str:
    try:
        return models.canonical_name(name)
    except UserError as problem:
        raise NoSource(str(problem)) from problem
