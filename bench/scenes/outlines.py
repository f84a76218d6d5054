"""Masks as COCO writes them: polygons along the edges of pixels, run lengths, boxes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


def box(mask: "Mask") -> list[int]:
    """Left, top, width and height in pixels of what is set in a mask (H, W)."""
    import numpy as np

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def run_lengths(mask: "Mask") -> dict[str, list[int]]:
    """A mask (H, W) as pycocotools' uncompressed run lengths: down the columns, the first run is of what is not set."""
    import numpy as np

    down = mask.T.ravel()
    changes = np.flatnonzero(down[1:] != down[:-1]) + 1
    runs = np.diff([0, *changes.tolist(), len(down)]).tolist()
    return {"counts": [0, *runs] if down[0] else runs, "size": list(mask.shape)}


def polygons(mask: "Mask") -> list[list[int]]:
    """A mask (H, W) as polygons x0, y0, x1, y1 …, one for each part of it.

    COCO's polygons know no holes: a part with a hole is cut through it, so that its polygons touch each other.
    """
    return [
        [place + (left if axis % 2 == 0 else top) for axis, place in enumerate(_around(piece))]
        for piece, top, left in _pieces(mask, 0, 0)
    ]


def _pieces(mask: "Mask", top: int, left: int) -> "Iterator[tuple[Mask, int, int]]":
    """Parts whose pixels share edges, none with a hole, each cut out, with its place."""
    import numpy as np
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts)):
        part: Mask = parts[rows, columns] == number + 1
        y, x = top + rows.start, left + columns.start
        holes = (
            ndimage.binary_fill_holes(part, np.ones((3, 3), dtype=bool)) & ~part
        )  # what touches by a corner is no hole
        if not holes.any():
            yield part, y, x
            continue
        cut = int(np.flatnonzero(holes.any(axis=0))[0]) + 1
        yield from _pieces(part[:, :cut], y, x)
        yield from _pieces(part[:, cut:], y, x + cut)


def _around(part: "Mask") -> list[int]:
    """Corners x, y, x, y … of one part without holes, clockwise, from its first row's first pixel."""
    import numpy as np

    padded = np.pad(part, 1)
    here, above, before = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    diagonal = padded[:-1, :-1]
    width = here.shape[1]  # of the grid of pixels' corners
    steps = (1, width, -1, -width)  # right, down, left, up: what is set lies on the right-hand side
    leaves = [
        edges.ravel().tolist() for edges in (here & ~above, before & ~here, diagonal & ~before, above & ~diagonal)
    ]
    start = corner = int(np.argmax(leaves[0]))
    heading, corners = 0, [start]
    while True:
        corner += steps[heading]
        if corner == start:
            return [place for at in corners for place in (at % width, at // width)]
        right = (heading + 1) % 4  # first: where two pixels touch by a corner, the line stays with the one it follows
        if leaves[right][corner]:
            heading = right
        elif not leaves[heading][corner]:
            heading = (heading - 1) % 4
        else:
            continue
        corners.append(corner)
