"""Which detection found what: COCO's matching, of all images and classes at once.

In an image, detections of a class take objects in the order of their scores: each the one that it overlaps most among
those that are left and overlap by the threshold, an object that counts before one that does not (a crowd, or another
size than asked for). Crowds are never used up. Of objects that overlap alike the later one is taken (COCO's
`cocoeval.py`, `evaluateImg`).

Images and classes know nothing of each other, and so the first detections of all of them are matched together, then
the second ones, …: only those that overlap an object by half take part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bench.detection import overlaps
from bench.detection.annotations import Annotations, Entry
from bench.detection.overlaps import LEAST, Candidates, Overlap, Regions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Square pixels, both ends belonging to it: A = 4 of them."""

THRESHOLDS = 10
"""T: 0.5, 0.55, …, 0.95."""


def thresholds() -> "NDArray[np.float64]":
    """(T,): the overlaps from which a detection has found an object."""
    import numpy as np

    return np.linspace(LEAST, 0.95, THRESHOLDS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """What was found in I images of K classes by D detections of G objects; one bit for each of the T thresholds."""

    iou: Overlap
    images: "NDArray[np.int64]"  # (I,) ids, ascending
    categories: "NDArray[np.int64]"  # (K,) ids, ascending
    most: int  # detections of an image and a class that were matched at most, those with the highest scores
    image: "NDArray[np.int32]"  # (D,) place in `images`: detections come by image, class and falling score
    category: "NDArray[np.int32]"  # (D,) place in `categories`
    rank: "NDArray[np.int32]"  # (D,) 0: the highest score of the class in the image
    score: "NDArray[np.float64]"  # (D,)
    found: "NDArray[np.uint16]"  # (A, D) thresholds at which it found an object that counts
    ignored: "NDArray[np.uint16]"  # (A, D) thresholds at which it is neither right nor wrong
    object_image: "NDArray[np.int32]"  # (G,)
    object_category: "NDArray[np.int32]"  # (G,)
    counted: "NDArray[np.bool_]"  # (A, G) objects that are to be found

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """Everything, as named arrays that may lie in one file with those of the other kind of overlap."""
        import numpy as np

        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "iou"}
        return {f"{self.iou}_{name}": np.asarray(value) for name, value in named.items()}

    @classmethod
    def of_arrays(cls, arrays: "Mapping[str, NDArray[Any]]", iou: Overlap) -> "Matches":
        """What `arrays` gave."""
        given: dict[str, Any] = {
            field.name: arrays[f"{iou}_{field.name}"] for field in fields(cls) if field.name not in ("iou", "most")
        }
        return cls(iou=iou, most=int(arrays[f"{iou}_most"]), **given)


def matched(annotations: Annotations, results: list[Entry], *, iou: Overlap, most: int = 100) -> Matches:
    """Matches of checked results in their order, by the overlap of boxes or masks."""
    import numpy as np

    images = np.array(list(annotations.images), dtype=np.int64)
    categories = np.array(list(annotations.categories), dtype=np.int64)
    objects = overlaps.objects_of(annotations, iou)
    everything = overlaps.pairs(results, annotations)
    scores = np.array([entry["score"] for entry in results], dtype=np.float64)
    order = np.lexsort((-scores, everything))
    rank = _places_in_runs(everything[order])
    order, rank = order[rank < most], rank[rank < most]
    detections = overlaps.detections_of(
        [results[place] for place in order.tolist()], everything[order], annotations, iou
    )
    counted = np.stack([_inside(objects.area, area) & ~objects.crowd for area in AREAS])
    found, ignored = _greedy(detections, objects, counted)
    for number, area in enumerate(AREAS):
        outside = ~_inside(detections.area, area)
        ignored[number, outside] |= ~found[number, outside] & ((1 << THRESHOLDS) - 1)
    classes = len(categories)
    return Matches(
        iou=iou,
        images=images,
        categories=categories,
        most=most,
        image=(detections.pair // classes).astype(np.int32),
        category=(detections.pair % classes).astype(np.int32),
        rank=rank.astype(np.int32),
        score=scores[order],
        found=found,
        ignored=ignored,
        object_image=(objects.pair // classes).astype(np.int32),
        object_category=(objects.pair % classes).astype(np.int32),
        counted=counted,
    )


def _places_in_runs(values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """(N,): 0, 1, … in every run of equal values."""
    import numpy as np

    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))


def _inside(area: "NDArray[np.float64]", name: str) -> "NDArray[np.bool_]":
    low, high = AREAS[name]
    inside: NDArray[np.bool_] = (low <= area) & (area <= high)
    return inside


def _greedy(
    detections: Regions, objects: Regions, counted: "NDArray[np.bool_]"
) -> "tuple[NDArray[np.uint16], NDArray[np.uint16]]":
    """(A, D) twice: the thresholds at which a detection took an object that counts, and one that does not."""
    import numpy as np

    shape = (len(AREAS), len(detections.pair))
    found, ignored = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    taken = np.zeros((len(objects.pair), THRESHOLDS, len(AREAS)), dtype=bool)
    bits = (1 << np.arange(THRESHOLDS, dtype=np.uint16))[None, :, None]
    least = np.minimum(thresholds(), 1 - 1e-10)[None, :]
    counts = counted.T  # (G, A)
    for some in _rounds(overlaps.candidates(detections, objects), detections.pair):
        free = ~taken[some.object] | objects.crowd[some.object, None, None]
        free &= (some.overlap[:, None] >= least)[:, :, None]  # (C, T, A)
        size = len(some.object) + 1
        worth = np.arange(1, size, dtype=np.int32)[:, None, None] + np.where(counts[some.object], size, 0)[:, None, :]
        starts = np.flatnonzero(np.diff(some.detection, prepend=-1))
        best = np.maximum.reduceat(np.where(free, worth, 0), starts, axis=0)  # (detections, T, A)
        hit, right = best > 0, best > size
        chosen = some.object[(best % size) - 1]
        _, threshold, area = np.nonzero(hit)
        taken[chosen[hit], threshold, area] = True
        these = some.detection[starts]
        found[:, these] = (right * bits).sum(axis=1, dtype=np.uint16).T
        ignored[:, these] = ((hit & ~right) * bits).sum(axis=1, dtype=np.uint16).T
    return found, ignored


def _rounds(candidates: Candidates, pair: "NDArray[np.int64]") -> Iterator[Candidates]:
    """Candidates of the first detections of every image and class, of the second ones, and so on."""
    import numpy as np

    new = np.diff(candidates.detection, prepend=-1) > 0
    if not len(new):
        return
    place = _places_in_runs(pair[candidates.detection[new]])[np.cumsum(new) - 1]
    order = np.argsort(place, kind="stable")
    for begin, end in pairwise([*np.flatnonzero(np.diff(place[order], prepend=-1)).tolist(), len(order)]):
        some = order[begin:end]
        yield Candidates(
            detection=candidates.detection[some], object=candidates.object[some], overlap=candidates.overlap[some]
        )
