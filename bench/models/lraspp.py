"""lraspp: a small segmenter (Howard et al., ICCV 2019), torchvision's over any backbone of timm's, from scratch."""

from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.models.vit import Channels
from bench.trial import Frozen, Input, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
TASK = "segment"


class Knobs(Frozen):
    """What may be chosen; the defaults are the paper's and torchvision's, but for the dilation of the last stage."""

    backbone: str = "mobilenetv3_large_100"  # a name of timm's
    fine: Pixels = 8  # stride of the map whose classes are added
    coarse: Pixels = 16  # stride of the map under attention
    width: Channels = 128  # channels of that


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built; which strides a backbone has timm says when it is built."""
    where = f"lraspp at {input.side}"
    if input.classes == 0:
        raise Invalid(f"{where}: a segmenter has a head: classes must be at least 1")
    if knobs.fine >= knobs.coarse:
        raise Invalid(f"{where}: fine {knobs.fine} is no finer than coarse {knobs.coarse}: strides in pixels")


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    if dropout:
        raise Invalid("lraspp has no dropout")

    from bench.layers.features import Features
    from bench.layers.lraspp import LRASPP

    body = Features(knobs.backbone, (knobs.fine, knobs.coarse), input, drop_path=drop_path)
    return LRASPP(body, input.classes, knobs.width)
