"""cocofolder: any pictures with boxes in COCO's layout, ROOT/annotations/instances_HALF.json and ROOT/HALF/*.jpg.

HALF is train2017 or val2017 unless options name others. A class is the place of a category's id among all ids. Where
pictures are trained on they are made square without cropping, and their boxes with them; crowds are no boxes to learn.
A score is of boxes at the pictures' own sizes. `selection` is cut from the training half, a share of the images chosen
by the hash of their files' names, so that adding one moves no other; `report` is the other half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from bench import pictures
from bench.data import Facts, Normalization, Split, folder
from bench.data.imagefolder import MEAN_STD, Normalize, cut
from bench.detection import annotations
from bench.errors import Invalid, Needs
from bench.trial import EXECUTION, Frozen, Pixels

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from bench.detection.annotations import Annotations

VERSION = 1

Half = Annotated[str, Meta(min_length=1)]
Box = tuple[float, float, float, float, int]  # left, top, right, bottom in pixels of the picture; class


class Reading(Frozen):
    """How pictures and boxes are read, and where they lie."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.1  # share of the training half
    normalize: Normalize = "imagenet"
    root: Annotated[str | None, Meta(extra=EXECUTION)] = None  # None: $VITAB_DATA/SET


class Options(Reading, kw_only=True):
    """Which these are."""

    set: str  # its name: what tells two folders apart in the keys
    classes: Annotated[int, Meta(ge=1)]
    train: Half = "train2017"
    val: Half = "val2017"
    image: Pixels = 640  # the usual side of a training image


@dataclass(frozen=True)
class Named:
    """A data set in this layout that has a name of its own: its facts, and the functions that its file offers."""

    set: str
    classes: int
    image: int

    def facts(self, options: Reading) -> Facts:
        """Classes, channels and the usual size."""
        return facts(self.options(options))

    def missing(self, options: Reading) -> str | None:
        """The files, unless they are there."""
        return missing(self.options(options))

    def load(self, options: Reading, split: Split) -> "BoxFiles":
        """A split."""
        return load(self.options(options), split)

    def normalized(self, options: Reading) -> Normalization:
        """As the options say."""
        return normalized(self.options(options))

    def annotations_file(self, options: Reading, split: Split) -> Path:
        """Where the ground truth of a split lies."""
        return annotations_file(self.options(options), split)

    def category_ids(self, options: Reading) -> tuple[int, ...]:
        """The id of each class."""
        return category_ids(self.options(options))

    def options(self, given: Reading) -> Options:
        """With what the name says."""
        return Options(set=self.set, classes=self.classes, image=self.image, **msgspec.structs.asdict(given))


def facts(options: Options) -> Facts:
    """What the options say."""
    return Facts(classes=options.classes, channels=3, image=options.image, task="detect")


def missing(options: Options) -> str | None:
    """The files, unless they are there."""
    root = _root(options)
    if all((root / half).is_dir() and _annotations(root, half).is_file() for half in (options.train, options.val)):
        return None
    halves = f"{{{options.train},{options.val}}}"
    return f"{options.set} as {root}/{halves}/*.jpg and {_annotations(root, halves)}"


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def annotations_file(options: Options, split: Split) -> Path:
    """Where the ground truth of a split lies; `selection` is part of what is in the file. Raises Needs."""
    path = _annotations(_root(options), _half(options, split))
    if not path.is_file():
        raise Needs(f"{options.set}: annotations for {split} as {path}")
    return path


def category_ids(options: Options) -> tuple[int, ...]:
    """The id of each class, as the ground truth for `report` has them. Raises Invalid as its reader does."""
    return tuple(_read(options, "report").categories)


def load(options: Options, split: Split) -> "BoxFiles":
    """A split of the folder.

    Raises Needs where it has other classes than the options say, or no image or not all of them; Invalid for a file of
    annotations that is broken.
    """
    given = _read(options, split)
    if split != "report" and tuple(given.categories) != (other := category_ids(options)):
        half, number = _only(tuple(given.categories), other)
        raise Needs(f"{options.set} with the same categories in both halves; {number} is in that for {half} alone")
    root, half = _root(options), _half(options, split)
    files = _files(given, root / half)
    chosen = sorted(files) if split == "report" else cut(list(files), options.selection, selection=split == "selection")
    if not chosen and split != "selection":  # selection may be switched off
        raise Needs(f"{options.set}: no image for {split} in {given.said}")
    boxes = _boxes(given)
    return BoxFiles(
        root=root,
        truth=_annotations(root, half),
        files=chosen,
        ids=tuple(files[path] for path in chosen),
        sizes=tuple((given.images[files[path]].width, given.images[files[path]].height) for path in chosen),
        boxes=[boxes[files[path]] for path in chosen],
        category_ids=tuple(given.categories),
        normalize=options.normalize,
    )


def _root(options: Options) -> Path:
    return Path(options.root).expanduser() if options.root else folder(options.set)


def _half(options: Options, split: Split) -> str:
    return options.val if split == "report" else options.train


