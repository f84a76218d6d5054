"""top1: images, in percent, whose class has the largest logit; top5: whose class is among the five largest.

The definition of ILSVRC (Russakovsky et al., IJCV 2015, section 4). top5 needs more than five classes: with five it is
100 % whatever the model says. The model is built at the evaluation size, its learned positions resampled to it.
Of a model with a distillation token `evaluate.readout` is read.
"""

from typing import TYPE_CHECKING

from bench import evaluation
from bench.identity import record_key
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = evaluation.DEPENDS_ON
PRODUCES: dict[str, tuple[str, str | None]] = {"top1": ("%", "higher"), "top5": ("%", "higher")}
LABELS = {"top1": "top-1", "top5": "top-5"}
TASKS = ("classify",)

MOST_LOGITS = 1_000_000  # values that are kept per evaluation: 4 MB


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Evaluate the trial's weights on one split, and keep what they said of every image."""
    from bench.batches import share_right

    said, images = evaluation.evaluated(trial, subject)
    labels = images.labels.cpu()
    evaluation.keep(trial, subject, record_key("top1", VERSION, DEPENDS_ON, trial), _predictions(said, labels))
    return {
        name: Quantity(samples=(share_right(said, labels, k),), unit="%", better="higher")
        for name, k in (("top1", 1), ("top5", 5))
        if said.shape[1] > k
    }


def _predictions(logits: "Tensor", labels: "Tensor") -> "dict[str, Tensor]":
    """What is kept of every image.

    labels, top1 (N,): classes; probability (N,): of the right class; logits (N, classes): where they are few. Where
    several classes are right, the first is the label and the probability is of all of them.
    """
    import torch
    from torch.nn import functional as F

    several = labels.dtype == torch.bool
    right = labels if several else F.one_hot(labels, logits.shape[1]).bool()
    arrays = {
        "labels": labels.int().argmax(dim=1) if several else labels,
        "top1": logits.argmax(dim=1),
        "probability": (logits.softmax(dim=1) * right).sum(dim=1),
    }
    return arrays | ({"logits": logits} if logits.numel() <= MOST_LOGITS else {})
