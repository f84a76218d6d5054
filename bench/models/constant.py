"""constant: a segmenter that sees nothing and says one class of every pixel: trained, the most frequent one."""

from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.trial import Frozen, Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
TASK = "segment"


class Knobs(Frozen):
    """Nothing to choose."""


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    if input.classes == 0:
        raise Invalid("constant says classes: there must be at least 1")


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    if dropout or drop_path:
        raise Invalid("constant has nothing to drop: no dropout and no stochastic depth")

    from bench.layers.lraspp import Constant

    return Constant(input.classes)
