"""A draft becomes a trial: defaults filled in by whoever owns them, input derived from data, nothing left open.

    recipe → train     knobs → model     options → data     data → input.classes, input.channels     input → sizes

Sections are resolved once for equal content, because the trials of a grid share most of theirs.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ablations.fields import Draft, check_path
from bench import data as data_sets
from bench import models, registry, train
from bench.errors import Invalid, UserError, unknown
from bench.trial import Data, Distill, Evaluate, Execution, Frozen, Input, Model, Source, Train, Trial

WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".npz")

WITHOUT_DATA = {"classes": 1000, "channels": 3}
"""ImageNet-1K's: what published counts assume where no data set is named."""

FALLBACK_IMAGE = 224
"""Pixels a side where neither the spec, the model's name nor the data says otherwise."""


class Edge(Frozen):
    """Weights of another row of the same study."""

    row: str
    seed: int | Literal["same"] = "same"


FindSource = Callable[[Edge], Source]


class FieldProblem(UserError):
    """A value that a field cannot have; the caller knows who set it."""

    def __init__(self, path: tuple[str, ...], said: str) -> None:
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
    for other in {trial.train and trial.train.image, trial.evaluate and trial.evaluate.image} - {None}:
        assert other is not None
        if other != trial.input.image:
            models.check(trial.model, msgspec.structs.replace(trial.input, image=other))
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
    input_ = _input(model.name, data, _packed(values.get("input")))
    recipe, distill = dict(values.get("train") or {}), dict(values.get("distill") or {})
    start, teacher = recipe.pop("from", None), distill.pop("teacher", None)
    if "distill" in values and teacher is None:
        raise FieldProblem(("distill",), "distill needs a teacher: {row: ID}, a published name or a file")
    plain: dict[str, Any] = {
        name: values[name] for name in ("task", "precision", "attention") if values.get(name) is not None
    }
    trial = Trial(
        model=model,
        input=input_,
        data=data,
        train=_train(_packed(values.get("train") and recipe), input_.image, _source(start, ("train", "from"), find)),
        distill=None
        if teacher is None
        else _section(Distill, distill | {"teacher": _source(teacher, ("distill", "teacher"), find)}, "distill"),
        weights=_source(values.get("weights"), ("weights",), find),
        evaluate=None if data is None else _evaluate(_packed(values.get("evaluate") or {}), input_.image),
        execution=_execution(_packed(values.get("execution") or {})),
        seed=seed,
    )
    if plain:
        try:
            trial = msgspec.structs.replace(trial, **plain)
            for name in plain:
                msgspec.convert(plain[name], _field_type(name), strict=True)
        except msgspec.ValidationError as problem:
            raise FieldProblem((name,), _choices(name, plain[name], problem)) from problem
    return trial


def _known_fields(draft: Draft) -> None:
    """Every field that was given exists, for the model and the data set that were chosen in the end."""
    model = (draft.values.get("model") or {}).get("name")
    data = (draft.values.get("data") or {}).get("name")
    if model is None:
        raise FieldProblem(("model",), "the trial names no model: `model: NAME` or `model: {name: NAME, …}`")
    for path, origin in draft.origins.items():
        if said := _path_problem(path, str(model), data if data is None else str(data)):
            raise origin.error(said)


@lru_cache(maxsize=4096)
def _path_problem(path: tuple[str, ...], model: str, data: str | None) -> str | None:
    if data is not None and data not in registry.names("data"):
        return None if path != ("data", "name") else unknown("data set", data, registry.names("data"))
    return check_path(path, model, data)


def _packed(value: Any) -> bytes:
    """Plain data as a key of a cache."""
    return msgspec.msgpack.encode(value)


def _unpacked(packed: bytes) -> Any:
    return msgspec.msgpack.decode(packed)


@lru_cache(maxsize=4096)
def _model(packed: bytes) -> Model:
    knobs = _unpacked(packed)
    name = knobs.pop("name")
    if not isinstance(name, str):
        raise FieldProblem(("model", "name"), f"a model's name must be text, not {name!r}")
    try:
        canonical = models.canonical_name(name)
    except UserError as problem:
        raise FieldProblem(("model", "name"), str(problem)) from problem
    try:
        return models.resolve(canonical, knobs)
    except FieldProblem:
        raise
    except UserError as problem:
        wrong = next((knob for knob in knobs if f".{knob}`" in str(problem) or repr(knob) in str(problem)), "name")
        raise FieldProblem(("model", wrong), _plainly(str(problem), f"model.{wrong}", knobs.get(wrong))) from problem


@lru_cache(maxsize=1024)
def _data(packed: bytes) -> Data | None:
    options = _unpacked(packed)
    if not options:
        return None
    if not isinstance(options.get("name"), str):
        raise FieldProblem(("data",), "data needs a name")
    name, subset = options.pop("name"), options.pop("subset", 1.0)
    if name not in registry.names("data"):
        raise FieldProblem(("data", "name"), unknown("data set", name, registry.names("data")))
    try:
        return msgspec.convert(
            msgspec.to_builtins(data_sets.resolve(name, options)) | {"subset": subset}, Data, strict=True
        )
    except msgspec.ValidationError as problem:
        raise FieldProblem(("data", "subset"), f"data.subset {subset!r}: {_lower(problem)}") from problem
    except UserError as problem:
        wrong = next((option for option in options if f".{option}`" in str(problem)), "name")
        raise FieldProblem(("data", wrong), _plainly(str(problem), f"data.{wrong}", options.get(wrong))) from problem


def _input(model: str, data: Data | None, packed: bytes) -> Input:
    return _cached_input(model, None if data is None else _packed(data), packed)


