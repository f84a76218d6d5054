"""Which detection found what: COCO's matching, of all images and classes at once.

In an image, detections of a class take objects in the order of their scores: each the one that it overlaps most among
those that are left and overlap by the threshold, an object that counts before one that does not (a crowd, or another
size than asked for). Crowds are never used up. Of objects that overlap alike the later one is taken (COCO's
`cocoeval.py`, `evaluateImg`).

Images and classes know nothing of each other, and so the first detections of all of them are matched together, then
the second ones, …: only those that overlap an object by half take part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from bench.detection import masks
from bench.detection.annotations import Annotations, Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Overlap = Literal["bbox", "segm"]

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Square pixels, both ends belonging to it: A = 4 of them."""

THRESHOLDS = 10
"""T: 0.5, 0.55, …, 0.95."""

MOST_AT_ONCE = 2_000_000  # pairs of a detection and an object whose overlap is found together: 16 MB an array


def thresholds() -> "NDArray[np.float64]":
    """(T,): the overlaps from which a detection has found an object."""
    import numpy as np

    return np.linspace(0.5, 0.95, THRESHOLDS)


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


def matched(annotations: Annotations, results: list[Entry], *, iou: Overlap, most: int = 100) -> Matches:
    """Matches of checked results in their order, by the overlap of boxes or masks."""
    import numpy as np

    images, categories = np.array(list(annotations.images)), np.array(list(annotations.categories))
    objects = _objects(annotations, iou)
    everything = _pairs(results, annotations)
    scores = np.array([entry["score"] for entry in results], dtype=np.float64)
    order = np.lexsort((-scores, everything))
    rank = _places_in_runs(everything[order])
    order, rank = order[rank < most], rank[rank < most]
    detections = _detections([results[place] for place in order.tolist()], everything[order], annotations, iou)
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


def _pairs(entries: list[Entry], annotations: Annotations) -> "NDArray[np.int64]":
    """(N,): one number for an image and a class."""
    import numpy as np

    image = {number: place for place, number in enumerate(annotations.images)}
    category = {number: place for place, number in enumerate(annotations.categories)}
    classes = len(category)
    found = [image[entry["image_id"]] * classes + category[entry["category_id"]] for entry in entries]
    return np.array(found, dtype=np.int64)


def _places_in_runs(values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """(N,): 0, 1, … in every run of equal values."""
    import numpy as np

    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))


def _inside(area: "NDArray[np.float64]", name: str) -> "NDArray[np.bool_]":
    low, high = AREAS[name]
    inside: NDArray[np.bool_] = (low <= area) & (area <= high)
    return inside


@dataclass(frozen=True, kw_only=True, eq=False)
class _Regions:
    """Objects or detections, by image and class."""

    pair: "NDArray[np.int64]"  # (N,) ascending
    box: "NDArray[np.float64]"  # (N, 4)
    mask: list[masks.Mask] | None
    area: "NDArray[np.float64]"  # (N,)
    crowd: "NDArray[np.bool_]"  # (N,)


def _objects(annotations: Annotations, iou: Overlap) -> _Regions:
    """The ground truth, in its own order within an image and a class."""
    import numpy as np

    pair = _pairs(annotations.entries, annotations)
    order = np.argsort(pair, kind="stable")
    entries = [annotations.entries[place] for place in order.tolist()]
    return _Regions(
        pair=pair[order],
        box=_boxes(entries),
        mask=_masks(entries, annotations) if iou == "segm" else None,
        area=np.array([entry["area"] for entry in entries], dtype=np.float64),
        crowd=np.array([entry["iscrowd"] for entry in entries], dtype=bool),
    )


def _detections(entries: list[Entry], pair: "NDArray[np.int64]", annotations: Annotations, iou: Overlap) -> _Regions:
    """The area of a detection is that of its box, or of its mask where masks are compared."""
    import numpy as np

    crowd = np.zeros(len(entries), dtype=bool)
    if iou == "segm":
        mask = _masks(entries, annotations)
        return _Regions(pair=pair, box=np.zeros((len(mask), 4)), mask=mask, area=masks.areas(mask), crowd=crowd)
    box = _boxes(entries)
    return _Regions(pair=pair, box=box, mask=None, area=box[:, 2] * box[:, 3], crowd=crowd)


def _boxes(entries: list[Entry]) -> "NDArray[np.float64]":
    import numpy as np

    return np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)


def _masks(entries: list[Entry], annotations: Annotations) -> list[masks.Mask]:
    return [_mask(entry, annotations) for entry in entries]


def _mask(entry: Entry, annotations: Annotations) -> masks.Mask:
    image = annotations.images[entry["image_id"]]
    return masks.compressed(entry["segmentation"], image.width, image.height)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidates:
    """Detections beside objects of their image and class that they overlap by half or more: C of them."""

    detection: "NDArray[np.int64]"  # (C,)
    object: "NDArray[np.int64]"  # (C,)
    overlap: "NDArray[np.float64]"  # (C,)


