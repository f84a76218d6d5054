"""Training: a trial becomes weights. Torch-free at module level: names, recipes and rules are known at plan time.

    run(trial, subject, watch) -> dict[str, Quantity]

trains `trial` (its `train`, `distill`, `data`, `seed` …) into `subject.weights_folder`, which exists, and goes on from
a checkpoint that lies there:

    trial.json            the trial, written at the start: whoever starts from these weights builds the same model
    checkpoint.pt         whole or absent; removed when the training is complete: model, average of the weights,
                          optimizer, scaler of gradients, random generators, progress (`progress` alone says which
                          batch is next and how its images are cut, coloured and mixed)
    curve.jsonl           a line an epoch: epoch, train_loss, selection_top1 (of a classifier, where there are such
                          images), lr, seconds
    weights.safetensors   the state dict; where weights are averaged (`train.ema`), the average's
    done.json             written last (bench.weights.Done): its presence means that the weights are complete

It reads `subject.device` and `subject.store` (weights of other trials lie in `store/weights/KEY`), and adds to
`subject.bound` what only the machine knows: fingerprints of data, architecture and weights, those of the weights that
it started from or was taught by, and which kernels computed attention in the first step (with a teacher's). A folder
that already has `done.json` trains nothing and says the same again.

Raises `Diverged` when the loss of a step is no finite number, or that of the last weights has exploded;
`Interrupted` after it saved a checkpoint because `watch.stop()` was true; `Needs` for data or weights that are not
here; `Invalid` for what cannot be trained.
`watch.still_mine()` is asked before a checkpoint is replaced; once it is false the training raises `Interrupted`
and leaves the folder as it is. `watch.progress` hears `epoch`, `epochs`, `train_loss`, `selection_top1` and `seconds`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench import tasks
from bench.errors import Invalid, UserError, unknown
from bench.train import rules
from bench.train.rules import AUGMENTATIONS as AUGMENTATIONS
from bench.trial import Trial

if TYPE_CHECKING:
    from bench.attempt import Watch
    from bench.record import Quantity
    from bench.subject import Subject

VERSION = 1
"""Of the loop, the schedule, the optimizer's groups and the augmentations: another number, other weights."""

NOT_IN_A_RECIPE = ("image", "start", "version")
"""Fields of `bench.trial.Train` that the trial states and no recipe can."""

_RECIPES = Path(__file__).parent / "recipes"


def recipes() -> tuple[str, ...]:
    """Names of the recipes, one file each in `bench/train/recipes`."""
    return tuple(sorted(path.stem for path in _RECIPES.glob("*.yaml")))


def recipe(name: str) -> dict[str, Any]:
    """Every field of `bench.trial.Train` without a default, and others that the recipe has otherwise.

    None of NOT_IN_A_RECIPE. Raises UserError for an unknown name.
    """
    if name not in recipes():
        raise UserError(unknown("recipe", name, recipes()))
    values: dict[str, Any] = yaml.safe_load((_RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    return values


def about(name: str) -> str:
    """What a recipe is for and whose it is: the line that its file begins with."""
    with (_RECIPES / f"{name}.yaml").open(encoding="utf-8") as file:
        return file.readline().partition(": ")[2].strip()


def check(trial: Trial) -> None:
    """Raise Invalid for a training that cannot be, as far as that is known without data."""
    train = trial.train
    if train is None or trial.data is None or trial.seed is None:
        raise Invalid("a training needs a recipe, data and a seed")
    if train.version != VERSION:  # its key stands for what another version yields
        raise Invalid(f"training is version {VERSION} here and was planned as version {train.version}")
    if trial.execution.processes > train.batch:
        raise Invalid(f"batch {train.batch} is too small for {trial.execution.processes} processes, an image each")
    if trial.input.classes == 0:
        raise Invalid(f"a model without a head cannot be trained to {trial.task}; classes is 0")
    if trial.precision == "fp16" and trial.execution.device == "cpu":
        raise Invalid("precision fp16 needs a GPU; bf16 runs on a CPU too")
    tasks.check(trial)
    rules.check(train, trial.execution.processes)
    _check_teaching(trial)


def _check_teaching(trial: Trial) -> None:
    """A teacher and a distillation token need each other, as far as we know the model."""
    distill = trial.distill
    if distill is None:
        if trial.model.knobs.get("distilled") is True:
            raise Invalid("a distillation token needs a teacher to hear: `distill`, or leave model.distilled out")
        return
    if distill.teacher.kind == "file" and distill.teacher_model is None:
        raise Invalid(
            "a file does not say which model it is; say `distill.teacher_model`, or teach with weights of a trial"
        )
    if distill.teacher.kind != "file" and distill.teacher_model is not None:
        raise Invalid("distill.teacher_model is for a teacher that is a file; these weights say whose they are")


def run(trial: Trial, subject: "Subject", watch: "Watch") -> "dict[str, Quantity]":
    """Train a trial; see the module's docstring."""
    from bench.train import loop

    return loop.run(trial, subject, watch)
