"""What can be measured of a trial: a measure may be of some models, data or tasks alone, and some want weights."""

from pathlib import Path
from types import ModuleType

from ablations.columns import QuantityFacts
from ablations.resolve import OF_COMMAND, OF_PREDICTIONS
from bench import data, registry
from bench.errors import Invalid, UserError
from bench.trial import Trial

COMMAND = "command"
"""The measure of the task of that name: what it gives a study declares."""


class Lacking(UserError):
    """What a trial lacks for being measured."""


def check(trial: Trial, module: ModuleType, quantity: QuantityFacts) -> None:
    """Raise Lacking for what a measure needs and the trial has not, Invalid for a model that it is not of."""
    if quantity.measure == COMMAND:
        return
    if trial.command is not None:
        _check_beside_command(trial, module, quantity)
    if trial.model.name == OF_PREDICTIONS:
        _check_of_predictions(trial, quantity)
        return
    tasks: tuple[str, ...] | None = getattr(module, "TASKS", None)
    if tasks is not None and trial.task not in tasks:
        raise Lacking(f"a trial of task {' or '.join(tasks)} for {quantity.name}, not of {trial.task}")
    if "weights" in module.DEPENDS_ON and trial.train is None and trial.weights is None:
        raise Lacking("weights: a `train` section, or `weights:` to be measured")
    if "data" in module.DEPENDS_ON and trial.data is None:
        raise Lacking(f"data to measure {quantity.name} on")
    models: tuple[str, ...] | None = getattr(module, "MODELS", None)
    if models is not None and trial.model.name not in models:
        raise Invalid(f"{quantity.name} is of {', '.join(models)} alone, not of {trial.model.name}")
    of_data: tuple[str, ...] | None = getattr(module, "DATA", None)
    if of_data is not None and trial.data is not None and trial.data.name not in of_data:
        raise Lacking(f"data of {' or '.join(of_data)} for {quantity.name}, which is of no other")


def is_scored(quantity: QuantityFacts) -> bool:
    """Whether predictions alone tell a quantity."""
    return quantity.measure is not None and "score" in getattr(registry.load("measures", quantity.measure), "TASKS", ())


def _check_beside_command(trial: Trial, module: ModuleType, quantity: QuantityFacts) -> None:
    """Raise Lacking for what is not to be measured of a trial that a program of the user's does."""
    if "weights" in module.DEPENDS_ON:
        raise Lacking(f"to be declared, if the command gives it: `quantities: {{{quantity.name}: {{unit: …}}}}`")
    if trial.model.name.startswith(OF_COMMAND):
        raise Lacking(f"a model to measure {quantity.name} of: the command's own is not known here")


def _check_of_predictions(trial: Trial, quantity: QuantityFacts) -> None:
    """Raise Lacking for what predictions do not tell."""
    if not is_scored(quantity):
        raise Lacking(f"a model to measure {quantity.name} of: predictions do not tell it")
    assert trial.data is not None
    of_task = data.facts(trial.data).task
    if of_task not in registry.load("measures", str(quantity.measure)).TASKS:
        raise Invalid(f"{quantity.name} is not of the task {of_task}, which {trial.data.name} is data of")


def check_predictions(trial: Trial) -> None:
    """Raise Lacking for predictions that are not there."""
    if trial.predictions is not None and not trial.predictions.digest:
        raise Lacking(f"predictions of its own in {Path(trial.predictions.path).parent}")
