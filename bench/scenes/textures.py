"""Random numbers that are the same on every machine, and textures drawn with them."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Item = TypeVar("Item")


class Draws:
    """Uniform numbers of one scene. NumPy keeps the raw bits of PCG64 the same for ever, its distributions not."""

    def __init__(self, seed: int, index: int) -> None:
        import numpy as np

        self._bits = np.random.PCG64(np.random.SeedSequence([seed, index]))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number from low up to high."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def uniforms(self, *shape: int) -> "Floats":
        """Numbers from 0 up to 1, of 53 random bits each."""
        drawn: Floats = (self._bits.random_raw(math.prod(shape)) >> 11).reshape(shape).astype("float64")
        return drawn * 2.0**-53

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.uniform() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def one_of(self, items: "Sequence[Item]") -> Item:
        """An item, each as often."""
        return items[self.whole(0, len(items) - 1)]

    def direction(self) -> tuple[float, float]:
        """A unit vector: a rational point of the circle, half of the time the one opposite to it."""
        t = self.uniform(-1, 1)
        sign = 1 if self.chance(0.5) else -1
        return sign * (1 - t * t) / (1 + t * t), sign * 2 * t / (1 + t * t)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Places of the pixels of a window, x and y (H, W), in pixels."""

    x: "Floats"
    y: "Floats"

    def turned(self, direction: tuple[float, float]) -> "tuple[Floats, Floats]":
        """The places along a direction, and across it."""
        cos, sin = direction
        return cos * self.x + sin * self.y, cos * self.y - sin * self.x


def pattern(kind: str, grid: Grid, period: float, draws: Draws) -> "Floats":
    """How much of a second colour is at each place, 0 to 1 (H, W), of a texture that repeats after `period` pixels."""
    import numpy as np

    if kind == "plain":
        return np.zeros(grid.x.shape)
    if kind == "clouds":
        return _clouds(grid, period, draws)
    u, v = grid.turned(draws.direction())
    if kind == "gradient":
        gradient: Floats = (u - u.min()) / max(1.0, float(u.max() - u.min()))
        return gradient
    u, v = u / period + draws.uniform(), v / period + draws.uniform()
    if kind == "stripes":
        return (u - np.floor(u) < 0.5).astype(float)
    if kind == "checks":
        return (np.floor(2 * u) + np.floor(2 * v)) % 2
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5  # spots
    return (u * u + v * v < 0.08).astype(float)


def _clouds(grid: Grid, period: float, draws: Draws) -> "Floats":
    """Random heights a period apart, with straight slopes between them."""
    import numpy as np

    x, y = (grid.x - grid.x.min()) / period, (grid.y - grid.y.min()) / period
    heights = draws.uniforms(int(y.max()) + 2, int(x.max()) + 2)
    column, row = x.astype(int), y.astype(int)
    right, down = x - column, y - row
    above = heights[row, column] * (1 - right) + heights[row, column + 1] * right
    below = heights[row + 1, column] * (1 - right) + heights[row + 1, column + 1] * right
    mixed: Floats = above * (1 - down) + below * down
    return np.clip(2 * mixed - 0.5, 0, 1)


def coloured(amount: "Floats", colours: "Floats") -> "Floats":
    """Two colours (2, 3) mixed by `amount` (H, W): (H, W, 3)."""
    return colours[0] + amount[..., None] * (colours[1] - colours[0])  # type: ignore[no-any-return]
