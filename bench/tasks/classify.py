"""classify: which class an image is of."""

import math
from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.train.training import Training

UNIT = "nats"


def check(trial: Trial) -> None:
    """Everything that a recipe or a protocol can say is of this task."""


def check_labels(labels: "Tensor", classes: int) -> None:
    """Raise Invalid for a label (N,) that is no class."""
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        wrong = lowest if lowest < 0 else highest
        raise Invalid(f"label {wrong} of a training image is out of range for {classes} classes")


def loss(training: "Training", said: "Tensor | tuple[Tensor, Tensor]", pixels: "Tensor", labels: "Tensor") -> "Tensor":
    """Of the labels and, where there is one, of a teacher's word."""
    from bench.train.loss import whole

    return whole(training, said, pixels, labels)


def silence(training: "Training") -> float:
    """Of labels, smoothed, mixed or not, ln(classes) or ln 2 of each; of a teacher's word at most T²·ln(classes)."""
    from bench.train.loss import of_silence

    distilled, classes = training.trial.distill, training.trial.input.classes
    labelled = of_silence(training.train, classes)
    if distilled is None:
        return labelled
    heard = math.log(max(2, classes)) * (distilled.temperature**2 if distilled.kind == "soft" else 1)
    return (1 - distilled.weight) * labelled + distilled.weight * heard
