"""cityscapes: Cityscapes, 2,975 training and 500 validation pictures of streets with fine labels, in 19 classes.

As its archives lie: leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/{train,val}/CITY/*_gtFine_labelIds.png
(Cordts et al., CVPR 2016). Of the 34 ids of things that are labelled 19 are classes; pixels of the others are not
counted, and predicting one of them is a miss. Predictions are stored as ids, as its server wants them, unless
`predictions: classes` says that they are train ids; a file belongs to the frame that its name begins with.
"""

from pathlib import Path

from bench.data import Facts, Normalization, Split, folder, labelfolder
from bench.data.imagefolder import MEAN_STD
from bench.data.labelfolder import LabelFiles
from bench.errors import Needs
from bench.segmentation import label_rules
from bench.segmentation.label_rules import Rules

VERSION = labelfolder.VERSION

HALVES: dict[Split, str] = {"train": "train", "selection": "train", "report": "val"}

CLASSES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The classes in the order of their train ids, and their ids, by cityscapesScripts (helpers/labels.py)."""

NAMES = tuple(CLASSES)
IDS = 34
"""Ids go from 0 (unlabelled) to 33 (bicycle). In label maps of train ids what is no class is 255."""

TRUTH_ENDS = "_gtFine_labelIds.png"
"""Of the files of a frame this one has the ids."""

_IMAGE = "_leftImg8bit.png"


class Options(labelfolder.Reading):
    """How it is read, and where it lies."""


def facts(options: Options) -> Facts:
    """19 classes; pictures are 2048 × 1024 pixels."""
    return Facts(classes=len(CLASSES), channels=3, image=1024, task="segment")


def missing(options: Options) -> str | None:
    """The folders, unless they are there."""
    root = _root(options)
    if all((root / kind / half).is_dir() for kind in ("leftImg8bit", "gtFine") for half in HALVES.values()):
        return None
    return f"cityscapes as {root}/leftImg8bit/{{train,val}}/CITY/*{_IMAGE} and {root}/gtFine/…/CITY/*{TRUTH_ENDS}"


def folders(options: Options) -> list[Path]:
    """Where files come and go: of every city, of pictures and of label maps, of both halves."""
    root = _root(options)
    halves = [root / kind / half for kind in ("leftImg8bit", "gtFine") for half in sorted(set(HALVES.values()))]
    return [*halves, *(city for half in halves for city in sorted(half.iterdir()) if city.is_dir())]


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def rules(options: Options) -> Rules:
    """Ids of classes, and all others."""
    known = tuple(CLASSES.values())
    return Rules(values=known, void=(*(number for number in range(IDS) if number not in known), 255))


def predicted(options: Options) -> Rules:
    """Ids, or train ids."""
    return rules(options) if options.predictions == "labels" else label_rules.from_zero(len(CLASSES))


def truths(options: Options, split: Split) -> tuple[Path, list[Path]]:
    """The folder where label maps lie, and those of a split; of no pictures. Raises Needs where there is none."""
    root = _root(options) / "gtFine" / HALVES[split]
    files = sorted(path for path in root.glob(f"*/*{TRUTH_ENDS}") if not path.name.startswith("."))
    if not files:
        raise Needs(f"cityscapes: no label map for {split} as {root}/CITY/*{TRUTH_ENDS}")
    return root, labelfolder.part(files, options, split)


def pairs(options: Options, split: Split) -> list[tuple[Path, Path]]:
    """Pictures and label maps of a split. Raises Needs for a label map without a picture."""
    found = []
    for label in truths(options, split)[1]:
        city, name = label.parent.name, label.name.removesuffix(TRUTH_ENDS)
        picture = _root(options) / "leftImg8bit" / HALVES[split] / city / f"{name}{_IMAGE}"
        if not picture.is_file():
            raise Needs(f"cityscapes: a picture for the label map {label}, as {picture}")
        found.append((picture, label))
    return found


def load(options: Options, split: Split) -> LabelFiles:
    """A split. Raises Needs where there is nothing in it."""
    return LabelFiles(
        root=_root(options),
        pairs=pairs(options, split),
        rules=rules(options),
        channels=3,
        normalize=options.normalize,
    )


def _root(options: Options) -> Path:
    return Path(options.root).expanduser() if options.root else folder("cityscapes")
