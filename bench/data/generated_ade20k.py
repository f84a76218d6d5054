"""generated_ade20k: scenes drawn from a seed, in ADE20K's format, four backgrounds and eight shapes to tell apart.

They are written once, into `$VITAB_DATA/generated`, and read like any folder of ADE20K's layout. One scene in four is
for `report`. The same index is the same scene whatever the number of images. Label 0 belongs to no class.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bench import scenes
from bench.data import Facts, Normalization, Split, labelfolder
from bench.data.imagefolder import MEAN_STD, Normalize
from bench.scenes import ade20k, folders
from bench.segmentation.label_rules import Rules
from bench.trial import Frozen

VERSION = scenes.VERSION + labelfolder.VERSION - 1
"""Goes up with either."""

NAMES = ade20k.CLASSES
"""By class."""


class Options(Frozen):
    """Which scenes, and how they are read."""

    images: Annotated[int, Meta(ge=scenes.VALIDATION)] = 400
    side: Annotated[int, Meta(ge=folders.SMALLEST, le=folders.LARGEST)] = 128  # pixels
    seed: Annotated[int, Meta(ge=0)] = 0
    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.1  # share of the training images
    normalize: Normalize = "half"
    predictions: Literal["labels", "classes"] = "labels"  # that are scored: stored like the truth, or classes from 0


def facts(options: Options) -> Facts:
    """Twelve classes."""
    return Facts(classes=len(NAMES), channels=3, image=options.side, task="segment")


def missing(options: Options) -> str | None:
    """Nothing but the libraries to draw with."""
    return folders.missing()


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def load(options: Options, split: Split) -> labelfolder.LabelFiles:
    """A split, drawn first where it never was. Raises Needs where it cannot be written."""
    return labelfolder.load(_drawn(options), split)


def truths(options: Options, split: Split) -> tuple[Path, list[Path]]:
    """The folder where label maps lie, and those of a split, drawn first where they never were. Raises Needs."""
    return labelfolder.truths(_drawn(options), split)


def pairs(options: Options, split: Split) -> list[tuple[Path, Path]]:
    """Pictures and label maps of a split, drawn first where they never were. Raises Needs."""
    return labelfolder.pairs(_drawn(options), split)


def rules(options: Options) -> Rules:
    """What stored labels mean."""
    return labelfolder.rules(_folder(options))


def predicted(options: Options) -> Rules:
    """What stored predictions mean."""
    return labelfolder.predicted(_folder(options))


def _drawn(options: Options) -> labelfolder.Options:
    where = folders.at_hand("ade20k", images=options.images, side=options.side, seed=options.seed)
    return _folder(options, root=str(where))


def _folder(options: Options, root: str | None = None) -> labelfolder.Options:
    return labelfolder.Options(
        set="generated_ade20k",
        classes=len(NAMES),
        reduced=True,
        image=options.side,
        selection=options.selection,
        normalize=options.normalize,
        predictions=options.predictions,
        root=root,
    )
