"""Images of a split: all of them in memory, or a part of another split's. What `bench.data.Images` asks for."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from bench.data import Images, Normalization


@dataclass(frozen=True, eq=False)
class InMemory:
    """A split whose decoded images fit in memory: `pixels` (N, C, H, W) float32, normalised."""

    pixels: "torch.Tensor"
    labels: "torch.Tensor"  # (N,) int64
    normalized: "Normalization | None" = None
    pixels_are: "Normalization" = ((0.5,), (0.5,))  # from −1 to 1

    def __len__(self) -> int:
        return len(self.labels)

    def tensor(self, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """All images, (N, C, size, size)."""
        return resized(self.pixels, size=size, crop=crop, interpolation=interpolation)

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """Image `index`, (C, size, size)."""
        return resized(self.pixels[index : index + 1], size=size, crop=crop, interpolation=interpolation)[0]

    def picture(self, index: int) -> "Image":
        """Image `index` at its own size, in 256 levels."""
        import numpy as np
        from PIL import Image

        mean, std = (np.array(values, dtype=np.float32)[:, None, None] for values in self.pixels_are)
        levels = np.rint((self.pixels[index].numpy() * std + mean) * 255).clip(0, 255).astype(np.uint8)  # (C, H, W)
        return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))

    def fingerprint(self) -> str:
        """A digest of pixels and labels."""
        digest = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        for part in (self.pixels, self.labels):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of a split, by their indices."""

    whole: "Images"
    indices: "torch.Tensor"  # (n,) int64

    @property
    def labels(self) -> "torch.Tensor":
        """(n,) int64."""
        return self.whole.labels[self.indices]

    @property
    def normalized(self) -> "Normalization | None":
        """As the whole."""
        return self.whole.normalized

    @property
    def pixels_are(self) -> "Normalization":
        """As the whole."""
        return self.whole.pixels_are

    def __len__(self) -> int:
        return len(self.indices)

    def tensor(self, *, size: int, crop: float, interpolation: str) -> "torch.Tensor | None":
        """All images of the part, where the whole has them in memory."""
        everything = self.whole.tensor(size=size, crop=crop, interpolation=interpolation)
        return None if everything is None else everything[self.indices]

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """Image `index` of the part."""
        return self.whole.image(int(self.indices[index]), size=size, crop=crop, interpolation=interpolation)

    def picture(self, index: int) -> "Image":
        """Image `index` of the part."""
        return self.whole.picture(int(self.indices[index]))

    def fingerprint(self) -> str:
        """A digest of the whole and of which images were taken."""
        chosen = self.indices.numpy().tobytes()
        return hashlib.sha256(self.whole.fingerprint().encode() + chosen).hexdigest()

    def targets(self, index: int, *, size: int) -> "torch.Tensor":
        """What image `index` of the part shows, where the whole says so: boxes, or a map of labels."""
        whole: Any = self.whole
        target: torch.Tensor = whole.targets(int(self.indices[index]), size=size)
        return target


def subset(images: "Images", share: float) -> "Images":
    """A share of every class, at least one image of each: the same images whenever the split is the same."""
    import torch

    indices = [index for group in by_class(images.labels.tolist()) for index in group[: at_least_one(group, share)]]
    return Part(images, torch.tensor(sorted(indices), dtype=torch.int64))


def by_class(labels: Sequence[int]) -> list[list[int]]:
    """Indices of every class, in an order that looks random and is the same everywhere: by the hash of the index."""
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    return [sorted(groups[label], key=lambda index: stable_hash(str(index))) for label in sorted(groups)]


def stable_hash(text: str) -> bytes:
    """A hash that no Python version or process changes."""
    return hashlib.sha256(text.encode()).digest()


def at_least_one(group: Sequence[object], share: float) -> int:
    """How many of a group a share of it is, rounded, but not none."""
    return max(1, round(share * len(group)))


def before_crop(size: int, crop: float) -> int:
    """The shorter side, in pixels, of which a centre crop of `size` is the share `crop` (rounded down, as in timm)."""
    return math.floor(size / crop + 1e-9)  # 1e-9: 224 / 0.875 must stay 256 however it is rounded


def resized(pixels: "torch.Tensor", *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
    """Square images (N, C, H, H) to (N, C, size, size): resized with antialiasing, then cropped at the centre."""
    from torch.nn import functional as F

    side = before_crop(size, crop)
    if side != pixels.shape[-1]:
        if interpolation == "nearest":
            pixels = F.interpolate(pixels, size=(side, side), mode="nearest-exact")
        else:
            pixels = F.interpolate(pixels, size=(side, side), mode=interpolation, align_corners=False, antialias=True)
    start = (side - size) // 2
    return pixels[..., start : start + size, start : start + size].contiguous()
