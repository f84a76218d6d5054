"""How much detections overlap the objects of their image and class: all that overlap by half or more, at once.

Intersection over union of boxes, or of masks by COCO's own code; of a crowd, over the detection alone (COCO's
`maskApi.c`).
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

LEAST = 0.5

MOST_AT_ONCE = 2_000_000  # pairs of a detection and an object whose overlap is found together: 16 MB an array


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """Objects or detections, by image and class."""

    pair: "NDArray[np.int64]"  # (N,) ascending
    box: "NDArray[np.float64]"  # (N, 4)
    mask: list[masks.Mask] | None
    area: "NDArray[np.float64]"  # (N,)
    crowd: "NDArray[np.bool_]"  # (N,)


def objects_of(annotations: Annotations, iou: Overlap) -> Regions:
    """The ground truth, in its own order within an image and a class."""
    import numpy as np

    pair = pairs(annotations.entries, annotations)
    order = np.argsort(pair, kind="stable")
    entries = [annotations.entries[place] for place in order.tolist()]
    return Regions(
        pair=pair[order],
        box=_boxes(entries),
        mask=_masks(entries, annotations) if iou == "segm" else None,
        area=np.array([entry["area"] for entry in entries], dtype=np.float64),
        crowd=np.array([entry["iscrowd"] for entry in entries], dtype=bool),
    )


def detections_of(entries: list[Entry], pair: "NDArray[np.int64]", annotations: Annotations, iou: Overlap) -> Regions:
    """The area of a detection is that of its box, or of its mask where masks are compared."""
    import numpy as np

    crowd = np.zeros(len(entries), dtype=bool)
    if iou == "segm":
        mask = _masks(entries, annotations)
        return Regions(pair=pair, box=np.zeros((len(mask), 4)), mask=mask, area=masks.areas(mask), crowd=crowd)
    box = _boxes(entries)
    return Regions(pair=pair, box=box, mask=None, area=box[:, 2] * box[:, 3], crowd=crowd)


def _boxes(entries: list[Entry]) -> "NDArray[np.float64]":
    import numpy as np

    return np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)


def _masks(entries: list[Entry], annotations: Annotations) -> list[masks.Mask]:
    return [_mask(entry, annotations) for entry in entries]


def _mask(entry: Entry, annotations: Annotations) -> masks.Mask:
    image = annotations.images[entry["image_id"]]
    return masks.compressed(entry["segmentation"], image.width, image.height)


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Detections beside objects of their image and class that they overlap by half or more: C of them."""

    detection: "NDArray[np.int64]"  # (C,)
    object: "NDArray[np.int64]"  # (C,)
    overlap: "NDArray[np.float64]"  # (C,)


def candidates(detections: Regions, objects: Regions) -> Candidates:
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
        half = overlap >= LEAST
        parts.append((detection[half], thing[half], overlap[half]))
    detection, thing, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((thing, overlap, detection))
    return Candidates(detection=detection[order], object=thing[order], overlap=overlap[order])


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
    detections: Regions, objects: Regions, detection: "NDArray[np.int64]", thing: "NDArray[np.int64]"
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


def pairs(entries: list[Entry], annotations: Annotations) -> "NDArray[np.int64]":
    """(N,): one number for an image and a class."""
    import numpy as np

    image = {number: place for place, number in enumerate(annotations.images)}
    category = {number: place for place, number in enumerate(annotations.categories)}
    classes = len(category)
    found = [image[entry["image_id"]] * classes + category[entry["category_id"]] for entry in entries]
    return np.array(found, dtype=np.int64)
