"""vit: a plain vision transformer, small enough to be trained anywhere, whose parts can be exchanged one at a time."""

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
Ratio = Annotated[float, Meta(gt=0, le=1_024)]


class Knobs(Frozen):
    """What may be chosen; the defaults are DeiT-Ti's (Touvron et al., 2021, Table 1)."""

    patch: Pixels = 16  # a side
    dim: Channels = 192
    depth: Blocks = 12
    heads: Channels = 3  # at most one a channel
    mlp_ratio: Ratio = 4.0  # hidden units of an MLP over dim
    qkv_bias: bool = True
    pos_embed: Literal["none", "learned", "sincos1d", "sincos2d", "relative", "rope"] = "learned"
    pool: Literal["token", "mean"] = "token"  # token: a class token is read; mean: there is none


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
        "sincos1d": (2, "dim", knobs.dim),
        "sincos2d": (4, "dim", knobs.dim),
        "rope": (4, "dim / heads", knobs.dim // knobs.heads),
    }.get(knobs.pos_embed, (1, "dim", knobs.dim))
    if size % multiple:
        raise Invalid(f"{where}: pos_embed {knobs.pos_embed} needs {what} to be a multiple of {multiple}, not {size}")


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.vit import VisionTransformer

    return VisionTransformer(
        image=input.side,
        channels=input.channels,
        classes=input.classes,
        **msgspec.structs.asdict(knobs),
        dropout=dropout,
        drop_path=drop_path,
    )
