"""The loss of what a model says against labels, and against a teacher's word where there is one."""

import math
from typing import TYPE_CHECKING

from bench.precision import autocast
from bench.train import distill
from bench.trial import Train

if TYPE_CHECKING:
    from torch import Tensor

    from bench.train.training import Training


def whole(training: "Training", said: "Tensor | tuple[Tensor, Tensor]", pixels: "Tensor", labels: "Tensor") -> "Tensor":
    """The mean over a batch of everything that a training minimises.

    `said` is what the model says of `pixels` (B, C, S, S): logits (B, classes), or those of both its tokens.
    """
    import torch

    by_class, by_teacher = distill.both_heads(said)
    labelled = of_labels(by_class, labels, training.train)
    if training.teacher is None or training.trial.distill is None:
        return labelled
    with torch.no_grad(), autocast(training.trial.precision, training.images.device.type):
        taught = training.teacher(pixels)
    return distill.loss(by_teacher.float(), taught.float(), labelled, training.trial.distill)


def of_labels(said: "Tensor", labels: "Tensor", train: Train) -> "Tensor":
    """The mean over images, from logits (B, classes) and labels (B,), or their shares (B, classes), already smoothed.

    ce     −Σ y·log softmax(z), where y is the label with `smoothing` spread evenly over all classes (Szegedy et al.,
           CVPR 2016, section 7)
    bce    the mean over classes (or their sum: `bce_sum`) of −y·log σ(z) − (1 − y)·log(1 − σ(z)), as in Beyer et al.,
           2020, and Wightman et al., 2021; by timm's BinaryCrossEntropy
    """
    from torch.nn import functional as F

    said = said.float()
    if train.loss == "ce":  # with shares as well
        smoothing = train.smoothing if labels.ndim == 1 else 0.0
        return F.cross_entropy(said, labels, label_smoothing=smoothing)
    from timm.loss.binary_cross_entropy import BinaryCrossEntropy

    binary = BinaryCrossEntropy(train.smoothing, target_threshold=train.bce_threshold, sum_classes=train.bce_sum)
    value: Tensor = binary(said, labels)
    return value


def of_silence(train: Train, classes: int) -> float:
    """The loss of a model whose logits are all 0, whatever the labels: ln(classes), or ln 2 of each class."""
    if train.loss == "bce":
        return math.log(2) * (classes if train.bce_sum else 1)
    return math.log(max(2, classes))
