"""mixer: MLP-Mixer (Tolstikhin et al., NeurIPS 2021) of any size, by timm's class: timm registers no Mixer-H/14."""

from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.models import divisors
from bench.models.vit import Blocks, Channels, Ratio
from bench.trial import Frozen, Input, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1


class Knobs(Frozen):
    """What may be chosen; the defaults are Mixer-S/16's (Table 1 of the paper)."""

    patch: Pixels = 16  # a side
    dim: Channels = 512
    depth: Blocks = 8
    token_ratio: Ratio = 0.5  # hidden units of the MLP over patches, over dim
    channel_ratio: Ratio = 4.0  # hidden units of the MLP over channels, over dim


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    where = f"mixer at {input.side}"
    if input.side % knobs.patch:
        raise Invalid(f"{where}: patch {knobs.patch} does not divide the image; allowed: {divisors(input.side)}")
    for name in ("token_ratio", "channel_ratio"):
        if int(knobs.dim * getattr(knobs, name)) < 1:
            raise Invalid(f"{where}: {name} {getattr(knobs, name):g} leaves no hidden unit of dim {knobs.dim}")


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device. Stochastic depth grows to the last block (appendix B)."""
    from timm.layers.drop import DropPath
    from timm.models.mlp_mixer import MlpMixer

    module: Any = MlpMixer(
        img_size=input.side,
        in_chans=input.channels,
        num_classes=input.classes,
        patch_size=knobs.patch,
        num_blocks=knobs.depth,
        embed_dim=knobs.dim,
        mlp_ratio=(knobs.token_ratio, knobs.channel_ratio),
        proj_drop_rate=dropout,
    )
    for index, block in enumerate(module.blocks if drop_path else ()):
        block.drop_path = DropPath(drop_path * index / max(1, knobs.depth - 1))
    module.CLASSIFIER = "head"  # the part that is left behind when classes differ
    built: nn.Module = module
    return built
