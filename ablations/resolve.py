"""A draft becomes a trial, with nothing left open: done here, by a program of the user's, or scored from files."""

from pathlib import Path

import msgspec

from ablations import sections
from ablations.conversion import shown
from ablations.edges import FindSource, source
from ablations.fields import Draft, FieldProblem, check_fields
from ablations.sections import packed
from bench import data as data_sets
from bench import models, predictions, readout, tasks, train
from bench.errors import Invalid
from bench.trial import Command, Data, Distill, Model, Predictions, Trial

OF_COMMAND = "command:"
"""Before the name of a command, in place of a model's that only its program knows."""

OF_PREDICTIONS = "predictions"
"""In place of the name of a model that is not known here: what it said is."""

_WORDS = ("task", "precision", "attention")
"""Fields of a trial that are one word."""


def resolve(draft: Draft, *, seed: int | None, find: FindSource, row: str = "") -> Trial:
    """A trial with nothing left open. Raises UserError, at the place in the spec that is wrong.

    `row` is what `{row}` stands for in the path of predictions. Raises FieldProblem where the place is nowhere: a field
    that nobody gave.
    """
    try:
        check_fields(draft)
        if is_of_command(draft):
            return _of_command(draft, seed)
        if is_of_predictions(draft):
            return _of_predictions(draft, seed, row)
        return _resolve(draft, seed, find)
    except FieldProblem as problem:
        origin = draft.origin(problem.path)
        if origin is None:
            raise
        raise origin.error(str(problem)) from problem


def check(trial: Trial) -> list[str]:
    """Apply every rule that is known without data or torch. Raises Invalid; returns notes for the row."""
    if trial.model.name.startswith(OF_COMMAND) or trial.model.name == OF_PREDICTIONS:
        return []
    notes = list(models.check(trial.model, trial.input))
    for image in {trial.train and trial.train.image, trial.evaluate and trial.evaluate.image}:
        if image is not None and image != trial.input.image:
            models.check(trial.model, msgspec.structs.replace(trial.input, image=image))
    if trial.data is not None and (known := data_sets.facts(trial.data).task) != trial.task != "command":
        raise Invalid(f"{trial.data.name} is data of the task {known}, and the trial's is {trial.task}")
    if trial.task != "command":
        tasks.check(trial)
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
    if draft.get(("model", "name")) is None:
        raise FieldProblem(("model",), "the trial names no model: `model: NAME` or `model: {name: NAME, …}`")
    data = _data(draft)
    model = sections.model(packed(values.get("model")))
    input_ = sections.images(model.name, None if data is None else packed(data), packed(values.get("input")))
    recipe, distill = dict(values.get("train") or {}), dict(values.get("distill") or {})
    start, teacher = recipe.pop("from", None), distill.pop("teacher", None)
    if distill.get("teacher_model") is not None:
        distill["teacher_model"] = sections.teacher_model(distill["teacher_model"])
    if "distill" in values and teacher is None:
        raise FieldProblem(("distill",), "distill needs a teacher: {row: ID}, a published name or a file")
    if input_.image is None and (section := next((name for name in ("data", "train") if values.get(name)), None)):
        raise FieldProblem((section,), f"{model.name} eats sequences of tokens, and no data here is of them")
    training = sections.train(packed(recipe), input_.image) if "train" in values else None
    started = source(draft, start, ("train", "from"), find)
    taught = source(draft, teacher, ("distill", "teacher"), find)
    return Trial(
        model=model,
        input=input_,
        data=data,
        train=training if training is None or started is None else msgspec.structs.replace(training, start=started),
        distill=None if taught is None else sections.fit(Distill, distill | {"teacher": taught}, "distill"),
        weights=source(draft, values.get("weights"), ("weights",), find),
        evaluate=None if data is None else sections.evaluate(packed(values.get("evaluate") or {}), input_.image),
        execution=sections.execution(packed(values.get("execution") or {})),
        seed=seed,
        **{name: sections.word(name, values[name]) for name in _WORDS if values.get(name) is not None},
    )


