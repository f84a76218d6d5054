"""A draft becomes a trial: defaults filled in by whoever owns them, input derived from data, nothing left open.

    recipe → train     knobs → model     options → data     data → input.classes, input.channels     input → sizes

Sections are resolved once for equal content, because the trials of a grid share most of theirs.
"""

from functools import lru_cache
from typing import Any

import msgspec

from ablations.conversion import Misfit, convert, shown
from ablations.edges import FindSource, source
from ablations.fields import INPUT, Draft, FieldProblem, check_fields, dotted
from ablations.quoting import quoted
from bench import data as data_sets
from bench import models, readout, registry, train
from bench.errors import Invalid, UserError, unknown
from bench.models import formula
from bench.trial import Command, Data, Distill, Evaluate, Execution, Frozen, Input, Model, Train, Trial

WITHOUT_DATA = {"classes": 1000, "channels": 3}
"""ImageNet-1K's: what published counts assume where no data set is named."""

FORMULA = "formula"
"""The model of ours whose knobs may quote numbers and name models."""

OF_COMMAND = "command:"
"""Before the name of a command, in place of a model's that only its program knows."""

FALLBACK_IMAGE = 224
"""Pixels a side where neither the spec, the model's name nor the data says otherwise."""

_WORDS = ("task", "precision", "attention")
"""Fields of a trial that are one word."""


def resolve(draft: Draft, *, seed: int | None, find: FindSource) -> Trial:
    """A trial with nothing left open. Raises UserError, at the place in the spec that is wrong.

    Raises FieldProblem where that place is nowhere: a field that nobody gave.
    """
    try:
        return _resolve(draft, seed, find)
    except FieldProblem as problem:
        origin = draft.origin(problem.path)
        if origin is None:
            raise
        raise origin.error(str(problem)) from problem


def check(trial: Trial) -> list[str]:
    """Apply every rule that is known without data or torch. Raises Invalid; returns notes for the row."""
    if trial.model.name.startswith(OF_COMMAND):
        return []
    notes = list(models.check(trial.model, trial.input))
    for image in {trial.train and trial.train.image, trial.evaluate and trial.evaluate.image}:
        if image is not None and image != trial.input.image:
            models.check(trial.model, msgspec.structs.replace(trial.input, image=image))
    if trial.train is not None:
        if trial.data is None:
            raise Invalid("a training needs data: `data: NAME`")
        train.check(trial)
    if trial.evaluate is not None:
        readout.check(trial.model, trial.evaluate.readout)
    if trial.distill is not None and trial.train is None:
        raise Invalid("a teacher needs a student that is trained: `distill` without `train`")
    return notes


def _resolve(draft: Draft, seed: int | None, find: FindSource) -> Trial:
    values = draft.values
    check_fields(draft)
    if is_of_command(draft):
        return _resolve_command(draft, seed)
    if draft.get(("model", "name")) is None:
        raise FieldProblem(("model",), "the trial names no model: `model: NAME` or `model: {name: NAME, …}`")
    data = _data(_packed(values.get("data")))
    model = _model(_packed(values.get("model")))
    input_ = _input(model.name, None if data is None else _packed(data), _packed(values.get("input")))
    recipe, distill = dict(values.get("train") or {}), dict(values.get("distill") or {})
    start, teacher = recipe.pop("from", None), distill.pop("teacher", None)
    if distill.get("teacher_model") is not None:
        distill["teacher_model"] = _teacher_model(distill["teacher_model"])
    if "distill" in values and teacher is None:
        raise FieldProblem(("distill",), "distill needs a teacher: {row: ID}, a published name or a file")
    if input_.image is None and (section := next((name for name in ("data", "train") if values.get(name)), None)):
        raise FieldProblem((section,), f"{model.name} eats sequences of tokens, and no data here is of them")
    training = _train("train" in values, _packed(recipe), input_.image)
    started = source(draft, start, ("train", "from"), find)
    taught = source(draft, teacher, ("distill", "teacher"), find)
    return Trial(
        model=model,
        input=input_,
        data=data,
        train=training if training is None or started is None else msgspec.structs.replace(training, start=started),
        distill=None if taught is None else _fit(Distill, distill | {"teacher": taught}, "distill"),
        weights=source(draft, values.get("weights"), ("weights",), find),
        evaluate=None if data is None else _evaluate(_packed(values.get("evaluate") or {}), input_.image),
        execution=_execution(_packed(values.get("execution") or {})),
        seed=seed,
        **{name: _word(name, values[name]) for name in _WORDS if values.get(name) is not None},
    )


