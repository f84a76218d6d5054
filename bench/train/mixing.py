"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019), by timm's Mixup: images of a batch in pairs.

Image i is mixed with image B − 1 − i, and so are their labels, by a share that depends on the seed and the step alone.
"""

from typing import TYPE_CHECKING, Any

from bench.train.random_numbers import drawn_by
from bench.trial import Train

if TYPE_CHECKING:
    from torch import Tensor


def mixes(train: Train) -> bool:
    """Whether a recipe mixes images; labels are shares (B, classes) then, in every epoch."""
    return train.mixup > 0 or train.cutmix > 0


def mixed(
    pixels: "Tensor", labels: "Tensor", train: Train, *, classes: int, seed: int, step: int, epoch: int
) -> "tuple[Tensor, Tensor]":
    """A batch (B, C, S, S), which is overwritten, and its labels (B,): mixed, and as smoothed shares (B, classes).

    Of several processes each has both images of every pair (`Ranks.share`), so that with `mix_mode: batch` they mix
    what one would.
    """
    if not mixes(train):
        return pixels, labels
    from timm.data.mixup import Mixup

    kind: Any = Mixup  # untyped
    mixer = kind(
        mixup_alpha=train.mixup,
        cutmix_alpha=train.cutmix,
        prob=train.mix_probability,
        switch_prob=train.mix_switch,
        mode=train.mix_mode,
        label_smoothing=train.smoothing,
        num_classes=classes,
    )
    mixer.mixup_enabled = train.mix_epochs is None or epoch < train.mix_epochs
    with drawn_by(f"mix {seed} {step}"):
        both: tuple[Tensor, Tensor] = mixer(pixels, labels)
    return both
