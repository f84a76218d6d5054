"""How far COCO's numbers would move with other images of the same kind: the bootstrap over images.

Images are drawn with replacement, as many as there are, and what was matched in them is accumulated again (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993). AP takes the best precision at a recall or above, which is the
higher the fewer different images there are: resamples lie above the number itself. An interval is therefore the range
of the resamples about their own mean, moved to the number: where it would lie on other sets of as many images.

Two models are compared on the same draws: images that are hard for one are mostly hard for the other, and that cancels
out of the difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.detection import accumulation, average_precision, matching
from bench.detection.matching import Matches
from bench.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with the range that holds LEVEL of the resamples, moved to it."""

    value: float  # percent, or a difference of percents
    low: float
    high: float
    deviation: float  # of the resamples
    resamples: int  # in which there was something to find


def intervals(
    matches: Matches, names: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of some quantities, by default of AP over all sizes; the same for the same seed."""
    names = names or (f"ap_{average_precision.KINDS[matches.iou]}",)
    whole, found = _resampled([matches], names, resamples, seed)
    return {name: _interval(whole[0, place], found[:, 0, place]) for place, name in enumerate(names)}


def differences(
    one: Matches, other: Matches, names: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of `other` − `one`, two models on the same images. Raises Invalid where they are not the same."""
    import numpy as np

    for said in ("images", "categories", "object_image", "object_category", "counted"):
        if not np.array_equal(getattr(one, said), getattr(other, said)):
            raise Invalid(f"two results are compared on the same ground truth: their {said.replace('_', ' ')} differ")
    if (one.iou, one.most) != (other.iou, other.most):
        raise Invalid("two results are compared by the same overlaps and numbers of detections")
    names = names or (f"ap_{average_precision.KINDS[one.iou]}",)
    whole, found = _resampled([one, other], names, resamples, seed)
    whole, found = whole[1] - whole[0], found[:, 1] - found[:, 0]
    return {name: _interval(whole[place], found[:, place]) for place, name in enumerate(names)}


def _resampled(
    models: Sequence[Matches], names: Sequence[str], resamples: int, seed: int
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Quantities of each model, (models, names), and of each resample, (resamples, models, names); NaN: undefined."""
    import numpy as np

    given = [accumulation.prepared(matches, first=_first(names), areas=_areas(names)) for matches in models]

    def quantities(weights: "NDArray[np.int64] | None") -> list[list[float]]:
        said = []
        for prepared in given:
            curves = accumulation.curves(prepared, weights)
            numbers = average_precision.numbers(curves, prepared.matches.iou, prepared.first)
            said.append([numbers.get(name, np.nan) for name in names])
        return said

    whole = np.array(quantities(None))
    drawn = _draws(len(models[0].images), resamples, seed)
    return whole, np.array([quantities(weights) for weights in drawn])


def _draws(images: int, resamples: int, seed: int) -> "Iterator[NDArray[np.int64]]":
    """How often each image is in a resample, (I,), so many times."""
    import numpy as np

    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(random.integers(images, size=images), minlength=images)


def _areas(names: Sequence[str]) -> list[str]:
    """What the names ask for: every area takes its time."""
    asked = {name.rpartition("_")[2] for name in names}
    return [area for area in matching.AREAS if area in asked or area == "all"]


def _first(names: Sequence[str]) -> tuple[int, ...]:
    """The numbers of detections of ar1_box, ar10_box, …"""
    asked = (name.partition("_")[0].removeprefix("ar") for name in names if name.startswith("ar"))
    return tuple(sorted({int(most) for most in asked if most}))


def _interval(value: float, resampled: "NDArray[np.float64]") -> Interval:
    import numpy as np

    there = resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(there) < 2:
        raise Invalid("there is nothing of the kind in the ground truth")
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - there.mean()
    return Interval(
        value=float(value),
        low=float(value + low),
        high=float(value + high),
        deviation=float(there.std(ddof=1)),
        resamples=len(there),
    )
