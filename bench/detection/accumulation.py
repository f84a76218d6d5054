"""Precision and recall of what was matched, of the images as they are or of any resample of them.

Detections of a class come by falling score, those of equal score by image; precision at a recall is the best that there
is at that recall or a higher one, taken at 101 recalls (COCO's `cocoeval.py`, `accumulate`). It can be the best only
where an object is found, so that precision is computed there alone; and an image that a resample holds w times is w in
every sum, so that nothing is matched or sorted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.detection.matching import AREAS, THRESHOLDS, Matches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECALLS = 101
"""R: 0, 0.01, …, 1."""


def recalls() -> "NDArray[np.float64]":
    """(R,)."""
    import numpy as np

    return np.linspace(0.0, 1.0, RECALLS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """What is left of the curves, by threshold and class; NaN where a class has no object of an area."""

    precision: "NDArray[np.float64]"  # (A, T, K): mean over recalls, between 0 and 1
    recall: "NDArray[np.float64]"  # (A, T, K): the highest
    recall_of_first: "NDArray[np.float64]"  # (M, T, K): of all areas, of so many detections of an image and class


@dataclass(frozen=True, kw_only=True, eq=False)
class _Points:
    """Where something is found, of one area. S = T · K segments are each a class at a threshold, by threshold first."""

    position: "NDArray[np.int64]"  # (P,) of the detection, among all by class and falling score
    segment: "NDArray[np.int64]"  # (P,) ascending
    category: "NDArray[np.int32]"  # (P,)
    starts: "NDArray[np.int64]"  # (S + 1,) into P
    rank: "NDArray[np.int32]"  # (P,)
    usual: "NDArray[np.int64]"  # (U,) positions of detections that are right or wrong at most thresholds
    usual_since: "NDArray[np.int64]"  # (P,) into U: from the class's first …
    usual_until: "NDArray[np.int64]"  # (P,) … to this detection
    other: "NDArray[np.int64]"  # (Q,) positions where that is otherwise at a threshold
    sign: "NDArray[np.int64]"  # (Q,) 1: it is right or wrong there all the same; −1: it is ignored there
    other_since: "NDArray[np.int64]"  # (P,) into Q: from the segment's first …
    other_until: "NDArray[np.int64]"  # (P,) … to this detection


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Matches with all that no resample changes."""

    matches: Matches
    first: tuple[int, ...]  # M numbers of detections of an image and a class to recall by
    image: "NDArray[np.int32]"  # (D,) by class and falling score
    points: dict[str, _Points]  # by area


def prepared(matches: Matches, *, first: Sequence[int] = (), areas: Sequence[str] = tuple(AREAS)) -> Prepared:
    """Matches, ready to be accumulated with any weights of images."""
    import numpy as np

    order = np.lexsort((matches.rank, matches.image, -matches.score, matches.category))
    points = {area: _points(matches, order, list(AREAS).index(area)) for area in areas}
    return Prepared(matches=matches, first=tuple(first), image=matches.image[order], points=points)


def _points(matches: Matches, order: "NDArray[np.int64]", area: int) -> _Points:
    import numpy as np

    found, ignored, category = matches.found[area, order], matches.ignored[area, order], matches.category[order]
    classes = len(matches.categories)
    bits = 1 << np.arange(THRESHOLDS, dtype=np.uint16)[:, None]
    usual = (ignored >> (THRESHOLDS - 1)) == 0  # at the highest threshold least is matched
    threshold, position = np.nonzero(found & bits)
    segment = threshold * classes + category[position]
    other_threshold, other = np.nonzero(((ignored & bits) == 0) != usual)
    key = other_threshold * len(order) + other  # ascending, as is that of the points
    first = np.searchsorted(category, np.arange(classes))[category[position]]
    before = np.append(0, np.cumsum(usual))
    return _Points(
        position=position,
        segment=segment,
        category=category[position],
        starts=np.searchsorted(segment, np.arange(THRESHOLDS * classes + 1)),
        rank=matches.rank[order][position],
        usual=np.flatnonzero(usual),
        usual_since=before[first],
        usual_until=before[position + 1],
        other=other,
        sign=np.where(usual[other], -1, 1),
        other_since=np.searchsorted(key, threshold * len(order) + first),
        other_until=np.searchsorted(key, threshold * len(order) + position, side="right"),
    )


def curves(given: Prepared, weights: "NDArray[np.int64] | None" = None) -> Curves:
    """Curves where image i is there `weights[i]` times, (I,); None: each once."""
    import numpy as np

    matches, classes = given.matches, len(given.matches.categories)
    if weights is None:
        weights = np.ones(len(matches.images), dtype=np.int64)
    of_detection, of_object = weights[given.image], weights[matches.object_image]
    shape = (len(AREAS), THRESHOLDS, classes)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    of_first = np.full((len(given.first), *shape[1:]), np.nan)
    for area, points in given.points.items():
        number = list(AREAS).index(area)
        objects = np.bincount(matches.object_category, of_object * matches.counted[number], classes).astype(np.int64)
        there = objects > 0
        weight = of_detection[points.position]
        sums = _sums(weight)
        precision[number][:, there] = _precision(points, of_detection, sums, objects)[:, there]
        recall[number][:, there] = _recall(points, sums, objects)[:, there]
        if area == "all":
            for place, most in enumerate(given.first):
                of_first[place][:, there] = _recall(points, _sums(weight * (points.rank < most)), objects)[:, there]
    return Curves(precision=precision, recall=recall, recall_of_first=of_first)


def _sums(values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """(N + 1,): of the first none, the first one, the first two, …"""
    import numpy as np

    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _recall(points: _Points, sums: "NDArray[np.int64]", objects: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """(T, K), from the sums of the points' weights."""
    import numpy as np

    right = np.diff(sums[points.starts]).reshape(THRESHOLDS, len(objects))
    found: NDArray[np.float64] = right / np.maximum(objects, 1)
    return found


def _precision(
    points: _Points, of_detection: "NDArray[np.int64]", sums: "NDArray[np.int64]", objects: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """(T, K): mean over recalls of the best precision at that recall or a higher one."""
    import numpy as np

    right = sums[1:] - np.repeat(sums[points.starts[:-1]], np.diff(points.starts))
    usual, other = _sums(of_detection[points.usual]), _sums(of_detection[points.other] * points.sign)
    judged = usual[points.usual_until] - usual[points.usual_since]
    judged += other[points.other_until] - other[points.other_since]
    reached = _reached(right / np.maximum(objects, 1)[points.category])
    best = np.zeros((THRESHOLDS * len(objects), RECALLS))
    place = points.segment * RECALLS + reached  # ascending
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    if len(starts):
        best.ravel()[place[starts]] = np.maximum.reduceat(right / (judged + np.spacing(1)), starts)
    np.maximum.accumulate(best[:, ::-1], axis=1, out=best[:, ::-1])
    means: NDArray[np.float64] = best.mean(axis=1).reshape(THRESHOLDS, len(objects))
    return means


def _reached(recall: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """(P,): places of the highest of the 101 recalls that are reached, by comparing the numbers themselves."""
    import numpy as np

    steps = np.append(recalls(), np.inf)
    near: NDArray[np.int64] = (recall * (RECALLS - 1)).astype(np.int64)  # one beside it, at most
    near += steps[near + 1] <= recall
    near -= steps[near] > recall
    return near
