"""Label maps of a trial's model: the class of every pixel of every image of a split, ready to be scored.

Each image is seen whole, once, as a square of the protocol's size (a single scale, no windows, not mirrored). Logits
are resized bilinearly to the image as it is on disk; then the largest one is the class.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from bench import dense_evaluation, registry
from bench.errors import Invalid
from bench.evaluation import protocol
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_IN_A_BYTE = 255
"""Classes: one number of eight bits is left for none."""


def segment(trial: Trial, subject: Subject) -> "Iterator[tuple[str, Array]]":
    """(name of the picture, classes (H, W) from 0) in the order of the data's pairs; uint8, or uint16 for many classes.

    Weights, architecture, images and attention are bound. Raises Invalid for data without label maps, Needs without
    weights.
    """
    from PIL import Image

    model, given = dense_evaluation.ready(trial, subject)
    assert trial.data is not None
    module = registry.load("data", trial.data.name)
    if not hasattr(module, "pairs"):
        raise Invalid(f"label maps are said of pictures that have some, and {trial.data.name} has none")
    options = msgspec.convert(trial.data.options | trial.data.at, module.Options)
    pictures = [picture for picture, _ in module.pairs(options, protocol(trial).split)]
    for indices, logits in dense_evaluation.answers(trial, subject, model, given, lambda said: said.float()):
        for index, one in zip(indices.tolist(), logits, strict=True):
            with Image.open(pictures[index]) as file:
                width, height = file.size
            yield pictures[index].stem, _classes(one, height, width)


def _classes(logits: "Tensor", height: int, width: int) -> "Array":
    """The class with the largest of logits (classes, S, S), at another size."""
    import numpy as np
    from torch.nn import functional as F

    resized = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)
    kind = np.uint8 if len(logits) <= MOST_IN_A_BYTE else np.uint16
    found: Array = resized[0].argmax(dim=0).cpu().numpy().astype(kind)
    return found
