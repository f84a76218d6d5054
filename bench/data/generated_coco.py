"""generated_coco: scenes drawn from a seed, in COCO's format, eight classes of shapes; nothing has to be there first.

They are written once, into `$VITAB_DATA/generated`, and read like any folder of COCO's layout. One scene in four is
for `report`. The same index is the same scene whatever the number of images.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bench import scenes
from bench.data import Facts, Normalization, Split, cocofolder
from bench.data.imagefolder import MEAN_STD, Normalize
from bench.scenes import folders
from bench.trial import Frozen

VERSION = scenes.VERSION + cocofolder.VERSION - 1
"""Goes up with either."""


class Options(Frozen):
    """Which scenes, and how they are read."""

    images: Annotated[int, Meta(ge=scenes.VALIDATION)] = 400
    side: Annotated[int, Meta(ge=folders.SMALLEST, le=folders.LARGEST)] = 128  # pixels
    seed: Annotated[int, Meta(ge=0)] = 0
    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.1  # share of the training images
    normalize: Normalize = "half"


def facts(options: Options) -> Facts:
    """Eight classes of shapes."""
    return Facts(classes=len(scenes.SHAPES), channels=3, image=options.side, task="detect")


def missing(options: Options) -> str | None:
    """Nothing but the libraries to draw with."""
    return folders.missing()


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def load(options: Options, split: Split) -> cocofolder.BoxFiles:
    """A split, drawn first where it never was. Raises Needs where it cannot be written."""
    return cocofolder.load(_folder(options), split)


def annotations_file(options: Options, split: Split) -> Path:
    """Where the ground truth of a split lies, drawn first where it never was. Raises Needs."""
    return cocofolder.annotations_file(_folder(options), split)


def category_ids(options: Options) -> tuple[int, ...]:
    """The id of each class."""
    from bench.scenes.coco import CATEGORY_IDS

    return CATEGORY_IDS


def _folder(options: Options) -> cocofolder.Options:
    where = folders.at_hand("coco", images=options.images, side=options.side, seed=options.seed)
    return cocofolder.Options(
        set="generated_coco",
        classes=len(scenes.SHAPES),
        image=options.side,
        selection=options.selection,
        normalize=options.normalize,
        root=str(where),
    )
