"""Masks as COCO writes them, polygons and run lengths, all as one kind: compressed run lengths.

Run lengths count pixels down the columns, first outside the mask, then inside, in turn. Compressed, a count is written
as its difference to the count before the last (from the fourth on), five bits a character from "0" on, the sixth bit
saying that more follow (COCO's mask API, `rleToString`).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mask = dict[str, Any]
"""{"size": [height, width], "counts": compressed}."""

CHARACTERS_AT_ONCE = 1_000_000  # of compressed masks that are checked together: 8 MB an array

MOST_PIXELS = 2**32 - 1
"""Of an image with masks: COCO's code counts in 32 bits."""

FARTHEST = 16
"""Longer sides of an image that a polygon may reach beyond it: COCO's code walks every step of the way there."""

_FIRST, _LAST = ord("0"), ord("0") + 63
_MOST_BITS = 55  # of a difference: what has more is none of an image that there is


def check(segmentation: Any, width: int, height: int) -> None:
    """Raises ValueError that says what is wrong with polygons or run lengths of an image of this size.

    What compressed run lengths say is left to `pixels`, which takes all of them at once.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(f"masks in an image of {width:,} × {height:,} pixels; at most {MOST_PIXELS:,} in all")
    if isinstance(segmentation, list):
        _check_polygons(segmentation, FARTHEST * max(width, height))
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
    elif not counts.isascii():
        raise ValueError("run lengths have a character that is of none")


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


def _check_polygons(polygons: list[Any], farthest: int) -> None:
    if not polygons:
        raise ValueError("a segmentation without a polygon")
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list of three or more pairs x, y")  # of two, COCO's code makes a box
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
            raise ValueError("a polygon has a coordinate that is no finite number")
        if max(map(abs, polygon)) > farthest:
            raise ValueError(f"a polygon reaches {max(polygon, key=abs):g}, far outside of its image")


def _check_counts(counts: list[Any], pixels: int) -> None:
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("run lengths are whole numbers, none of them negative")
    if sum(counts) != pixels:
        raise ValueError(f"run lengths of {sum(counts):,} pixels in an image of {pixels:,}")


def pixels(masks: Sequence[Mask]) -> "NDArray[np.int64]":
    """Pixels inside and outside (N,) of compressed masks: height × width, or they are broken; −1 where no mask is."""
    import numpy as np

    texts = [text.encode() if isinstance(text := mask["counts"], str) else bytes(text) for mask in masks]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    batches = [0, *np.flatnonzero(np.diff(ends // CHARACTERS_AT_ONCE, prepend=0)).tolist(), len(texts)]
    return np.concatenate([_pixels(texts[begin:end]) for begin, end in pairwise(batches)])


def _pixels(texts: list[bytes]) -> "NDArray[np.int64]":
    """Sums of counts, of which none is negative."""
    import numpy as np

    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    characters = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64)
    last = np.cumsum(lengths)[lengths > 0] - 1
    more = ((characters - _FIRST) & 0x20) != 0
    broken = np.zeros(len(texts), dtype=bool)
    broken[owner[(characters < _FIRST) | (characters > _LAST)]] = True
    broken[owner[last[more[last]]]] = True  # more was to follow
    more[last] = False
    differences, at = _differences(characters - _FIRST, more)
    owner = owner[at]
    written = np.bincount(owner, minlength=len(texts))
    counts = _counts(differences, (np.cumsum(written) - written)[owner])
    broken[owner[counts < 0]] = True
    return np.where(broken, -1, np.bincount(owner, counts, len(texts)).astype(np.int64))


def _counts(differences: "NDArray[np.int64]", first: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Counts (N,) from their differences, and from where the first one of the same mask stands."""
    import numpy as np

    index = np.arange(len(differences)) - first
    counts = differences.copy()
    for parity in (0, 1):
        chosen = (index % 2 == parity) & (index > 0)
        sums = np.append(0, np.cumsum(np.where(chosen, differences, 0)))
        counts[chosen] = (sums[1:] - sums[first])[chosen]
    return counts


def _differences(bits: "NDArray[np.int64]", more: "NDArray[np.bool_]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """What is written, and the places of the last characters of each; `more` says after which characters it goes on."""
    import numpy as np

    ends = np.flatnonzero(~more)
    if not len(ends):
        return ends, ends
    begins = np.append(0, ends[:-1] + 1)
    size = ends - begins + 1
    place = np.arange(len(bits)) - np.repeat(begins, size)
    values = np.add.reduceat((bits & 0x1F) << np.minimum(5 * place, _MOST_BITS), begins)
    negative = (bits[ends] & 0x10) != 0  # the sign reaches on to the left
    return np.where(negative, values - (1 << np.minimum(5 * size, _MOST_BITS)), values), ends


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
