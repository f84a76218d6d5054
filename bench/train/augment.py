"""What happens to a training image before the model sees it. What it draws depends on (seed, epoch, index) alone.

So an image gets the same treatment whatever batch, loader worker or resumed process it comes up in.

    none     nothing
    shift1   moved by −1, 0 or 1 pixel each way, each of the nine alike; its edge is repeated
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Augment = Callable[["Tensor", "Tensor"], "Tensor"]
"""(images (B, C, S, S), draws (B, n) int64 ≥ 0) to images of the same shape."""


def augmented(name: str, images: "Tensor", indices: "Tensor", *, seed: int, epoch: int) -> "Tensor":
    """A batch (B, C, S, S) of the training images with those indices (B,), as epoch `epoch` shows them."""
    if name == "none":
        return images
    return KNOWN[name](images, draws(indices, 2, seed=seed, epoch=epoch).to(images.device))


def shift1(images: "Tensor", draws: "Tensor") -> "Tensor":
    """Move each image by up to a pixel."""
    import torch
    from torch.nn import functional as F

    side = torch.arange(images.shape[-1], device=images.device)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate").permute(0, 2, 3, 1)  # (B, S+2, S+2, C)
    rows, columns = (side + draw[:, None] for draw in (draws % 3).unbind(dim=1))  # (B, S) each
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


KNOWN: dict[str, Augment] = {"shift1": shift1}


def draws(indices: "Tensor", count: int, *, seed: int, epoch: int) -> "Tensor":
    """(B, count) integers in [0, 2³¹), by SplitMix64 (Steele et al., 2014) of (seed, epoch, index, which draw)."""
    import torch

    state = torch.full((len(indices), count), seed, dtype=torch.int64)
    for part in (torch.tensor(epoch), indices.cpu()[:, None], torch.arange(count)):
        state = _mixed(state + (part + 1) * _signed(0x9E3779B97F4A7C15))
    return state & 0x7FFFFFFF


def _mixed(state: "Tensor") -> "Tensor":
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ _shifted(state, shift)) * _signed(factor)
    return state ^ _shifted(state, 31)


def _shifted(state: "Tensor", by: int) -> "Tensor":
    """A logical shift to the right: torch's own repeats the sign."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    """64 bits as torch reads them."""
    return number - (1 << 64) if number >= 1 << 63 else number