def is_of_command(draft: Draft) -> bool:
    """Whether a trial is a program of the user's to do: a command that is named says so, too."""
    return "command" in draft.values or draft.get(("task",)) == "command"


def _resolve_command(draft: Draft, seed: int | None) -> Trial:
    """A trial that a program of the user's does: a model and data are only told to it."""
    values = draft.values
    if values.get("task", "command") != "command":
        raise FieldProblem(("task",), f"task {values['task']!r} is done here and by no command: leave `command` out")
    given = dict(values.get("command") or {})
    name = given.pop("name", None)
    if not isinstance(name, str) or not name:
        raise FieldProblem(("command",), "task command names none: `command: NAME` or `command: {name: NAME, …}`")
    for section in ("train", "distill", "weights", "evaluate", "precision", "attention"):
        if section in values:
            raise FieldProblem((section,), f"{section} is not a command's: what it is to do its own arguments say")
    data = _data(_packed(values.get("data")))
    chosen = _packed(values.get("input"))
    if draft.get(("model", "name")) is None:
        model = Model(name=f"{OF_COMMAND}{name}")
        input_ = _fit(Input, {"image": None} | _derived(data) | (_unpacked(chosen) or {}), "input")
    else:
        model = _model(_packed(values["model"]))
        input_ = _input(model.name, None if data is None else _packed(data), chosen)
    return Trial(
        task="command",
        command=Command(name=name, arguments=given),
        model=model,
        input=input_,
        data=data,
        execution=_execution(_packed(values.get("execution") or {})),
        seed=seed,
    )


def _derived(data: Data | None) -> dict[str, int]:
    """Classes and channels of the data, else ImageNet's."""
    if data is None:
        return WITHOUT_DATA
    facts = data_sets.facts(data)
    return {"classes": facts.classes, "channels": facts.channels}


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
        raise FieldProblem(("model", "name"), f"model.name must be text, not {shown(name)}")
    try:
        canonical = models.canonical_name(name)
        if canonical in models.our_names():
            knobs = _parts_of_formula(knobs) if canonical == FORMULA else knobs
            _fit(registry.load("models", canonical).Knobs, knobs, "model")
        elif null := next((knob for knob, value in knobs.items() if value is None), None):
            said = f"model.{null} must not be null; leave it out to take the library's default"
            raise FieldProblem(("model", null), said)
        return models.resolve(canonical, knobs)
    except FieldProblem:
        raise
    except UserError as problem:
        raise FieldProblem(("model", "name"), str(problem)) from problem


def _teacher_model(given: Any) -> Model:
    """The model of a teacher that is a file: a name, or a name and knobs."""
    knobs = {"name": given} if isinstance(given, str) else given
    if not isinstance(knobs, dict) or "name" not in knobs:
        said = f"distill.teacher_model must be a model's name, or a mapping with its name, not {shown(given)}"
        raise FieldProblem(("distill", "teacher_model"), said)
    try:
        return _model(_packed(knobs))
    except UserError as problem:
        raise FieldProblem(("distill", "teacher_model"), str(problem)) from problem


