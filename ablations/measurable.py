"""What can be measured of a trial: a measure may be of some models, data or tasks alone, and some want weights."""

from types import ModuleType

from ablations.columns import QuantityFacts
from ablations.resolve import OF_COMMAND
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
    if "weights" in module.DEPENDS_ON and trial.train is None and trial.weights is None:
        raise Lacking("weights: a `train` section, or `weights:` to be measured")
    if "data" in module.DEPENDS_ON and trial.data is None:
        raise Lacking(f"data to measure {quantity.name} on")
    models: tuple[str, ...] | None = getattr(module, "MODELS", None)
    if models is not None and trial.model.name not in models:
        raise Invalid(f"{quantity.name} is of {', '.join(models)} alone, not of {trial.model.name}")
    data: tuple[str, ...] | None = getattr(module, "DATA", None)
    if data is not None and trial.data is not None and trial.data.name not in data:
        raise Lacking(f"data of {' or '.join(data)} for {quantity.name}, which is of no other")


def _check_beside_command(trial: Trial, module: ModuleType, quantity: QuantityFacts) -> None:
    """Raise Lacking for what is not to be measured of a trial that a program of the user's does."""
    if "weights" in module.DEPENDS_ON:
        raise Lacking(f"to be declared, if the command gives it: `quantities: {{{quantity.name}: {{unit: …}}}}`")
    if trial.model.name.startswith(OF_COMMAND):
        raise Lacking(f"a model to measure {quantity.name} of: the command's own is not known here")
