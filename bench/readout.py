"""Which token of a model with a distillation token is read: its class token, its distillation token, or both.

Both is the mean of the logits of the two heads, as DeiT's code and timm have it; the paper adds their softmax (Touvron
et al., ICML 2021, section 3, "Joint classifiers").
"""

from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.trial import Model

if TYPE_CHECKING:
    from torch import nn

HEADS = {"class": "head", "distillation": "head_dist"}
"""Readout → the part that says it, in our models and in timm's."""


def check(model: Model, readout: str) -> None:
    """Raise Invalid where a model of ours has no second token; a library's is asked when it is built."""
    if readout != "both" and ":" not in model.name and model.knobs.get("distilled") is not True:
        raise Invalid(f"readout {readout} is of models with a distillation token; leave evaluate.readout out")


def read(model: "nn.Module", readout: str) -> "nn.Module":
    """The same model, which says in evaluation what one of its heads says. Raises Invalid where it has but one."""
    if readout == "both":
        return model
    if getattr(model, HEADS["distillation"], None) is None:
        raise Invalid(f"readout {readout} is of models with a distillation token; leave evaluate.readout out")
    said: list[Any] = []
    model.get_submodule(HEADS[readout]).register_forward_hook(lambda *call: said.append(call[-1]))
    model.register_forward_hook(lambda *_: said.pop())
    return model
