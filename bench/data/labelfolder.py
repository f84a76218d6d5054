"""labelfolder: any pictures with label maps in ADE20K's layout, ROOT/{images,annotations}/{training,validation}/*.

A label map is a PNG file of its picture's name whose pixels are labels: classes from 0, or `reduced`, from 1, 0 being
none; `ignore` is none either. Where pictures are trained on they are made square without cropping, and their labels
with them by the nearest pixel; a score is of labels at their own size. `selection` is cut from `training`, a share of
the files chosen by the hash of their names, so that adding a file moves no other; `report` is `validation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from bench import pictures
from bench.data import Facts, Normalization, Split, folder
from bench.data.imagefolder import MEAN_STD, Normalize, cut
from bench.errors import Invalid, Needs
from bench.segmentation import label_maps, label_rules
from bench.segmentation.confusion import MOST_CLASSES, ignored
from bench.segmentation.label_rules import Rules
from bench.trial import EXECUTION, Frozen, Pixels

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

VERSION = 1

HALVES: dict[Split, str] = {"train": "training", "selection": "training", "report": "validation"}


class Reading(Frozen):
    """How pictures and labels are read, and where they lie."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.1  # share of `training`
    normalize: Normalize = "imagenet"
    predictions: Literal["labels", "classes"] = "labels"  # that are scored: stored like the truth, or classes from 0
    root: Annotated[str | None, Meta(extra=EXECUTION)] = None  # None: $VITAB_DATA/SET


class Options(Reading, kw_only=True):
    """Which these are."""

    set: str  # its name: what tells two folders apart in the keys
    classes: Annotated[int, Meta(ge=1, le=MOST_CLASSES)]
    reduced: bool = False  # 0 is no class, and 1 the first
    ignore: Annotated[int, Meta(ge=0, le=label_rules.MOST_STORED)] | None = 255
    channels: Literal[1, 3] = 3
    image: Pixels = 512  # the usual side of a training image


@dataclass(frozen=True)
class Named:
    """A data set in this layout that has a name of its own: its facts, and the functions that its file offers."""

    set: str
    classes: int
    reduced: bool
    image: int

    def facts(self, options: Reading) -> Facts:
        """Classes, channels and the usual size."""
        return facts(self.options(options))

    def missing(self, options: Reading) -> str | None:
        """The folders, unless they are there."""
        return missing(self.options(options))

    def load(self, options: Reading, split: Split) -> "LabelFiles":
        """A split."""
        return load(self.options(options), split)

    def normalized(self, options: Reading) -> Normalization:
        """As the options say."""
        return normalized(self.options(options))

    def truths(self, options: Reading, split: Split) -> tuple[Path, list[Path]]:
        """Where label maps lie, and those of a split."""
        return truths(self.options(options), split)

    def pairs(self, options: Reading, split: Split) -> list[tuple[Path, Path]]:
        """Pictures and label maps of a split."""
        return pairs(self.options(options), split)

    def folders(self, options: Reading) -> list[Path]:
        """Where files come and go."""
        return folders(self.options(options))

    def rules(self, options: Reading) -> Rules:
        """What stored labels mean."""
        return rules(self.options(options))

    def predicted(self, options: Reading) -> Rules:
        """What stored predictions mean."""
        return predicted(self.options(options))

    def options(self, given: Reading) -> Options:
        """With what the name says."""
        return Options(
            set=self.set,
            classes=self.classes,
            reduced=self.reduced,
            image=self.image,
            **msgspec.structs.asdict(given),
        )


def facts(options: Options) -> Facts:
    """What the options say. Raises Invalid where a label would be a class and none."""
    rules(options)
    return Facts(classes=options.classes, channels=options.channels, image=options.image, task="segment")


def missing(options: Options) -> str | None:
    """The folders, unless they are there."""
    if all(path.is_dir() for path in folders(options)):
        return None
    root = _root(options)
    return f"{options.set} as {root}/images/{{training,validation}}/*.jpg and {root}/annotations/…/*.png"


def folders(options: Options) -> list[Path]:
    """Where files come and go: of pictures and of label maps, of both halves."""
    halves = sorted(set(HALVES.values()))
    return [_root(options) / kind / half for kind in ("images", "annotations") for half in halves]


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def rules(options: Options) -> Rules:
    """What stored labels mean."""
    return label_rules.rules(options.classes, reduced=options.reduced, ignore=options.ignore)


