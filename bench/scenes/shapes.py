"""The outlines of things: which points of the plane are inside of a shape that just fits into the unit circle.

Each takes x, y (H, W) float64 and the least half-width of its thin parts, and gives (H, W) bool. They compare sums,
products and square roots: no sine, whose last bit differs between machines.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.scenes import SHAPES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SIN_60 = math.sqrt(3) / 2
COS_36, COS_72 = (math.sqrt(5) + 1) / 4, (math.sqrt(5) - 1) / 4
SIN_36, SIN_72 = math.sqrt(10 - 2 * math.sqrt(5)) / 4, math.sqrt(10 + 2 * math.sqrt(5)) / 4


def inside(shape: str, x: "Floats", y: "Floats", thin: float) -> "Mask":
    """Points (H, W) of a shape by its name."""
    return OUTLINES[shape](x, y, thin)


def disc(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A disc."""
    return x * x + y * y <= 1


def ring(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A disc with a round hole."""
    hole = max(0.0, 1 - 2 * max(thin, 0.15))
    away = x * x + y * y
    return (away <= 1) & (away > hole * hole)


def square(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A square."""
    half = math.sqrt(0.5)
    return (abs(x) <= half) & (abs(y) <= half)


def triangle(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """An equilateral triangle, a corner upwards."""
    return (y <= 0.5) & (SIN_60 * abs(x) - 0.5 * y <= 0.5)


def cross(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """Two bars across each other."""
    arm = max(thin, 0.2)
    x, y = abs(x), abs(y)
    return ((x <= arm) & (y <= 1)) | ((y <= arm) & (x <= 1))


def star(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A pentagram with its inside: the points on the near side of four of the five lines that it is drawn with."""
    lines = [-y]  # each at right angles to the direction of a corner
    for side in (x, -x):
        lines += [SIN_72 * side - COS_72 * y, SIN_36 * side + COS_36 * y]
    near = [(line <= COS_72).astype("int8") for line in lines]
    within: Mask = near[0] + near[1] + near[2] + near[3] + near[4] >= 4
    return within


def bar(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A thin bar."""
    return (abs(x) <= 1) & (abs(y) <= max(thin, 0.07))


def crescent(x: "Floats", y: "Floats", thin: float) -> "Mask":
    """A disc without most of another one."""
    beside = x - 0.5
    return (x * x + y * y <= 1) & (beside * beside + y * y > 0.7)


OUTLINES: "dict[str, Callable[[Floats, Floats, float], Mask]]" = dict(
    zip(SHAPES, (disc, ring, square, triangle, cross, star, bar, crescent), strict=True)
)
