"""swin: Swin (Liu et al., ICCV 2021) with its shifted windows and its positions as choices, as in its Table 4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from bench.errors import Invalid
from bench.models import divisors
from bench.models.vit import Blocks, Channels, Ratio
from bench.trial import Frozen, Input, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

MOST_STAGES = 16
"""Each has half the map of the one before: the largest image has been one token for a while."""


class Knobs(Frozen):
    """What may be chosen; the defaults are Swin-T's. `depths` and `heads` have one entry a stage."""

    patch: Pixels = 4  # a side
    dim: Channels = 96  # channels of the first stage; each further one has twice as many, on half the map
    depths: Annotated[tuple[Blocks, ...], Meta(max_length=MOST_STAGES)] = (2, 2, 6, 2)  # blocks
    heads: Annotated[tuple[Channels, ...], Meta(max_length=MOST_STAGES)] = (3, 6, 12, 24)
    window: Pixels = 7  # tokens a side: never more than pixels
    mlp_ratio: Ratio = 4.0  # hidden units of an MLP over its channels
    qkv_bias: bool = True
    shift: bool = True  # every second block by half a window (section 3.2; Table 4)

    # roll: cyclic shift and a mask; padding: more windows, partly outside of the map (section 3.2; Table 5)
    shift_by: Literal["roll", "padding"] = "roll"

    # relative: a bias for each head and each way between two places of a window; absolute: a vector for each patch,
    # added once; relative_without_appearance: the softmax is of biases alone (section 3.2, equation 4; Table 4)
    position: Literal["none", "absolute", "absolute_and_relative", "relative", "relative_without_appearance"] = (
        "relative"
    )


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    where = f"swin at {input.side}"
    if input.side % knobs.patch:
        raise Invalid(f"{where}: patch {knobs.patch} does not divide the image; allowed: {divisors(input.side)}")
    if knobs.shift_by == "padding" and not knobs.shift:
        raise Invalid(f"{where}: shift_by padding says how to shift, and shift is false")
    if not knobs.depths or len(knobs.depths) != len(knobs.heads):
        raise Invalid(f"{where}: {len(knobs.depths)} depths and {len(knobs.heads)} heads; each stage has one of both")
    for stage, heads in enumerate(knobs.heads):
        dim = knobs.dim * 2**stage
        if dim % heads:
            raise Invalid(f"{where}: heads {heads} do not divide the {dim} channels of stage {stage + 1}")
        if int(dim * knobs.mlp_ratio) < 1:
            raise Invalid(f"{where}: mlp_ratio {knobs.mlp_ratio:g} leaves no hidden unit of {dim} channels")


def notes(knobs: Knobs, input: Input) -> list[str]:
    """What becomes of windows that do not cover the maps."""
    rolled = [knobs.shift and knobs.shift_by == "roll" and depth > 1 for depth in knobs.depths]
    return window_notes(input.side // knobs.patch, knobs.window, rolled=rolled)


def window_notes(side: int, window: int, *, rolled: Sequence[bool]) -> list[str]:
    """Stages whose map no whole number of windows covers: where the window shrinks, and where the map is padded.

    `side`: tokens a side of the first stage's map; each later one has half. `rolled`: which stages shift cyclically.
    The map is padded after that, so that the mask, which is the padded map's, is mostly not where the borders meet.
    """
    said = []
    for stage, rolls in enumerate(rolled, start=1):
        if side < window:
            said.append(f"stage {stage}: the window is the whole map, {side}×{side}, and is not shifted")
        elif side % window:
            meet = rolls and side % window != window // 2  # where the rolled part begins a window of its own
            borders = "; shifted windows join opposite borders" if meet else ""
            said.append(f"stage {stage}: the map of {side}×{side} is padded to whole windows{borders}")
        side = (side + 1) // 2
    return said


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.swin import SwinTransformer

    return SwinTransformer(
        image=input.side,
        channels=input.channels,
        classes=input.classes,
        **msgspec.structs.asdict(knobs),
        dropout=dropout,
        drop_path=drop_path,
    )