def predicted(options: Options) -> Rules:
    """What stored predictions mean: what labels do, or classes from 0, as the largest of the logits gives them."""
    return rules(options) if options.predictions == "labels" else label_rules.from_zero(options.classes)


def truths(options: Options, split: Split) -> tuple[Path, list[Path]]:
    """The folder where label maps lie, and those of a split; of no pictures. Raises Needs where there is none."""
    root = _root(options) / "annotations" / HALVES[split]
    files = pictures.listed(root, (".png",))
    if not files:
        raise Needs(f"{options.set}: no label map for {split} as {root}/*.png")
    return root, part(files, options, split)


def part(files: list[Path], options: Reading, split: Split) -> list[Path]:
    """What of the files of its half is a split's."""
    if split == "report" or not options.selection:
        return [] if split == "selection" else files
    return cut(files, options.selection, selection=split == "selection")


def pairs(options: Options, split: Split) -> list[tuple[Path, Path]]:
    """Pictures and label maps of a split. Raises Needs for a label map without a picture."""
    _, labels = truths(options, split)
    where = _root(options) / "images" / HALVES[split]
    there = {path.stem: path for path in pictures.listed(where)}
    for label in labels:
        if label.stem not in there:
            raise Needs(f"{options.set}: a picture for the label map {label}, as {where}/{label.stem}.jpg")
    return [(there[label.stem], label) for label in labels]


def load(options: Options, split: Split) -> "LabelFiles":
    """A split of the folder. Raises Needs where there is nothing in it."""
    return LabelFiles(
        root=_root(options),
        pairs=pairs(options, split),
        rules=rules(options),
        channels=options.channels,
        normalize=options.normalize,
    )


def _root(options: Options) -> Path:
    return Path(options.root).expanduser() if options.root else folder(options.set)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFiles:
    """Pictures and their label maps. What `bench.data.Dense` asks for."""

    root: Path
    pairs: Sequence[tuple[Path, Path]]
    rules: Rules
    channels: int
    normalize: Normalize

    @property
    def labels(self) -> "torch.Tensor":
        """(N,) int64, all 0: a picture is of no class, its pixels are (`targets`)."""
        import torch

        return torch.zeros(len(self.pairs), dtype=torch.int64)

    @property
    def normalized(self) -> Normalization:
        """As the options say."""
        return MEAN_STD[self.normalize]

    @property
    def pixels_are(self) -> Normalization:
        """As the options say, of the channels that there are."""
        mean, std = self.normalized
        return mean[: self.channels], std[: self.channels]

    def __len__(self) -> int:
        return len(self.pairs)

    def tensor(self, *, size: int, crop: float, interpolation: str) -> "torch.Tensor | None":
        """All images where they are few and small enough to be kept decoded."""
        return pictures.kept(self, size=size, crop=crop, interpolation=interpolation)

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """(C, size, size), normalised: the whole picture, its aspect not kept. Raises Invalid for a crop."""
        if crop != 1:
            raise Invalid(f"evaluate.crop {crop} of pictures with label maps; allowed: 1, every pixel counts")
        return pictures.numbers(pictures.stretched(self.picture(index), size, interpolation), self.pixels_are)

    def picture(self, index: int) -> "Image":
        """In grey or in colour, as `bench.pictures.decoded` says."""
        return pictures.decoded(self.pairs[index][0], self.channels)

    def targets(self, index: int, *, size: int) -> "torch.Tensor":
        """(size, size) int64: the class of each pixel of the square image, −1 for none; of the nearest pixel's label.

        Raises Invalid for a label map that cannot be read, and one of another size than its picture.
        """
        import numpy as np
        import torch

        picture, path = self.pairs[index]
        stored = label_maps.read(path, self.rules)
        (height, width), of_picture = stored.shape, pictures.size(picture)
        if (width, height) != of_picture:
            raise Invalid("{}: {} × {} pixels, and {} has {} × {}".format(path, width, height, picture, *of_picture))
        rows, columns = (((np.arange(size) + 0.5) * side / size).astype(np.intp) for side in stored.shape)
        near = stored[np.ix_(rows, columns)]
        return torch.from_numpy(np.where(near == ignored(near.dtype), -1, near.astype(np.int64)))

    def fingerprint(self) -> str:
        """A digest of the names and sizes of pictures and label maps, and of what is in some of them."""
        files = [(picture, "image") for picture, _ in self.pairs]
        files += [(labels, "labels") for _, labels in self.pairs]  # in turns, every other file would be a picture
        return pictures.fingerprint(self.root, files)
