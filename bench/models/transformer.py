"""transformer: the encoder and decoder of "Attention Is All You Need" (Vaswani et al., NIPS 2017), for its Table 3.

It reads a sequence and continues another: `model.tokens` is the length of both, `model.classes` the vocabulary that
they share with the logits.
"""

from typing import TYPE_CHECKING, Literal

from bench.errors import Invalid
from bench.models.vit import Blocks, Channels
from bench.trial import Frozen, Input

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION = 1
INPUT = {"tokens": 64, "classes": 37_000}  # the vocabulary of English and German in section 5.1


class Knobs(Frozen):
    """What may be chosen; the defaults are the base model's. Names in the paper: d_model, N, d_ff, h, d_k, d_v."""

    dim: Channels = 512
    depth: Blocks = 6  # layers of the encoder, and of the decoder
    hidden: Channels = 2048  # units of an MLP
    heads: Channels = 8
    key: Channels = 64  # channels of a head's queries and keys
    value: Channels = 64  # channels of a head's values
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    if input.classes == 0:
        raise Invalid("transformer reads and writes one vocabulary: classes must be at least 1")
    if knobs.positions == "sinusoidal" and knobs.dim % 2:
        raise Invalid(f"transformer: sinusoidal positions need an even dim, not {knobs.dim}")


def example(knobs: Knobs, input: Input) -> "tuple[Tensor, ...]":
    """The sequence that is read and the one that is continued, (1, tokens) each."""
    import torch

    assert input.tokens is not None
    return tuple(torch.zeros(1, input.tokens, dtype=torch.int64) for _ in range(2))


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.transformer import Transformer

    if drop_path:
        raise Invalid("transformer has no stochastic depth")
    assert input.tokens is not None
    return Transformer(vocabulary=input.classes, tokens=input.tokens, **msgspec.structs.asdict(knobs), dropout=dropout)
