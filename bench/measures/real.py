"""real: images, in percent, whose class with the largest logit is one of the reassessed labels that they have.

Of ImageNet's validation images, by Beyer et al., "Are we done with ImageNet?" (2020): one label, several or
none an image; images without any are left out. The labels are their file `real.json`, put beside `train` and `val`: a
list for each of ILSVRC2012_val_00000001 and so on, of the numbers of classes in the order of their folders' names.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import evaluation
from bench.data.imagefolder import Files
from bench.errors import Invalid, Needs
from bench.identity import record_key
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = evaluation.DEPENDS_ON
PRODUCES: dict[str, tuple[str, str | None]] = {"real": ("%", "higher")}
LABELS = {"real": "ReaL"}
DATA = ("imagenet", "imagefolder")
TASKS = ("classify",)

FILE = "real.json"
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.\w+")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Evaluate the trial's weights, and hold what they say against the reassessed labels.

    Raises Needs where these are not there, Invalid for a file or a folder that holds something else.
    """
    from bench.batches import share_right

    given = evaluation.images(trial, subject, evaluation.protocol(trial).split).images
    if not isinstance(given, Files) or evaluation.protocol(trial).split != "report":
        raise Invalid("ReaL labels are of ImageNet's validation images alone")
    path = given.root / FILE
    labels, sha256 = read(path, [file.name for file in given.files], trial.input.classes)
    said, _ = evaluation.evaluated(trial, subject)
    subject.bound["labels"] = sha256
    counted = labels.any(dim=1)
    right = labels.gather(1, said.argmax(dim=1, keepdim=True))[:, 0]
    key = record_key("real", VERSION, DEPENDS_ON, trial)
    evaluation.keep(trial, subject, key, {"right": right[counted], "real": said.argmax(dim=1)[counted]})
    subject.bound["images"] = int(counted.sum())
    return {"real": Quantity(samples=(share_right(said, labels),), unit="%", better="higher")}


def read(path: Path, files: list[str], classes: int) -> "tuple[Tensor, str]":
    """Which classes are right, (N, classes) bool, of validation images by their names; and the file's sha256."""
    import torch

    try:
        content = path.read_bytes()
        lists = msgspec.json.decode(content, type=list[list[int]])
    except OSError as problem:
        raise Needs(f"ReaL labels as {path} (github.com/google-research/reassessed-imagenet)") from problem
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"{path}: no list of lists of classes, one a validation image: {problem}") from problem
    labels = torch.zeros(len(files), classes, dtype=torch.bool)
    for place, name in enumerate(files):
        found = _NUMBER.fullmatch(name)
        if found is None:
            raise Invalid(f"ReaL labels are of ImageNet's validation images alone, and {name!r} is named like none")
        number = int(found[1])
        if not 1 <= number <= len(lists):
            raise Invalid(f"{path}: labels of {len(lists):,} images, and none of {name!r}")
        if wrong := [label for label in lists[number - 1] if not 0 <= label < classes]:
            raise Invalid(f"{path}: image {number} has class {wrong[0]}, of {classes} classes")
        labels[place, lists[number - 1]] = True
    if not labels.any():
        raise Invalid(f"{path}: no label for any of {len(files):,} images")
    return labels, hashlib.sha256(content).hexdigest()
