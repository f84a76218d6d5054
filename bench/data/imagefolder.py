"""imagefolder: any images in ImageNet's layout, ROOT/train/CLASS/* and ROOT/val/CLASS/*, read when they are asked for.

Classes are the sorted names of the folders in `train`. `selection` is cut from `train`, a share of every class chosen
by the hash of the file's name, so that adding a file moves no other; `report` is `val`. An image is resized, with
antialiasing, until the centre crop is the share `crop` of its shorter side, as torchvision and timm do it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from bench import pictures
from bench.data import Facts, Images, Normalization, Split, folder
from bench.errors import Needs
from bench.images import at_least_one, before_crop, stable_hash
from bench.trial import EXECUTION, Frozen, Pixels

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

VERSION = 1

Normalize = Literal["imagenet", "half", "clip", "none"]

MEAN_STD: dict[Normalize, Normalization] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # of ImageNet's training pixels, as in torchvision
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # pixels from −1 to 1: ViT, AugReg, BiT
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # as OpenAI's CLIP has it
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # pixels from 0 to 1
}


class Reading(Frozen):
    """How a folder is read, and where it lies."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.1  # share of every class of `train`
    normalize: Normalize = "imagenet"
    root: Annotated[str | None, Meta(extra=EXECUTION)] = None  # None: $VITAB_DATA/SET


class Options(Reading, kw_only=True):
    """Which images these are."""

    set: str  # its name: what tells two folders apart in the keys
    classes: Annotated[int, Meta(ge=1)]
    channels: Literal[1, 3] = 3
    image: Pixels = 224  # the usual side


@dataclass(frozen=True)
class Named:
    """A data set that has a name of its own: its facts, and the functions that its file offers."""

    set: str
    classes: int
    image: int

    def facts(self, options: Reading) -> Facts:
        """Classes, channels and the usual size."""
        return facts(self._options(options))

    def missing(self, options: Reading) -> str | None:
        """The folder, unless it is there."""
        return missing(self._options(options))

    def load(self, options: Reading, split: Split) -> Images:
        """A split."""
        return load(self._options(options), split)

    def normalized(self, options: Reading) -> Normalization:
        """As the options say."""
        return normalized(self._options(options))

    def _options(self, options: Reading) -> Options:
        return Options(set=self.set, classes=self.classes, image=self.image, **msgspec.structs.asdict(options))


def facts(options: Options) -> Facts:
    """What the options say."""
    return Facts(classes=options.classes, channels=options.channels, image=options.image)


def missing(options: Options) -> str | None:
    """The folder, unless it is there."""
    root = _root(options)
    if all((root / half).is_dir() for half in ("train", "val")):
        return None
    return f"{options.set} as {root}/train/CLASS/*.jpg and {root}/val/CLASS/*.jpg"


def normalized(options: Options) -> Normalization:
    """As the options say."""
    return MEAN_STD[options.normalize]


def load(options: Options, split: Split) -> Images:
    """A split of the folder. Raises Needs where it holds other classes than the options say, or no image at all."""
    root = _root(options)
    classes = sorted(path.name for path in (root / "train").iterdir() if path.is_dir())
    if len(classes) != options.classes:
        raise Needs(f"{options.set} with {options.classes} classes; {root}/train has {len(classes)}")
    half = "val" if split == "report" else "train"
    evaluated = {path.name for path in (root / "val").iterdir() if path.is_dir()}
    for where, names in (("train", evaluated.difference(classes)), ("val", set(classes) - evaluated)):
        if names:
            raise Needs(f"{options.set} with the same classes in both halves; {root}/{where} has no {min(names)!r}")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = pictures.listed(root / half / name)
        if half == "train":
            found = cut(found, options.selection, selection=split == "selection")
        files += found
        labels += [label] * len(found)
    if not files and split != "selection":  # selection may be switched off
        raise Needs(f"{options.set}: no image for {split} in {root}/{half}")
    return Files(root=root, files=files, targets=labels, channels=options.channels, normalize=options.normalize)


def _root(options: Options) -> Path:
    return Path(options.root).expanduser() if options.root else folder(options.set)


def cut(files: Sequence[Path], share: float, *, selection: bool) -> list[Path]:
    """The part of files that is for selection, chosen by the hash of their names, or the rest of them."""
    by_hash = sorted(files, key=lambda path: stable_hash(path.name))
    count = at_least_one(files, share) if share and len(files) > 1 else 0
    return sorted(by_hash[:count] if selection else by_hash[count:])


@dataclass(frozen=True, kw_only=True, eq=False)
class Files:
    """Image files, decoded one at a time."""

    root: Path
    files: Sequence[Path]
    targets: Sequence[int]
    channels: int
    normalize: Normalize

    @property
    def labels(self) -> "torch.Tensor":
        """(N,) int64."""
        import torch

        return torch.tensor(self.targets, dtype=torch.int64)

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
        return len(self.files)

    def tensor(self, *, size: int, crop: float, interpolation: str) -> None:
        """Nothing: a folder may hold more than fits in memory."""

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """(C, size, size), normalised. Raises Invalid as `picture` does."""
        from PIL import Image

        picture = self.picture(index)
        side = before_crop(size, crop)
        width, height = (_scaled(length, min(picture.size), side) for length in picture.size)
        if (width, height) != picture.size:
            picture = picture.resize((width, height), Image.Resampling[interpolation.upper()])
        left, top = round((width - size) / 2), round((height - size) / 2)
        picture = picture.crop((left, top, left + size, top + size))
        return pictures.numbers(picture, self.pixels_are)

    def picture(self, index: int) -> "Image":
        """In grey or in colour, as `bench.pictures.decoded` says."""
        return pictures.decoded(self.files[index], self.channels)

    def fingerprint(self) -> str:
        """A digest of the names, classes and sizes of the files, and of what is in some of them."""
        return pictures.fingerprint(self.root, zip(self.files, self.targets, strict=True))


def _scaled(length: int, shorter: int, side: int) -> int:
    """A side of a picture whose shorter one becomes `side`."""
    return side if length == shorter else int(side * length / shorter)
