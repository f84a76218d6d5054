"""fcos: a detector without anchors (Tian et al., ICCV 2019), torchvision's over any backbone of timm's, from scratch.

What is counted is the network, for every place of its pyramid: choosing boxes among what it says depends on the image.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from bench.errors import Invalid
from bench.models.vit import Channels
from bench.trial import Frozen, Input, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
TASK = "detect"

GROUPS = 32
"""Of channels, that the head's norms have."""


class Knobs(Frozen):
    """What may be chosen; the defaults are the paper's, as in torchvision's fcos_resnet50_fpn."""

    backbone: str = "resnet50"  # a name of timm's
    strides: Annotated[tuple[Pixels, ...], Meta(min_length=1, max_length=6)] = (8, 16, 32)  # of its maps that are used
    width: Channels = 256  # channels of the pyramid and of the head
    convolutions: Annotated[int, Meta(ge=0, le=32)] = 4  # of each branch of the head, before the last one

    # top_down: a feature pyramid; lateral: the same weights, but no level hears of a coarser one (Lin et al., CVPR
    # 2017, Table 1, row d)
    pyramid: Literal["top_down", "lateral"] = "top_down"
    coarser: bool = True  # two more levels, of twice and four times the last stride


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built; which strides a backbone has timm says when it is built."""
    where = f"fcos at {input.side}"
    if input.classes == 0:
        raise Invalid(f"{where}: a detector has a head: classes must be at least 1")
    if knobs.width % GROUPS:
        raise Invalid(f"{where}: width {knobs.width} is no multiple of {GROUPS}, the groups of its norms")
    if any(coarser <= finer for finer, coarser in pairwise(knobs.strides)):
        raise Invalid(f"{where}: strides {list(knobs.strides)} do not grow; the finest stands first")


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device; what it maps images to, `bench.layers.fcos.FCOS` says."""
    if dropout:
        raise Invalid("fcos has no dropout")

    from bench.layers.fcos import FCOS

    given = msgspec.structs.asdict(knobs)
    top_down = given.pop("pyramid") == "top_down"
    module: nn.Module = FCOS(input=input, top_down=top_down, drop_path=drop_path, **given)
    return module