def _candidates(detections: _Regions, objects: _Regions) -> _Candidates:
    """By detection, then rising overlap, then object: the last one that may be taken is the one that is."""
    import numpy as np

    first = np.searchsorted(objects.pair, detections.pair, side="left")
    count = np.searchsorted(objects.pair, detections.pair, side="right") - first
    parts: list[tuple[Any, ...]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for some in _chunks(detections.pair, count):
        number = count[some]
        detection = np.repeat(np.arange(some.start, some.stop), number)
        index = np.arange(len(detection)) - np.repeat(np.cumsum(number) - number, number)
        thing = first[detection] + index
        overlap = (
            _box_overlaps(detections.box[detection], objects.box[thing], objects.crowd[thing])
            if detections.mask is None or objects.mask is None
            else _mask_overlaps(detections, objects, detection, thing)
        )
        half = overlap >= thresholds()[0]
        parts.append((detection[half], thing[half], overlap[half]))
    detection, thing, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((thing, overlap, detection))
    return _Candidates(detection=detection[order], object=thing[order], overlap=overlap[order])


def _chunks(pair: "NDArray[np.int64]", count: "NDArray[np.int64]") -> Iterator[slice]:
    """Slices of detections, whole images and classes each, of about MOST_AT_ONCE pairs with objects."""
    import numpy as np

    ends = np.append(np.flatnonzero(np.diff(pair)) + 1, len(pair)) if len(pair) else np.zeros(1, np.int64)
    total = np.append(0, np.cumsum(count))
    start = 0
    for end, following in pairwise([*ends.tolist(), len(pair) + 1]):
        if end == len(pair) or total[min(following, len(pair))] - total[start] > MOST_AT_ONCE:
            yield slice(start, end)
            start = end


def _box_overlaps(
    box: "NDArray[np.float64]", other: "NDArray[np.float64]", crowd: "NDArray[np.bool_]"
) -> "NDArray[np.float64]":
    """(N,): intersection over union of boxes x, y, width, height; of a crowd, over the detection alone."""
    import numpy as np

    size = np.minimum(box[:, :2] + box[:, 2:], other[:, :2] + other[:, 2:]) - np.maximum(box[:, :2], other[:, :2])
    common = np.where((size > 0).all(axis=1), size[:, 0] * size[:, 1], 0.0)
    own = box[:, 2] * box[:, 3]
    union = np.where(crowd, own, own + other[:, 2] * other[:, 3] - common)
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _mask_overlaps(
    detections: _Regions, objects: _Regions, detection: "NDArray[np.int64]", thing: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """The same of masks, by COCO's own code, an image and a class at a time."""
    import numpy as np
    from pycocotools import mask

    assert detections.mask is not None
    assert objects.mask is not None
    parts = [np.zeros(0)]
    pair = detections.pair[detection]
    bounds = np.append(np.flatnonzero(np.diff(pair, prepend=-1)), len(pair)).tolist()
    for begin, end in pairwise(bounds):
        these = slice(int(detection[begin]), int(detection[end - 1]) + 1)
        those = slice(int(thing[begin]), int(thing[end - 1]) + 1)
        found = mask.iou(detections.mask[these], objects.mask[those], objects.crowd[those].astype(int).tolist())
        parts.append(np.asarray(found).reshape(-1))
    return np.concatenate(parts)


def _greedy(
    detections: _Regions, objects: _Regions, counted: "NDArray[np.bool_]"
) -> "tuple[NDArray[np.uint16], NDArray[np.uint16]]":
    """(A, D) twice: the thresholds at which a detection took an object that counts, and one that does not."""
    import numpy as np

    shape = (len(AREAS), len(detections.pair))
    found, ignored = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    taken = np.zeros((len(objects.pair), THRESHOLDS, len(AREAS)), dtype=bool)
    bits = (1 << np.arange(THRESHOLDS, dtype=np.uint16))[None, :, None]
    least = np.minimum(thresholds(), 1 - 1e-10)[None, :]
    counts = counted.T  # (G, A)
    for some in _rounds(_candidates(detections, objects), detections.pair):
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


def _rounds(candidates: _Candidates, pair: "NDArray[np.int64]") -> Iterator[_Candidates]:
    """Candidates of the first detections of every image and class, of the second ones, and so on."""
    import numpy as np

    new = np.diff(candidates.detection, prepend=-1) > 0
    if not len(new):
        return
    place = _places_in_runs(pair[candidates.detection[new]])[np.cumsum(new) - 1]
    order = np.argsort(place, kind="stable")
    for begin, end in pairwise([*np.flatnonzero(np.diff(place[order], prepend=-1)).tolist(), len(order)]):
        some = order[begin:end]
        yield _Candidates(
            detection=candidates.detection[some], object=candidates.object[some], overlap=candidates.overlap[some]
        )
