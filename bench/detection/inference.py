"""Detections of a trial's model: COCO results of every image of a split, ready to be scored.

Each image is seen whole, as a square of the protocol's size; boxes are said in pixels of the image as it is on disk, by
the ids of images and categories of its annotations file. How many boxes an image has, and which of those that overlap,
the model's file says: FCOS keeps the best hundred.
"""

from typing import TYPE_CHECKING, Any, cast

from bench import dense_evaluation, evaluation
from bench.errors import Invalid
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data import Boxed


def detect(trial: Trial, subject: Subject) -> list[dict[str, Any]]:
    """Entries image_id, category_id, score and bbox (x, y, width, height), image by image, the best of each first.

    Weights, architecture, images and attention are bound. Raises Invalid for data without boxes, Needs without weights.
    """
    size = evaluation.protocol(trial).image
    asked: Any
    asked, given = dense_evaluation.ready(trial, subject)
    if not hasattr(given.images, "category_ids"):
        raise Invalid(f"detections are of images with boxes, and {trial.data and trial.data.name} has none")
    images, found = cast("Boxed", given.images), []
    for indices, boxes in dense_evaluation.answers(
        trial, subject, asked, given, lambda said: asked.detections(said, size)
    ):
        for index, rows in zip(indices.tolist(), boxes, strict=True):
            found += _entries(rows, images, index, size)
    return found


def _entries(rows: "Tensor", images: "Boxed", index: int, size: int) -> list[dict[str, Any]]:
    """Rows (n, 6) of one image, x0, y0, x1, y1 in the square that was seen, score and class, as COCO has them."""
    across, down = (length / size for length in images.sizes[index])
    return [
        {
            "image_id": images.ids[index],
            "category_id": images.category_ids[int(kind)],
            "score": score,
            "bbox": [left * across, top * down, (right - left) * across, (bottom - top) * down],
        }
        for left, top, right, bottom, score, kind in rows.tolist()
    ]
