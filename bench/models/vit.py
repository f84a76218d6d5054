"""vit: a plain vision transformer, small enough to be trained anywhere, whose parts can be exchanged one at a time."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from bench.errors import Invalid
from bench.models import divisors
from bench.trial import Frozen, Input, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

Channels = Annotated[int, Meta(ge=1, le=65_536)]
Blocks = Annotated[int, Meta(ge=1, le=1_024)]
MOST_CONVOLUTIONS = 32
MOST_STAGES = 4
"""Of a BiT ResNet."""

Ratio = Annotated[float, Meta(gt=0, le=1_024)]


class Knobs(Frozen):
    """What may be chosen; the defaults are DeiT-Ti's (Touvron et al., 2021, Table 1)."""

    patch: Pixels = 16  # a side of what one token stands for, whatever the stem (ViT, section 3.1)
    dim: Channels = 192
    depth: Blocks = 12
    heads: Channels = 3  # at most one a channel
    mlp_ratio: Ratio = 4.0  # hidden units of an MLP over dim
    qkv_bias: bool = True

    # none, 1-D and 2-D learned, and relative: ViT, appendix D.4, relative as BEiT has it (Bao et al., 2022); 1-D sines:
    # Vaswani et al., 2017, section 3.5; 2-D sines: MAE (He et al., 2022, appendix A); rope: RoFormer (Su et al., 2021)
    # along both axes, as in EVA-02
    pos_embed: Literal["none", "learned", "learned2d", "sincos1d", "sincos2d", "relative", "rope"] = "learned"

    # token: a class token is read (ViT, section 3.1); mean of the patches (appendix D.3), or attention from a learned
    # query over them (Zhai et al., Scaling Vision Transformers, CVPR 2022, section 3.2): there is no class token then
    pool: Literal["token", "mean", "map"] = "token"

    distilled: bool = False  # a second token with a head of its own, for what a teacher says (DeiT, section 4)

    # patchify: one convolution of the patch's size; conv: 3×3 convolutions (Xiao et al., NeurIPS 2021, section 3, where
    # the model gives up one block for it); resnet: a part of a BiT ResNet (ViT, section 3.1, hybrid; AugReg's R+Ti)
    stem: Literal["patchify", "conv", "resnet"] = "patchify"
    stem_channels: Annotated[tuple[Channels, ...], Meta(max_length=MOST_CONVOLUTIONS)] = ()
    # of each 3×3 convolution, of stride 2 where they double; none: doubling once a halving of the patch, up to dim
    stem_blocks: Annotated[tuple[Blocks, ...], Meta(max_length=MOST_STAGES)] = ()
    # of each stage of the ResNet; none: its root alone, of stride 4 (R+Ti)


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    where = f"vit at {input.side}"
    if input.side % knobs.patch:
        raise Invalid(f"{where}: patch {knobs.patch} does not divide the image; allowed: {divisors(input.side)}")
    if knobs.dim % knobs.heads:
        raise Invalid(f"{where}: heads {knobs.heads} do not divide dim {knobs.dim}; allowed: {divisors(knobs.dim)}")
    if int(knobs.dim * knobs.mlp_ratio) < 1:
        raise Invalid(f"{where}: mlp_ratio {knobs.mlp_ratio:g} leaves no hidden unit of dim {knobs.dim}")
    multiple, what, size = {
        "learned2d": (2, "dim", knobs.dim),
        "sincos1d": (2, "dim", knobs.dim),
        "sincos2d": (4, "dim", knobs.dim),
        "rope": (4, "dim / heads", knobs.dim // knobs.heads),
    }.get(knobs.pos_embed, (1, "dim", knobs.dim))
    if size % multiple:
        raise Invalid(f"{where}: pos_embed {knobs.pos_embed} needs {what} to be a multiple of {multiple}, not {size}")
    if knobs.distilled and knobs.pool != "token":
        raise Invalid(f"{where}: distilled reads two tokens; pool must be token, not {knobs.pool}")
    if knobs.distilled and knobs.pos_embed == "relative":
        raise Invalid(f"{where}: pos_embed relative has entries for one token beside the patches; distilled has two")
    _check_stem(knobs, where)


def _check_stem(knobs: Knobs, where: str) -> None:
    for stem, name, given in (
        ("conv", "stem_channels", knobs.stem_channels),
        ("resnet", "stem_blocks", knobs.stem_blocks),
    ):
        if given and knobs.stem != stem:
            raise Invalid(f"{where}: {name} goes with stem {stem}, not {knobs.stem}")
    if knobs.stem == "resnet" and knobs.patch % (stride := 4 * 2 ** max(0, len(knobs.stem_blocks) - 1)):
        raise Invalid(
            f"{where}: the resnet's map has a place every {stride} pixels, which do not divide patch {knobs.patch}"
        )
    if knobs.stem == "conv":
        outputs = convolutions(knobs)
        if not outputs:
            said = f"3×3 convolutions that double up to dim {knobs.dim} make no patches of {knobs.patch}"
            raise Invalid(f"{where}: {said}; say stem_channels")
        if any(after not in (before, 2 * before) for before, after in pairwise(outputs)):
            raise Invalid(f"{where}: stem_channels {list(outputs)}: each is the one before, or twice that")
        if (stride := 2 ** len(set(outputs))) != knobs.patch:
            raise Invalid(
                f"{where}: stem_channels {list(outputs)} leave a place every {stride} pixels; patch is {knobs.patch}"
            )


def convolutions(knobs: Knobs) -> tuple[int, ...]:
    """Output channels of the 3×3 convolutions of a conv stem; none where nothing doubles up to dim."""
    if knobs.stem_channels:
        return knobs.stem_channels
    halvings = knobs.patch.bit_length() - 1
    first, left = divmod(knobs.dim, 2 ** max(0, halvings - 1))
    if left or knobs.patch != 2**halvings:
        return ()
    return tuple(first * 2**step for step in range(halvings))


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.vit import VisionTransformer

    return VisionTransformer(
        image=input.side,
        channels=input.channels,
        classes=input.classes,
        **(msgspec.structs.asdict(knobs) | {"stem_channels": convolutions(knobs)}),
        dropout=dropout,
        drop_path=drop_path,
    )
