"""coco_ap: COCO's average precision and recall of boxes and masks, in percent (cocodataset.org/#detection-eval).

`bench/detection/average_precision.py` has the definitions. Boxes have numbers where detections have boxes, masks where
they have masks; a number of which there is no ground truth (no large object) is absent. What is scored is a file of
results, or what the trial's model says of the split; with it, for comparing models image by image, what was matched
is kept.
"""

from pathlib import Path
from typing import Any

import msgspec

from bench import data, evaluation, machine, predictions, registry
from bench.detection import annotations, average_precision, bootstrap, inference, results
from bench.detection.annotations import Annotations, Entry
from bench.errors import Invalid
from bench.identity import record_key
from bench.record import STD_OVER_IMAGES, Quantity
from bench.subject import Subject
from bench.trial import Trial

VERSION = 1
DEPENDS_ON = (*evaluation.DEPENDS_ON, "predictions")
_NAMES = {  # as papers' columns say it
    **{"ap_{}": "{} AP", "ap50_{}": "{} AP50", "ap75_{}": "{} AP75"},
    **{"ap_{}_small": "{} AP S", "ap_{}_medium": "{} AP M", "ap_{}_large": "{} AP L"},
    **{"ar1_{}": "{} AR1", "ar10_{}": "{} AR10", "ar100_{}": "{} AR100"},
    **{"ar_{}_small": "{} AR S", "ar_{}_medium": "{} AR M", "ar_{}_large": "{} AR L"},
}
LABELS = {name.format(kind): label.format(kind) for kind in ("box", "mask") for name, label in _NAMES.items()}
PRODUCES: dict[str, tuple[str, str | None]] = dict.fromkeys(LABELS, ("AP", "higher"))
TASKS = ("detect", "score")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Score the trial's predictions, or what its weights say.

    Raises Invalid for data without boxes, and for whatever is wrong with a file.
    """
    truth = _truth(trial, subject)
    found = _of_file(trial, truth) if trial.task == "score" else _of_model(trial, subject, truth)
    scores = [
        average_precision.score(truth, found, iou=iou)
        for iou, field in average_precision.FIELDS.items()
        if field in (found[0] if found else ("bbox",))
    ]
    subject.bound |= {
        "images": len(truth.images),
        "annotations": len(truth.entries),
        "detections": len(found),
        "engine": [one.engine for one in scores],
        STD_OVER_IMAGES: {name: std for one in scores for name, std in bootstrap.deviations(one).items()},
        "numpy": machine.version("numpy"),
        "pycocotools": machine.version("pycocotools"),
    }
    kept = {name: array for one in scores for name, array in one.matches.arrays().items()}
    evaluation.keep(trial, subject, record_key("coco_ap", VERSION, DEPENDS_ON, trial), kept)
    return {
        name: Quantity(samples=(number,), unit="AP", better="higher")
        for one in scores
        for name, number in one.numbers.items()
    }


def _truth(trial: Trial, subject: Subject) -> Annotations:
    """The ground truth of the evaluated split; which it is, by its content, is bound."""
    if trial.data is None:
        raise Invalid("AP needs data with boxes: `data: NAME`")
    module = registry.load("data", trial.data.name)
    if not hasattr(module, "annotations_file"):
        raise Invalid(f"AP is of boxes and masks, and {trial.data.name} has none")
    options: Any = msgspec.convert(trial.data.options | trial.data.at, module.Options)
    split = "report" if trial.evaluate is None else trial.evaluate.split
    path = module.annotations_file(options, split)
    subject.bound["truth"] = predictions.digest(path)
    truth = annotations.read(path)
    if split == "report":
        return truth
    chosen: Any = data.load(trial.data, split)  # a part of what is in the file
    return annotations.only(truth, chosen.ids)


def _of_file(trial: Trial, truth: Annotations) -> list[Entry]:
    if trial.predictions is None:
        raise Invalid("a score is of predictions: `predictions: FILE`")
    path: Path = predictions.located(trial.predictions)
    return results.read(path, truth)


def _of_model(trial: Trial, subject: Subject, truth: Annotations) -> list[Entry]:
    return results.checked(inference.detect(trial, subject), truth, f"what {trial.model.name} says")
