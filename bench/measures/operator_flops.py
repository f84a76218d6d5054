"""operator_flops: multiply-adds as counters see them that look at operators one by one; no published table's column.

`flops` without the products that are summed element by element (`bench/summed_products.py`): local attention written
as a multiplication and a sum costs as much as one written as a matrix product, and is in no such counter's list. It
explains printed FLOPs that left them out.
"""

from bench import counting, skeleton
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

VERSION = 1
DEPENDS_ON = ("model", "input")
PRODUCES: dict[str, tuple[str, str | None]] = {"operator_flops": ("multiply-adds", "lower")}
LABELS = {"operator_flops": "FLOPs without sums of products"}
CONVENTION = "FLOPs without sums of products: multiply-adds of layers, matrix products and attention alone"
REMEASURE_IF_CHANGED = ("timm", "torchvision", "transformers")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Count one forward pass, and leave out what no operator multiplies and adds by itself."""
    counts = counting.of_model(trial.model, trial.input)
    subject.bound |= skeleton.library(trial.model)
    seen = sum(count for what, count in counts.by_operator().items() if what != "multiply_sum")
    return {"operator_flops": Quantity(samples=(float(seen),), unit="multiply-adds", better="lower")}
