"""A model without its weights: on meta tensors, for whatever only looks at names and shapes."""

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from bench import machine, models
from bench.trial import Input, Model

if TYPE_CHECKING:
    from torch import nn


def of(model: Model, input: Input) -> "nn.Module":
    """The module in evaluation mode, without dropout or stochastic depth. It is shared: do not change it."""
    return _built(msgspec.json.encode(model), input)


@lru_cache(maxsize=1)  # the measures of one row come one after the other
def _built(model: bytes, input: Input) -> "nn.Module":
    import torch

    decoded = msgspec.json.decode(model, type=Model)
    try:
        with torch.device("meta"):
            module = models.build(decoded, input)
    except RuntimeError as problem:  # a few read values while they are built (torchvision's RegNet)
        if not models.wants_values(problem):
            raise
        module = models.build(decoded, input).to("meta")
    return module.eval()


def library(model: Model) -> dict[str, str | None]:
    """The library that a model comes from and its version: a new one may build another model of that name.

    Ours are built from timm's parts.
    """
    prefix, colon, _ = model.name.partition(":")
    name = prefix if colon else "timm"
    return {name: machine.version(name)}