@lru_cache(maxsize=4096)
def _cached_input(model: str, data: bytes | None, packed: bytes) -> Input:
    given = _unpacked(packed) or {}
    facts = None if data is None else data_sets.facts(msgspec.msgpack.decode(data, type=Data))
    derived = WITHOUT_DATA if facts is None else {"classes": facts.classes, "channels": facts.channels}
    image = _library_image(model) or (facts.image if facts else FALLBACK_IMAGE)
    section: Input = _section(Input, {"image": image} | derived | given, "input")
    return section


def _library_image(model: str) -> int | None:
    """The size that a library's model is made for; None for ours, which have none of their own."""
    library, colon, name = model.partition(":")
    if not colon:
        return None
    size: int = registry.load("models", library).default_image(name.partition(".")[0])
    return size


def _train(packed: bytes, image: int, start: Source | None) -> Train | None:
    recipe = _cached_train(packed, image)
    return recipe if recipe is None or start is None else msgspec.structs.replace(recipe, start=start)


@lru_cache(maxsize=4096)
def _cached_train(packed: bytes, image: int) -> Train | None:
    given = _unpacked(packed)
    if not given:
        return None
    name = given.pop("recipe", None)
    values: dict[str, Any] = {}
    if name is not None:
        if name not in train.recipes():
            raise FieldProblem(("train", "recipe"), unknown("recipe", name, train.recipes()))
        values = _recipe(name)
    merged = {"image": image} | values | given
    lacking = [
        field.name for field in msgspec.structs.fields(Train) if field.required and field.name not in merged
    ]
    if lacking:
        raise FieldProblem(
            ("train",), f"train lacks {', '.join(lacking)}; name a recipe: {', '.join(train.recipes())}"
        )
    section: Train = _section(Train, merged | {"version": train.VERSION}, "train")
    return section


@lru_cache
def _recipe(name: str) -> dict[str, Any]:
    return train.recipe(name)


@lru_cache(maxsize=1024)
def _evaluate(packed: bytes, image: int) -> Evaluate:
    section: Evaluate = _section(Evaluate, {"image": image} | _unpacked(packed), "evaluate")
    return section


@lru_cache(maxsize=1024)
def _execution(packed: bytes) -> Execution:
    section: Execution = _section(Execution, _unpacked(packed), "execution")
    return section


def _source(value: Any, path: tuple[str, ...], find: FindSource) -> Source | None:
    """Weights of a row, a published checkpoint's name, or a file."""
    if value is None:
        return None
    name = ".".join(path)
    if isinstance(value, str):
        value = {"file": value} if "/" in value or value.endswith(WEIGHT_SUFFIXES) else {"published": value}
    if isinstance(value, dict) and "row" in value:
        try:
            return find(msgspec.convert(value, Edge, strict=True))
        except msgspec.ValidationError as problem:
            raise FieldProblem(path, f"{name}: {_lower(problem)}") from problem
    if isinstance(value, dict) and set(value) == {"file"}:
        return Source(kind="file", ref=str(Path(str(value["file"])).expanduser().absolute()))
    if isinstance(value, dict) and set(value) == {"published"}:
        try:
            return Source(kind="published", ref=models.canonical_name(str(value["published"])))
        except UserError as problem:
            raise FieldProblem(path, str(problem)) from problem
    raise FieldProblem(path, f"{name} must be {{row: ID}}, {{published: NAME}}, {{file: PATH}}, a name or a path")


def _section(struct: type[Frozen], values: dict[str, Any], section: str) -> Any:
    """A section as its struct. Raises FieldProblem at the value that does not fit."""
    for name in values:
        if name not in struct.__struct_fields__:
            raise FieldProblem((section, name), unknown("field", f"{section}.{name}", struct.__struct_fields__))
    try:
        return msgspec.convert(
            {name: msgspec.to_builtins(value) if isinstance(value, Frozen) else value for name, value in values.items()},
            struct,
            strict=True,
        )
    except msgspec.ValidationError as problem:
        said = _lower(problem)
        wrong = said.rpartition("$.")[2].rstrip("`").partition(".")[0].partition("[")[0] if "$." in said else ""
        path = (section, wrong) if wrong else (section,)
        missing = said.startswith("object missing required field")
        shown = section if missing else f"{section}.{wrong} {values.get(wrong)!r}"
        raise FieldProblem(path, f"{shown}: {_allowed(struct, wrong, said)}") from problem


def _allowed(struct: type[Frozen], name: str, said: str) -> str:
    """What msgspec said, with the choices where it names none."""
    said = said.partition(" - at `$")[0]
    if not said.startswith("invalid enum value"):
        return said
    for field in msgspec.inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        if field.name == name:
            choices = getattr(field.type, "values", ())
            return f"allowed: {', '.join(map(str, choices))}"
    return said


def _plainly(said: str, name: str, value: Any) -> str:
    """A section's own complaint with the field's value in front, where it does not name the field."""
    said = said.partition(" - at `$")[0]
    if said.startswith("no "):
        return said
    _, _, rest = said.partition(": ")
    return f"{name} {value!r}: {rest[:1].lower()}{rest[1:]}"


def _lower(problem: msgspec.ValidationError) -> str:
    said = str(problem)
    return said[:1].lower() + said[1:]


def _field_type(name: str) -> Any:
    return Trial.__annotations__[name]


def _choices(name: str, value: Any, problem: msgspec.ValidationError) -> str:
    for field in msgspec.inspect.type_info(Trial).fields:  # type: ignore[attr-defined]
        if field.name == name and getattr(field.type, "values", None):
            return unknown(name, value, map(str, field.type.values))
    return f"{name} {value!r}: {_lower(problem)}"
