"""detect: which things are where, in boxes. What a detector's loss is its model says: `loss(said, boxes)`."""

from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.tasks import dense
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.train.training import Training

UNIT = "1"


def check(trial: Trial) -> None:
    """Raise Invalid for what is of classification, and for parts of a batch, whose losses do not add up to its own."""
    dense.check(trial)
    train, execution = trial.train, trial.execution
    if train is None:
        return
    if train.smoothing:
        raise Invalid(f"train.smoothing {train.smoothing:g} is of cross-entropy, not of a detector's loss; allowed: 0")
    at_once = execution.micro_batch
    if execution.processes > 1 or (at_once is not None and at_once < train.batch):
        part = f"processes {execution.processes}" if execution.processes > 1 else f"micro_batch {at_once}"
        raise Invalid(
            f"{part}: a detector's loss is over all boxes of a batch, and those of its parts do not add up to it; "
            f"leave execution.{part.partition(' ')[0]} out"
        )


def check_labels(labels: "Tensor", classes: int) -> None:
    """Raise Invalid for boxes (M, 5) of a class that is none, or that are inside out."""
    boxes = labels[labels[:, 4] >= 0]
    if len(boxes) and boxes[:, 4].max() >= classes:
        raise Invalid(f"class {boxes[:, 4].max():.0f} of a box is out of range for {classes} classes")
    if len(boxes) and not bool((boxes[:, 2:4] >= boxes[:, :2]).all()):
        raise Invalid("a box ends before it begins: boxes are x0, y0, x1, y1 and the class")


def loss(training: "Training", said: Any, pixels: "Tensor", labels: "Tensor") -> "Tensor":
    """As the model defines it."""
    model: Any = training.model
    value: Tensor = model.loss(said, labels)
    return value


def silence(training: "Training") -> float:
    """As the model says."""
    model: Any = training.model
    value: float = model.silence()
    return value
