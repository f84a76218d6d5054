"""resnet: a ResNet as wide as self-supervised learning has them (RN50w2, RN200w2), with selective kernels or without.

timm's wide_resnet50_2 is another: it widens the 3×3 convolutions alone. Here everything is wider, the stem too, as in
the code of SimCLR, BYOL and SwAV.
"""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from bench.models.swin import MOST_STAGES
from bench.models.vit import Blocks
from bench.trial import Frozen, Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1


class Knobs(Frozen):
    """What may be chosen; the defaults are ResNet-50's, layer by layer."""

    depths: Annotated[tuple[Blocks, ...], Meta(min_length=1, max_length=MOST_STAGES)] = (3, 4, 6, 3)  # blocks a stage
    width: Annotated[int, Meta(ge=1, le=64)] = 1  # times as many channels in every layer
    sk_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.0  # SimCLRv2's is 1/16; 0: 3×3 convolutions and a 7×7 stem


def check(knobs: Knobs, input: Input) -> None:
    """Everything that the knobs can say can be built, for images of any size."""


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.resnet import wide

    return wide(
        channels=input.channels,
        classes=input.classes,
        **msgspec.structs.asdict(knobs),
        dropout=dropout,
        drop_path=drop_path,
    )
