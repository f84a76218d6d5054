"""COCO's numbers, in percent: average precision and recall of boxes or masks, of all classes and of each.

AP is the mean over ten overlaps (0.5, 0.55, …, 0.95), 101 recalls and all classes of which there is ground truth, of
small (up to 32² pixels), medium (up to 96²) or large objects too; AR is the highest recall with so many detections of
a class in an image. A number of which there is no ground truth is absent. https://cocodataset.org/#detection-eval
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.detection import accumulation, engines, matching
from bench.detection.accumulation import Curves
from bench.detection.annotations import Annotations, Entry
from bench.detection.matching import Matches
from bench.detection.overlaps import Overlap
from bench.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Engine = Literal["fast", "reference", "faster_coco_eval"]
"""fast: this package's own; reference: pycocotools. All of them agree to 1e-9."""

MOST_DETECTIONS = (1, 10, 100)

KINDS: dict[Overlap, str] = {"bbox": "box", "segm": "mask"}
FIELDS: dict[Overlap, str] = {"bbox": "bbox", "segm": "segmentation"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """The numbers of one file of results."""

    iou: Overlap
    engine: Engine
    most_detections: tuple[int, ...]
    numbers: dict[str, float]  # percent: ap_box, ap50_box, …, ar_box_large, or the same with mask
    per_class: dict[int, dict[str, float]]  # the same of each class that has ground truth, by category id
    matches: Matches = field(repr=False)  # for resampling images, and for comparing models image by image


def score(
    annotations: Annotations,
    results: list[Entry],
    *,
    iou: Overlap,
    most_detections: Sequence[int] = MOST_DETECTIONS,
    engine: Engine = "fast",
) -> Scores:
    """The numbers of checked results. Raises Invalid where boxes or masks are asked for and are not there."""
    _check(annotations, results, iou, most_detections)
    most = tuple(sorted(most_detections))
    matches = matching.matched(annotations, results, iou=iou, most=most[-1])
    if engine == "fast":
        return of_matches(matches, most)
    found = engines.curves(engine, annotations, results, iou=iou, most_detections=most)
    return _scores(found, matches, engine, most)


def of_matches(matches: Matches, most_detections: Sequence[int] = MOST_DETECTIONS) -> Scores:
    """The numbers of what was matched before, with the same largest number of detections."""
    most = tuple(sorted(most_detections))
    return _scores(accumulation.curves(accumulation.prepared(matches, first=most)), matches, "fast", most)


def _scores(found: Curves, matches: Matches, engine: Engine, most: tuple[int, ...]) -> Scores:
    per_class = {}
    for place, category in enumerate(matches.categories.tolist()):
        if of_class := numbers(found, matches.iou, most, classes=slice(place, place + 1)):
            per_class[category] = of_class
    return Scores(
        iou=matches.iou,
        engine=engine,
        most_detections=most,
        numbers=numbers(found, matches.iou, most),
        per_class=per_class,
        matches=matches,
    )


def _check(annotations: Annotations, results: list[Entry], iou: Overlap, most_detections: Sequence[int]) -> None:
    if not most_detections or any(type(most) is not int or most < 1 for most in most_detections):
        raise Invalid(f"most detections {list(most_detections)}: one or more whole numbers from 1 on are wanted")
    if len(set(most_detections)) < len(most_detections):
        raise Invalid(f"most detections {list(most_detections)}: a number stands there twice")
    wanted = FIELDS[iou]
    if results and wanted not in results[0]:
        other = next(kind for kind, name in FIELDS.items() if name != wanted)
        raise Invalid(f"iou {iou} compares the results' {wanted!r}, which they do not have; allowed: {other}")
    if iou == "segm":
        for entry in annotations.entries:
            if wanted not in entry:
                raise Invalid(
                    f"{annotations.said}: iou segm needs masks; annotation entry {entry['id'] - 1} has no {wanted!r}"
                )


def numbers(
    found: Curves, iou: Overlap, most_detections: Sequence[int], *, classes: slice = slice(None)
) -> dict[str, float]:
    """Quantities in percent, of all classes or some."""
    kind = KINDS[iou]
    sizes = {f"_{area}" if area != "all" else "": place for place, area in enumerate(matching.AREAS)}
    precision, recall = found.precision[:, :, classes], found.recall[:, :, classes]
    arrays = {f"ap_{kind}": precision[0], f"ap50_{kind}": precision[0, :1], f"ap75_{kind}": precision[0, 5:6]}
    arrays |= {f"ap_{kind}{size}": precision[place] for size, place in sizes.items() if size}
    arrays |= {
        f"ar{most}_{kind}": found.recall_of_first[place][:, classes] for place, most in enumerate(most_detections)
    }
    arrays |= {f"ar_{kind}{size}": recall[place] for size, place in sizes.items() if size}
    return {name: mean for name, array in arrays.items() if (mean := _percent(array)) is not None}


def _percent(array: "NDArray[np.float64]") -> float | None:
    """The mean of what is there; None: nothing is."""
    import numpy as np

    there = array[~np.isnan(array)]
    return 100 * float(there.mean()) if there.size else None