def _annotations(root: Path, half: str) -> Path:
    return root / "annotations" / f"instances_{half}.json"


def _read(options: Options, split: Split) -> "Annotations":
    path = annotations_file(options, split)
    given = annotations.read(path)
    if len(given.categories) != options.classes:
        raise Needs(f"{options.set} with {options.classes} classes; {path} has {len(given.categories)}")
    return given


def _only(train: tuple[int, ...], report: tuple[int, ...]) -> tuple[str, int]:
    """A category that one half has and the other has not, and which half it is."""
    number = min({*train}.symmetric_difference(report))
    return ("training" if number in train else "report"), number


def _files(given: "Annotations", where: Path) -> dict[Path, int]:
    """The file of every image, and its id. Raises Invalid for names that are no names, Needs for files not there."""
    files: dict[Path, int] = {}
    for number, image in given.images.items():
        name = PurePosixPath(image.file_name)
        if not name.parts or name.is_absolute() or ".." in name.parts:
            raise Invalid(f"{given.said}: image {number}: no file below {where} is named {image.file_name!r}")
        if files.setdefault(where / name, number) != number:
            raise Invalid(f"{given.said}: images {files[where / name]} and {number} are one file, {image.file_name!r}")
    there = set(pictures.listed(where))  # one look at the folder in place of one at every file
    for path, number in files.items():
        if path not in there and not path.is_file():
            raise Needs(f"image {number} of {given.said}, as {path}")
    return files


def _boxes(given: "Annotations") -> dict[int, list[Box]]:
    """Boxes by image, cut at its border; without crowds, and without those of which nothing is in the picture."""
    classes = {number: place for place, number in enumerate(given.categories)}
    found: dict[int, list[Box]] = {number: [] for number in given.images}
    for entry in given.entries:
        image = given.images[entry["image_id"]]
        left, top, width, height = entry["bbox"]
        right, bottom = min(left + width, image.width), min(top + height, image.height)
        left, top = max(left, 0.0), max(top, 0.0)
        if not entry["iscrowd"] and left < right and top < bottom:
            found[entry["image_id"]].append((left, top, right, bottom, classes[entry["category_id"]]))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxFiles:
    """Pictures and their boxes. What `bench.data.Boxed` asks for."""

    root: Path
    truth: Path  # the file of annotations
    files: Sequence[Path]
    ids: tuple[int, ...]  # of each picture, in the file of annotations
    sizes: tuple[tuple[int, int], ...]  # width and height of each picture, pixels
    boxes: Sequence[Sequence[Box]]
    category_ids: tuple[int, ...]  # of each class
    normalize: Normalize

    @property
    def labels(self) -> "torch.Tensor":
        """(N,) int64, all 0: a picture is of no class, its boxes are (`targets`)."""
        import torch

        return torch.zeros(len(self.files), dtype=torch.int64)

    @property
    def normalized(self) -> Normalization:
        """As the options say."""
        return MEAN_STD[self.normalize]

    @property
    def pixels_are(self) -> Normalization:
        """As the options say."""
        return self.normalized

    def __len__(self) -> int:
        return len(self.files)

    def tensor(self, *, size: int, crop: float, interpolation: str) -> "torch.Tensor | None":
        """All images where they are few and small enough to be kept decoded."""
        return pictures.kept(self, size=size, crop=crop, interpolation=interpolation)

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """(3, size, size), normalised: the whole picture, its aspect not kept. Raises Invalid for a crop."""
        if crop != 1:
            raise Invalid(f"evaluate.crop {crop} of pictures with boxes; allowed: 1, every box counts")
        return pictures.numbers(pictures.stretched(self.picture(index), size, interpolation), self.pixels_are)

    def picture(self, index: int) -> "Image":
        """In colour. Raises Invalid for a file that is no image, or one of another size than the annotations say."""
        picture = pictures.decoded(self.files[index], 3)
        if picture.size != self.sizes[index]:
            sizes = "{} × {} pixels, and {} × {} in {}".format(*picture.size, *self.sizes[index], self.truth)
            raise Invalid(f"{self.files[index]}: {sizes}")
        return picture

    def targets(self, index: int, *, size: int) -> "torch.Tensor":
        """(M, 5) float32: left, top, right, bottom in pixels of the square image, and the class.

        M is the most that any image of the split has; the rows that one has too few are −1.
        """
        import torch

        rows = torch.full((self._most, 5), -1.0)
        if self.boxes[index]:
            width, height = self.sizes[index]
            scale = torch.tensor([size / width, size / height, size / width, size / height, 1], dtype=torch.float64)
            rows[: len(self.boxes[index])] = (torch.tensor(self.boxes[index], dtype=torch.float64) * scale).float()
        return rows

    @cached_property
    def _most(self) -> int:
        """Boxes that any image has."""
        return max(map(len, self.boxes))

    def fingerprint(self) -> str:
        """A digest of the annotations, of the names and sizes of pictures, and of what is in some of them."""
        files = [(self.truth, "annotations"), *zip(self.files, self.ids, strict=True)]
        return pictures.fingerprint(self.root, files)
