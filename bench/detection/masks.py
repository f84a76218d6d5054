"""Masks as COCO writes them, polygons and run lengths, all as one kind: compressed run lengths.

Run lengths count pixels down the columns, first outside the mask, then inside, in turn. Compressed, a count is written
as its difference to the count before the last (from the fourth on), five bits a character from "0" on, the sixth bit
saying that more follow (COCO's mask API, `rleToString`).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mask = dict[str, Any]
"""{"size": [height, width], "counts": compressed}."""

_FIRST, _LAST = ord("0"), ord("0") + 63


def check(segmentation: Any, width: int, height: int) -> None:
    """Raises ValueError that says what is wrong with polygons or run lengths of an image of this size.

    What compressed run lengths say is left to `pixels`, which takes all of them at once.
    """
    if isinstance(segmentation, list):
        _check_polygons(segmentation)
        return
    if not isinstance(segmentation, dict) or "counts" not in segmentation or "size" not in segmentation:
        raise ValueError("a segmentation is polygons, or run lengths as {'size', 'counts'}")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        shown = " × ".join(map(str, size)) if isinstance(size, list | tuple) else repr(size)
        raise ValueError(f"a mask of {shown} (height × width) in an image of {height} × {width}")
    if isinstance(counts, list):
        _check_counts(counts, width * height)
    elif not isinstance(counts, str | bytes):
        raise ValueError(f"run lengths are a text or a list of numbers, not {type(counts).__name__}")


def compressed(segmentation: Any, width: int, height: int) -> Mask:
    """What was checked, as compressed run lengths."""
    from pycocotools import mask

    if isinstance(segmentation, list):
        merged: Mask = mask.merge(mask.frPyObjects(segmentation, height, width))
        return merged
    if isinstance(segmentation["counts"], list):
        found: Mask = mask.frPyObjects(segmentation, height, width)
        return found
    whole: Mask = segmentation
    return whole


def _check_polygons(polygons: list[Any]) -> None:
    if not polygons:
        raise ValueError("a segmentation without a polygon")
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list of three or more pairs x, y")  # of two, COCO's code makes a box
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
            raise ValueError("a polygon has a coordinate that is no finite number")


def _check_counts(counts: list[Any], pixels: int) -> None:
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("run lengths are whole numbers, none of them negative")
    if sum(counts) != pixels:
        raise ValueError(f"run lengths of {sum(counts):,} pixels in an image of {pixels:,}")


def pixels(masks: Sequence[Mask]) -> "NDArray[np.int64]":
    """Pixels inside and outside (N,) of compressed masks: height × width, or they are broken; −1 where cut off.

    The sum of all counts is a weighted sum of what is written, so that no count has to be known.
    """
    import numpy as np

    texts = [text.encode() if isinstance(text := mask["counts"], str) else bytes(text) for mask in masks]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    characters = np.frombuffer(b"".join(texts), dtype=np.uint8)
    bits = characters.astype(np.int64) - _FIRST
    more = (bits & 0x20) != 0
    owner = np.repeat(np.arange(len(texts)), lengths)
    ends = np.flatnonzero(~more)
    cut = np.zeros(len(texts), dtype=bool)
    cut[owner[(bits < 0) | (characters > _LAST)]] = True
    last = np.cumsum(lengths) - 1
    cut[lengths > 0] |= more[last[lengths > 0]]
    if not len(ends):
        return np.where(cut, -1, 0)
    begins = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(bits)) - np.repeat(begins, np.diff(np.concatenate([begins, [len(bits)]])))
    values = np.add.reduceat((bits & 0x1F) << np.minimum(5 * place, 60), begins)
    widths = 5 * np.minimum(ends - begins + 1, 12)
    values = np.where(bits[ends] & 0x10, values - (1 << widths), values)  # the sign reaches on to the left
    owners = owner[ends]
    first = np.searchsorted(owners, np.arange(len(texts)))
    written = np.bincount(owners, minlength=len(texts))
    index = np.arange(len(owners)) - first[owners]
    times = np.where(index > 0, (written[owners] - 1 - index) // 2 + 1, 1)  # how many counts a difference is in
    total = np.zeros(len(texts), dtype=np.int64)
    np.add.at(total, owners, values * times)
    return np.where(cut, -1, total)


def box(mask: Mask) -> list[float]:
    """x, y, width, height in pixels around what is inside."""
    from pycocotools import mask as coco

    return [float(value) for value in coco.toBbox(mask)]


def area(mask: Mask) -> float:
    """Pixels inside."""
    from pycocotools import mask as coco

    return float(coco.area(mask))


def areas(some: Sequence[Mask]) -> "NDArray[np.float64]":
    """(N,): pixels inside."""
    import numpy as np
    from pycocotools import mask as coco

    # One at a time: with NumPy 2, pycocotools refuses more than 255 at once.
    return np.array([coco.area(mask) for mask in some], dtype=np.float64)
