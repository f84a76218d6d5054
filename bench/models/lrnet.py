"""lrnet: LR-Net (Hu et al., ICCV 2019): a ResNet whose convolutions over places are local relation layers.

No code of the paper's network is public. Read from its text and its table of layers; assumed, because nothing that is
known of it says so: a 1×1 convolution over channels before the sum over places (public re-implementations have it
after: the knob `transform`), as many hidden units in the prior as it gives weights, biases in queries and keys, and a
smaller last group where 8 channels do not share evenly (100 of them in the first stage). Without that convolution
LR-Net-26 would have 12.9M parameters and LR-Net-50 20.3M; 14.7M and 23.3M are printed.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from bench.errors import Invalid
from bench.models.swin import MOST_STAGES
from bench.models.vit import Blocks, Channels
from bench.trial import Frozen, Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1


class Knobs(Frozen):
    """What may be chosen; the defaults are LR-Net-50's. `depths` and `inside` have one entry a stage."""

    depths: Annotated[tuple[Blocks, ...], Meta(min_length=1, max_length=MOST_STAGES)] = (3, 4, 6, 3)  # blocks
    inside: Annotated[tuple[Channels, ...], Meta(max_length=MOST_STAGES)] = (100, 200, 400, 800)  # of the bottlenecks
    window: Annotated[int, Meta(ge=1, le=63)] = 7  # places a side
    sharing: Channels = 8  # channels that one weight is for ("m")
    transform: Literal["none", "before", "after"] = "before"  # where channels are mixed: before the sum over places …


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for what cannot be built."""
    where = f"lrnet at {input.side}"
    if len(knobs.depths) != len(knobs.inside):
        raise Invalid(f"{where}: {len(knobs.depths)} depths and {len(knobs.inside)} inside; each stage has one of both")
    if knobs.window % 2 == 0:
        raise Invalid(f"{where}: window {knobs.window} has no centre; allowed: odd numbers")


def notes(knobs: Knobs, input: Input) -> list[str]:
    """Stages whose last group is smaller than the others."""
    return [
        f"stage {stage}: {knobs.sharing} channels share a weight, the last {inside % knobs.sharing} of {inside} another"
        for stage, inside in enumerate(knobs.inside, start=1)
        if inside % knobs.sharing
    ]


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module, on the current default device."""
    import msgspec

    from bench.layers.local_relation import lr_net

    return lr_net(
        channels=input.channels,
        classes=input.classes,
        **msgspec.structs.asdict(knobs),
        dropout=dropout,
        drop_path=drop_path,
    )
