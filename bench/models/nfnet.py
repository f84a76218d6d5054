"""nfnet: NFNet (Brock et al., ICML 2021) of any depth and width, by timm's class: timm registers no NFNet-F4+."""

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from bench.models.vit import Blocks
from bench.trial import Frozen, Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

GROUP = 128
"""Channels of a group of the 3×3 convolutions; a stage is as wide as a whole number of them, twice over."""

Channels = Annotated[int, Meta(ge=2 * GROUP, le=65_536, multiple_of=GROUP)]


class Knobs(Frozen):
    """What may be chosen; the defaults are F0's (Table 1 of the paper). F4+ has 384, 768, 2048, 2048 channels."""

    depths: tuple[Blocks, Blocks, Blocks, Blocks] = (1, 2, 6, 3)  # Fn has n + 1 times as many
    channels: tuple[Channels, Channels, Channels, Channels] = (256, 512, 1536, 1536)  # that leave a stage


def check(knobs: Knobs, input: Input) -> None:
    """Everything that the knobs can say can be built, for images of any size."""


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    from timm.models.nfnet import NfCfg, NormFreeNet

    configuration = NfCfg(
        depths=knobs.depths,
        channels=knobs.channels,
        stem_type="deep_quad",
        stem_chs=128,
        group_size=GROUP,
        bottle_ratio=0.5,
        extra_conv=True,
        gamma_in_act=True,
        same_padding=True,
        skipinit=True,
        num_features=2 * knobs.channels[-1],
        act_layer="gelu",
        attn_layer="se",
        attn_kwargs={"rd_ratio": 0.5},
    )
    module: Any = NormFreeNet(
        configuration,
        num_classes=input.classes,
        in_chans=input.channels,
        drop_rate=dropout,
        drop_path_rate=drop_path,
    )
    module.CLASSIFIER = "head.fc"  # the part that is left behind when classes differ
    built: nn.Module = module
    return built
