"""The libraries that compute COCO's numbers, silent: pycocotools, the reference, and faster-coco-eval.

Both are given ground truth and results that were checked, and their own accumulated arrays are taken: what they print
and how they summarise knows only their default numbers of detections. Where masks are compared, the area of a
detection is its mask's, as detectron2 and mmdetection have it: results are given without their boxes.
"""

import contextlib
import importlib
import io
from collections.abc import Sequence
from typing import Any

from bench.detection.accumulation import Curves
from bench.detection.annotations import Annotations, Entry
from bench.detection.overlaps import Overlap
from bench.errors import Needs

LIBRARIES = {  # name → package, class of data sets and class of evaluations
    "reference": ("pycocotools", ("pycocotools.coco", "COCO"), ("pycocotools.cocoeval", "COCOeval")),
    "faster_coco_eval": ("faster-coco-eval", ("faster_coco_eval", "COCO"), ("faster_coco_eval", "COCOeval_faster")),
}


def curves(
    name: str, annotations: Annotations, results: list[Entry], *, iou: Overlap, most_detections: Sequence[int]
) -> Curves:
    """What a library finds. Raises Needs where it is not installed."""
    package, *classes = LIBRARIES[name]
    try:
        data_set, evaluation = (getattr(importlib.import_module(module), found) for module, found in classes)
    except ImportError as problem:
        raise Needs(f"{package}: pip install {package}") from problem
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _filled(data_set(), annotations, [dict(entry) for entry in annotations.entries])
        other = "bbox" if iou == "segm" else "segmentation"
        given = [{field: value for field, value in entry.items() if field != other} for entry in results]
        said = truth.loadRes(given) if given else _filled(data_set(), annotations, [])
        evaluated = evaluation(truth, said, iou)
        evaluated.params.maxDets = list(most_detections)
        evaluated.evaluate()
        evaluated.accumulate()
    return _curves(evaluated.eval)


def _filled(empty: Any, annotations: Annotations, entries: list[Entry]) -> Any:
    empty.dataset = annotations.dataset | {"annotations": entries}
    empty.createIndex()
    return empty


def _curves(accumulated: dict[str, Any]) -> Curves:
    """Of precision (T, R, K, A, M) and recall (T, K, A, M), −1 where there is nothing to find."""
    import numpy as np

    precision, recall = (np.asarray(accumulated[name], dtype=np.float64) for name in ("precision", "recall"))
    precision = np.where(precision[..., -1] < 0, np.nan, precision[..., -1]).mean(axis=1)  # (T, K, A)
    recall = np.where(recall < 0, np.nan, recall)
    return Curves(
        precision=precision.transpose(2, 0, 1),
        recall=recall[..., -1].transpose(2, 0, 1),
        recall_of_first=recall[:, :, 0].transpose(2, 0, 1),
    )
