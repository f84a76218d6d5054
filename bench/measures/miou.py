"""miou: mean over classes of intersection over union of predicted and true pixels of a whole set, in percent.

Beside it pixel_accuracy, of all pixels, and mean_accuracy, of each class; `bench/segmentation/confusion.py` has the
definitions (Long et al., CVPR 2015, section 5). Pixels are summed over the set before anything is divided; a class that
neither truth nor prediction shows is left out of the means; pixels whose truth is no class are not counted. Labels are
compared at their own size. What is scored are label maps in a folder, or what the trial's model says.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from bench import evaluation, machine, predictions, registry
from bench.errors import Invalid
from bench.identity import record_key
from bench.record import STD_OVER_IMAGES, Quantity
from bench.segmentation import bootstrap, label_maps, scoring
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

VERSION = 1
DEPENDS_ON = (*evaluation.DEPENDS_ON, "predictions")
PRODUCES: dict[str, tuple[str, str | None]] = {
    "miou": ("%", "higher"),
    "pixel_accuracy": ("%", "higher"),
    "mean_accuracy": ("%", "higher"),
}
LABELS = {"miou": "mIoU", "pixel_accuracy": "pixel acc.", "mean_accuracy": "mean acc."}
TASKS = ("score", "segment")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Score a folder of predictions, or what the trial's weights say; what each image gave is kept.

    Raises Invalid for data without label maps, and for whatever is wrong with a file.
    """
    module, options = _data(trial)
    classes = module.rules(options).classes
    maps = _of_files if trial.task == "score" else _of_model
    scored = scoring.score(maps(trial, subject, module, options), classes)
    subject.bound |= {
        "images": len(scored.images.names),
        "pixels": scored.pixels,
        "absent_classes": list(scored.confusion.absent),
        STD_OVER_IMAGES: bootstrap.deviations(scored.images),
        "numpy": machine.version("numpy"),
        "pillow": machine.version("pillow"),
    }
    evaluation.keep(trial, subject, record_key("miou", VERSION, DEPENDS_ON, trial), scored.images.arrays())
    return {
        name: Quantity(samples=(value,), unit="%", better="higher") for name, value in scored.confusion.numbers.items()
    }


def _data(trial: Trial) -> tuple[ModuleType, Any]:
    """The module of the trial's data, and its options."""
    if trial.data is None:
        raise Invalid("mIoU needs data with label maps: `data: NAME`")
    module = registry.load("data", trial.data.name)
    if not hasattr(module, "truths"):
        raise Invalid(f"mIoU is of label maps, and {trial.data.name} has none")
    return module, msgspec.convert(trial.data.options | trial.data.at, module.Options)


def _of_files(trial: Trial, subject: Subject, module: ModuleType, options: Any) -> "Iterator[tuple[str, Array, Array]]":
    """Truths beside the predictions in a folder; which truths, and how many label maps of none there were, is bound."""
    if trial.predictions is None:
        raise Invalid("a score is of predictions: `predictions: FOLDER`")
    root, truths = module.truths(options, "report")
    matches, others = label_maps.matched(truths, root, predictions.located(trial.predictions))
    subject.bound |= {"truth": scoring.digest(root, truths), "predictions_without_truth": len(others)}
    return scoring.read(matches, module.rules(options), module.predicted(options))


def _of_model(trial: Trial, subject: Subject, module: ModuleType, options: Any) -> "Iterator[tuple[str, Array, Array]]":
    """Truths beside what the trial's model says of their pictures, in their order."""
    from bench.segmentation.inference import segment

    split = evaluation.protocol(trial).split
    rules = module.rules(options)
    subject.bound["truth"] = scoring.digest(*module.truths(options, split))
    for (picture, truth), (name, said) in zip(module.pairs(options, split), segment(trial, subject), strict=True):
        if name != picture.stem:
            raise Invalid(f"a prediction of {name!r} where one of {picture.stem!r} belongs")
        yield picture.stem, label_maps.read(truth, rules), said
