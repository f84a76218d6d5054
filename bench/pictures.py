"""Picture files: decoded, made square without cropping, made numbers, and told apart."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import Invalid

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from bench.data import Images, Normalization

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")

MOST_KEPT = 2**28
"""Bytes that the decoded images of a split may take."""

WHOLE = 128
"""At least so many files, evenly spread, are read whole for a fingerprint; fewer where there are fewer."""


def decoded(path: Path, channels: int) -> "Image":
    """In grey or in colour; a grey file has three equal channels where three are asked for.

    Raises Invalid for a file that is no image, or only the beginning of one.
    """
    with _opened(path) as file:
        return file.convert("RGB" if channels == 3 else "L")


def size(path: Path) -> tuple[int, int]:
    """Width and height, by the head of the file alone. Raises Invalid for a file that is no image."""
    with _opened(path) as file:
        return file.size


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    from PIL import Image

    try:
        with Image.open(path) as file:
            yield file
    except (OSError, SyntaxError, ValueError) as problem:  # Pillow's decoders raise all three
        raise Invalid(f"{str(path)!r} cannot be decoded as an image") from problem


def stretched(picture: "Image", size: int, interpolation: str) -> "Image":
    """The whole picture as a square of `size` pixels a side, resized with antialiasing; its aspect is not kept."""
    from PIL import Image

    if picture.size == (size, size):
        return picture
    return picture.resize((size, size), Image.Resampling[interpolation.upper()])


def numbers(picture: "Image", pixels_are: "Normalization") -> "torch.Tensor":
    """A picture as float32 (C, H, W): pixels between 0 and 1, less the mean, over the deviation of each channel."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.array(picture)).view(picture.height, picture.width, -1)
    mean, std = (torch.tensor(values)[:, None, None] for values in pixels_are)
    return (pixels.permute(2, 0, 1).float() / 255 - mean) / std


def kept(images: "Images", *, size: int, crop: float, interpolation: str) -> "torch.Tensor | None":
    """All images of a split as `image` gives them, (N, C, size, size) float32, where they are few and small enough."""
    import torch

    if not len(images) or len(images) * 3 * size * size * 4 > MOST_KEPT:
        return None
    return torch.stack([images.image(i, size=size, crop=crop, interpolation=interpolation) for i in range(len(images))])


def listed(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Files of a folder with one of the suffixes, sorted; none where it is not there. Hidden files are left out."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if not path.name.startswith("."))  # ._x.jpg is what macOS leaves behind
    return sorted(path for path in found if path.suffix.lower() in suffixes)


def fingerprint(root: Path, files: Iterable[tuple[Path, object]]) -> str:
    """A digest of the names and sizes of files, of what is said of each, and of what is in some of them.

    Reading a million of them whole would take hours; evenly spread ones tell folders apart that were named alike.
    """
    digest = hashlib.sha256()
    listed = list(files)
    apart = max(1, len(listed) // WHOLE)
    for number, (path, said) in enumerate(listed):
        digest.update(f"{path.relative_to(root).as_posix()}\0{said}\0{path.stat().st_size}\n".encode())
        if number % apart == 0:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