def is_of_command(draft: Draft) -> bool:
    """Whether a trial is a program of the user's to do: a command that is named says so, too."""
    return "command" in draft.values or draft.get(("task",)) == "command"


def _of_command(draft: Draft, seed: int | None) -> Trial:
    """A trial that a program of the user's does: a model and data are only told to it."""
    values = draft.values
    if values.get("task", "command") != "command":
        raise FieldProblem(("task",), f"task {values['task']!r} is done here and by no command: leave `command` out")
    given = dict(values.get("command") or {})
    name = given.pop("name", None)
    if not isinstance(name, str) or not name:
        raise FieldProblem(("command",), "task command names none: `command: NAME` or `command: {name: NAME, …}`")
    for section in ("train", "distill", "weights", "evaluate", "precision", "attention", "predictions"):
        if section in values:
            raise FieldProblem((section,), f"{section} is not a command's: what it is to do its own arguments say")
    data = _data(draft)
    if draft.get(("model", "name")) is None:
        model = Model(name=f"{OF_COMMAND}{name}")
        input_ = sections.unsized(data, values.get("input"))
    else:
        model = sections.model(packed(values["model"]))
        input_ = sections.images(model.name, None if data is None else packed(data), packed(values.get("input")))
    return Trial(
        task="command",
        command=Command(name=name, arguments=given),
        model=model,
        input=input_,
        data=data,
        execution=sections.execution(packed(values.get("execution") or {})),
        seed=seed,
    )


def is_of_predictions(draft: Draft) -> bool:
    """Whether a trial is the score of predictions that are there: a path of them says so, too."""
    return "predictions" in draft.values or draft.get(("task",)) == "score"


def varies_by_seed(draft: Draft) -> bool:
    """Whether each seed has predictions of its own."""
    return "{seed}" in str(draft.values.get("predictions", ""))


def _of_predictions(draft: Draft, seed: int | None, row: str) -> Trial:
    """A trial whose outcome is the score of a file, or of a folder, against the labels of its data.

    The model that a table's row speaks of stays out of it: which one it was does not change a score.
    """
    values = draft.values
    if values.get("task", "score") != "score":
        said = f"task {values['task']!r} predicts itself: `task: score` is for predictions that are there"
        raise FieldProblem(("task",), said)
    given = values.get("predictions")
    if not isinstance(given, str) or not given:
        raise FieldProblem(("predictions",), f"predictions must be a path, of {{row}} and {{seed}}, not {shown(given)}")
    for section in ("train", "distill", "weights"):
        if section in values:
            raise FieldProblem((section,), f"{section} is not of predictions that are there: leave it out")
    if (split := draft.get(("evaluate", "split"))) not in (None, "report"):
        said = f"predictions are scored against the split report, not {shown(split)}: leave evaluate.split out"
        raise FieldProblem(("evaluate", "split"), said)
    data = _data(draft)
    if data is None:
        raise FieldProblem(("predictions",), "predictions are scored against data: `data: NAME`")
    return Trial(
        task="score",
        model=Model(name=OF_PREDICTIONS),
        input=sections.unsized(data, None),
        data=data,
        predictions=_found(draft, given.replace("{row}", row).replace("{seed}", str(seed))),
        execution=sections.execution(packed(values.get("execution") or {})),
        seed=seed if varies_by_seed(draft) else None,
    )


def _found(draft: Draft, given: str) -> Predictions:
    """Predictions at a path that is relative to the spec; without a digest where nothing is there."""
    path = draft.file(("predictions",), given)
    return Predictions(path=path, digest=predictions.digest(Path(path)) or "")


def _data(draft: Draft) -> Data | None:
    """The data set; the folder where it lies is relative to the spec that names it."""
    said = draft.values.get("data")
    if isinstance(said, dict) and isinstance(said.get("root"), str):
        said = said | {"root": draft.file(("data", "root"), said["root"])}
    return sections.data(packed(said))
