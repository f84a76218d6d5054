"""segment: which class each pixel is of."""

import math
from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.tasks import dense
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.train.training import Training

UNIT = "nats"

NONE = -1
"""The label of a pixel that does not count."""


def check(trial: Trial) -> None:
    """Raise Invalid for what is of classification."""
    dense.check(trial)


def check_labels(labels: "Tensor", classes: int) -> None:
    """Raise Invalid for a map (S, S) with a label that is no class."""
    if int(labels.min()) < NONE or int(labels.max()) >= classes:
        wrong = int(labels.max()) if int(labels.max()) >= classes else int(labels.min())
        raise Invalid(f"label {wrong} of a pixel is out of range for {classes} classes")


def loss(training: "Training", said: "Tensor", pixels: "Tensor", labels: "Tensor") -> "Tensor":
    """Cross-entropy, the mean over the pixels of an image that count, then over images: parts of a batch add up to it.

    `said` are logits (B, classes, S, S), `labels` (B, S, S).
    """
    from torch.nn import functional as F

    each = F.cross_entropy(
        said.float(), labels, ignore_index=NONE, label_smoothing=training.train.smoothing, reduction="none"
    )
    counted = (labels != NONE).sum(dim=(1, 2)).clamp(min=1)
    return (each.sum(dim=(1, 2)) / counted).mean()


def silence(training: "Training") -> float:
    """ln(classes)."""
    return math.log(max(2, training.trial.input.classes))
