"""params: parameters of a model, trained or frozen, each once however often it is used; buffers are none."""

from bench import skeleton
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

VERSION = 1
DEPENDS_ON = ("model", "input")
PRODUCES: dict[str, tuple[str, str | None]] = {"params": ("parameters", "lower")}
REMEASURE_IF_CHANGED = ("timm", "torchvision", "transformers")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Count the parameters of the module on meta tensors."""
    module = skeleton.of(trial.model, trial.input)
    subject.bound |= skeleton.library(trial.model)
    total = sum(parameter.numel() for parameter in module.parameters())
    return {"params": Quantity(samples=(float(total),), unit="parameters", better="lower")}
