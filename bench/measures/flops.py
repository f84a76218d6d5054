"""flops: multiply-adds of one forward pass over one image, in evaluation mode (linear, convolution, attention).

The convention `macs` of `bench/counting.py`: what the papers call FLOPs. Normalisation, activations and biases are not
counted; an operator that no rule knows fails the measurement.
"""

from bench import counting, skeleton
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

VERSION = 1
DEPENDS_ON = ("model", "input")
PRODUCES: dict[str, tuple[str, str | None]] = {"flops": ("multiply-adds", "lower")}
LABELS = {"flops": "FLOPs"}
CONVENTION = "FLOPs: multiply-adds of one forward pass over one image, each counted as one"
REMEASURE_IF_CHANGED = ("timm", "torchvision", "transformers")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Count one forward pass."""
    counts = counting.of_model(trial.model, trial.input)
    subject.bound |= skeleton.library(trial.model)
    return {"flops": Quantity(samples=(float(counts.total),), unit="multiply-adds", better="lower")}