def _parts_of_formula(knobs: dict[str, Any]) -> dict[str, Any]:
    """A formula's knobs with the numbers that it quotes from tables, and with its models resolved like any other."""
    numbers, parts = knobs.get("numbers", {}), knobs.get("models", {})
    for name, said in (("numbers", numbers), ("models", parts)):
        if not isinstance(said, dict):
            raise FieldProblem(("model", name), f"model.{name} must be a mapping of names, not {shown(said)}")
    return knobs | {
        "numbers": {name: _quoted(value) for name, value in numbers.items()},
        "quoted": {name: text for name, value in numbers.items() if (text := _cells_named(value))},
        "models": {name: _part(name, value) for name, value in parts.items()},
    }


def _quoted(value: Any) -> Any:
    """A number as given, or what the cell that is named prints; of a list, all of them."""
    try:
        if isinstance(value, list):
            found = [quoted(one) if isinstance(one, str) else one for one in value]
            return [number for one in found for number in (one if isinstance(one, tuple) else (one,))]
        return quoted(value) if isinstance(value, str) else value
    except UserError as problem:
        raise FieldProblem(("model", "numbers"), str(problem)) from problem


def _cells_named(value: Any) -> str:
    """The cells that a number, or several, are quoted from."""
    return ", ".join(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _part(name: str, given: Any) -> dict[str, Any]:
    """One model of a formula, stated as a trial's is."""
    fields = {"name": given} if isinstance(given, str) else given
    if not isinstance(fields, dict) or "name" not in fields:
        said = f"model.models.{name} must be a model's name, or a mapping with its name"
        raise FieldProblem(("model", "models"), said)
    input_ = {field: value for field, value in fields.items() if field in INPUT}
    try:
        model = _model(_packed({field: value for field, value in fields.items() if field not in INPUT}))
        eats = _input(model.name, None, _packed(input_))
        if eats.image is None or model.name == FORMULA:
            raise Invalid(f"{model.name} eats no images")
        part = formula.Part(model=model, image=eats.image, channels=eats.channels, classes=eats.classes)
        models.check(part.model, part.input)
    except UserError as problem:
        raise FieldProblem(("model", "models"), f"{name}: {problem}") from problem
    plain: dict[str, Any] = msgspec.to_builtins(part)
    return plain


@lru_cache(maxsize=1024)
def _data(packed: bytes) -> Data | None:
    options = _unpacked(packed)
    if not options:
        return None
    name, subset = options.pop("name", None), options.pop("subset", 1.0)
    if name is None:
        raise FieldProblem(("data",), f"data needs a name: {', '.join(registry.names('data'))}")
    if not isinstance(name, str):
        raise FieldProblem(("data", "name"), f"data.name must be text, not {shown(name)}")
    if name not in registry.names("data"):
        raise FieldProblem(("data", "name"), unknown("data set", name, registry.names("data")))
    _fit(registry.load("data", name).Options, options, "data")
    _fit(Data, {"name": name, "subset": subset}, "data")
    return data_sets.resolve(name, options, subset=float(subset))


@lru_cache(maxsize=4096)
def _input(model: str, data: bytes | None, packed: bytes) -> Input:
    """The input's size, channels and classes: as stated, else the model's own or the data's, else ImageNet's."""
    facts = None if data is None else data_sets.facts(msgspec.msgpack.decode(data, type=Data))
    derived = WITHOUT_DATA if facts is None else {"classes": facts.classes, "channels": facts.channels}
    usual = models.usual_input(model)
    given: dict[str, Any] = usual | (_unpacked(packed) or {})
    if "tokens" in usual:
        given = {"image": None} | given
    elif given.get("image") is None:
        try:
            given["image"] = _library_image(model) or (facts.image if facts else FALLBACK_IMAGE)
        except UserError as problem:
            raise FieldProblem(("model", "name"), f"{problem}: `model.image`") from problem
    section: Input = _fit(Input, derived | given, "input")
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
        if not isinstance(name, str):
            raise FieldProblem(("train", "recipe"), f"train.recipe must be the name of a recipe, not {shown(name)}")
        if name not in train.recipes():
            raise FieldProblem(("train", "recipe"), unknown("recipe", name, train.recipes()))
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
