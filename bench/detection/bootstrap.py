"""How far COCO's numbers would move with other images of the same kind: the bootstrap over images.

Images are drawn with replacement, as many as there are, and what was matched in them is accumulated again (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993). AP takes the best precision at a recall or above, which is the
higher the fewer different images there are: resamples lie above the number itself. An interval is therefore the range
of the resamples about their own mean, moved to the number: where it would lie on other sets of as many images.

Two models are compared on the same draws: images that are hard for one are mostly hard for the other, and that cancels
out of the difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.detection import accumulation, average_precision, matching
from bench.detection.average_precision import Scores
from bench.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with the range that holds LEVEL of the resamples, moved to it."""

    value: float  # percent, or a difference of percents
    low: float
    high: float
    deviation: float  # of the resamples
    draws: int  # in which there was something to find


def intervals(
    scores: Scores, names: Sequence[str] | None = None, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of all numbers, or of some, which takes less time; the same for the same seed."""
    names = list(scores.numbers if names is None else names)
    whole, found = _resampled([scores], names, draws, seed)
    moved = _intervals(names, whole[0], found[:, 0])
    return {name: replace(one, low=max(0.0, one.low), high=min(100.0, one.high)) for name, one in moved.items()}


def differences(
    one: Scores, other: Scores, names: Sequence[str] | None = None, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of `one` less `other`, two models on the same images. Raises Invalid where they are not the same."""
    import numpy as np

    for said in ("images", "categories", "object_image", "object_category", "counted"):
        if not np.array_equal(getattr(one.matches, said), getattr(other.matches, said)):
            raise Invalid(f"two results are compared on the same ground truth: their {said.replace('_', ' ')} differ")
    if (one.iou, one.most_detections) != (other.iou, other.most_detections):
        raise Invalid("two results are compared by the same overlaps and numbers of detections")
    names = list(one.numbers if names is None else names)
    whole, found = _resampled([one, other], names, draws, seed)
    return _intervals(names, whole[0] - whole[1], found[:, 0] - found[:, 1])


def deviations(scores: Scores, *, draws: int = 200, seed: int = 0) -> dict[str, float]:
    """Standard deviations of the draws, by name: 200 draws tell them to 5 %."""
    return {name: found.deviation for name, found in intervals(scores, draws=draws, seed=seed).items()}


def _resampled(
    models: Sequence[Scores], names: Sequence[str], draws: int, seed: int
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Quantities of each model, (models, names), and of each resample, (draws, models, names); NaN: undefined."""
    import numpy as np

    iou, most = models[0].iou, models[0].most_detections
    given = [accumulation.prepared(scores.matches, first=most, areas=_areas(names)) for scores in models]

    def quantities(weights: "NDArray[np.int64] | None") -> list[list[float]]:
        every = (average_precision.numbers(accumulation.curves(one, weights), iou, most) for one in given)
        return [[numbers.get(name, np.nan) for name in names] for numbers in every]

    if not names:
        return np.zeros((len(models), 0)), np.zeros((draws, len(models), 0))
    drawn = _draws(len(models[0].matches.images), draws, seed)
    found = np.array([quantities(weights) for weights in drawn]).reshape(draws, len(models), len(names))
    return np.array(quantities(None)), found


def _draws(images: int, draws: int, seed: int) -> "Iterator[NDArray[np.int64]]":
    """How often each image is in a resample, (I,), so many times."""
    import numpy as np

    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(images, size=images), minlength=images)


def _areas(names: Sequence[str]) -> list[str]:
    """What the names ask for: every area takes its time."""
    asked = {name.rpartition("_")[2] for name in names}
    return [area for area in matching.AREAS if area in asked or area == "all"]


def _intervals(names: Sequence[str], whole: "NDArray[np.float64]", found: "NDArray[np.float64]") -> dict[str, Interval]:
    """Of numbers (names,) and their resamples (draws, names); without those of which there is nothing to find."""
    import numpy as np

    said = {}
    for name, value, column in zip(names, whole.tolist(), found.T, strict=True):
        there = column[~np.isnan(column)]
        if not np.isnan(value) and len(there) > 1:
            low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - there.mean()
            said[name] = Interval(
                value=value,
                low=value + float(low),
                high=value + float(high),
                deviation=float(there.std(ddof=1)),
                draws=len(there),
            )
    return said
