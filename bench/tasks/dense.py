"""What detection and segmentation share: whole images, whose labels move with them."""

from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.train.augment import draws
from bench.trial import Train, Trial

if TYPE_CHECKING:
    from torch import Tensor

NEITHER = {
    "augment": "none",
    "random_crop": None,
    "color_jitter": 0.0,
    "auto_augment": None,
    "erase": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "repeats": 1,
    "loss": "ce",
}
"""Fields of a recipe that are of classification alone → what they must be here."""


def check(trial: Trial) -> None:
    """Raise Invalid for what would leave labels behind, or is about an image's one label."""
    if trial.train is not None:
        for name, value in NEITHER.items():
            given = getattr(trial.train, name)
            if given != value:
                shown = list(given) if isinstance(given, tuple) else given
                only = "none" if value is None else value
                raise Invalid(f"train.{name} {shown} is for whole-image labels, not to {trial.task}; allowed: {only}")
    if trial.distill is not None:
        raise Invalid(f"a teacher is for whole-image labels, not to {trial.task}: leave `distill` out")
    if trial.evaluate is not None and trial.evaluate.crop != 1:
        crop = trial.evaluate.crop
        raise Invalid(f"evaluate.crop {crop:g} would cut off what is scored to {trial.task}; allowed: 1")


def flipped(
    pixels: "Tensor", labels: "Tensor", train: Train, visits: "Tensor", *, seed: int, epoch: int
) -> "tuple[Tensor, Tensor]":
    """A batch (B, C, S, S) with its boxes (B, M, 5) or maps (B, S, S): some mirrored, by (seed, epoch, visit) alone."""
    import torch

    drawn = draws(visits, 2, seed=seed, epoch=epoch).to(pixels.device) / 2**31  # (B, 2) in [0, 1)
    for axis, share, column in ((-1, train.flip, 0), (-2, train.vertical_flip, 1)):
        chosen = drawn[:, column] < share
        if not share:
            continue
        pixels = torch.where(chosen[:, None, None, None], pixels.flip(axis), pixels)
        mirrored = labels.flip(axis) if labels.dtype == torch.int64 else _mirrored(labels, column, pixels.shape[-1])
        labels = torch.where(chosen[:, None, None], mirrored, labels)
    return pixels, labels


def _mirrored(boxes: "Tensor", axis: int, size: int) -> "Tensor":
    """Boxes (B, M, 5) in images of `size` pixels, left to right (axis 0) or top to bottom (1); rows of −1 stay."""
    import torch

    mirrored = boxes.clone()
    mirrored[..., axis] = size - boxes[..., axis + 2]
    mirrored[..., axis + 2] = size - boxes[..., axis]
    return torch.where(boxes[..., 4:] >= 0, mirrored, boxes)
