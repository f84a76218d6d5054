"""imagefolder: any images in ImageNet's layout, ROOT/train/CLASS/* and ROOT/val/CLASS/*, read when they are asked for.

Classes are the sorted names of the folders in `train`. `selection` is cut from `train`, a share of every class chosen
by the hash of the file's name, so that adding a file moves no other; `report` is `val`. An image is resized, with
antialiasing, until the centre crop is the share `crop` of its shorter side, as torchvision and timm do it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from bench.data import Facts, Images, Normalization, Split, folder
from bench.errors import Invalid, Needs
from bench.images import at_least_one, before_crop, stable_hash
from bench.trial import EXECUTION, Frozen, Pixels

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

VERSION = 1

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")

WHOLE = 128
"""At least so many files of a split, evenly spread, are read whole for its fingerprint; fewer where it has fewer."""

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
        found = _files(root / half / name)
        if half == "train":
            found = _cut(found, options.selection, selection=split == "selection")
        files += found
        labels += [label] * len(found)
    if not files and split != "selection":  # selection may be switched off
        raise Needs(f"{options.set}: no image for {split} in {root}/{half}")
    return Files(root=root, files=files, targets=labels, channels=options.channels, normalize=options.normalize)


def _root(options: Options) -> Path:
    return Path(options.root).expanduser() if options.root else folder(options.set)


def _files(where: Path) -> list[Path]:
    if not where.is_dir():
        return []
    found = (path for path in where.iterdir() if not path.name.startswith("."))  # ._x.jpg is what macOS leaves behind
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _cut(files: list[Path], share: float, *, selection: bool) -> list[Path]:
    """The part of a class that is for selection, or the rest of it."""
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
        import numpy as np
        import torch
        from PIL import Image

        picture = self.picture(index)
        side = before_crop(size, crop)
        width, height = (_scaled(length, min(picture.size), side) for length in picture.size)
        if (width, height) != picture.size:
            picture = picture.resize((width, height), Image.Resampling[interpolation.upper()])
        left, top = round((width - size) / 2), round((height - size) / 2)
        picture = picture.crop((left, top, left + size, top + size))
        pixels = torch.from_numpy(np.array(picture)).view(size, size, self.channels)
        mean, std = (torch.tensor(values)[:, None, None] for values in self.pixels_are)
        return (pixels.permute(2, 0, 1).float() / 255 - mean) / std

    def picture(self, index: int) -> "Image":
        """In grey or in colour; a grey file has three equal channels where three are asked for.

        Raises Invalid for a file that is no image, or only the beginning of one.
        """
        from PIL import Image

        try:
            with Image.open(self.files[index]) as file:
                return file.convert("RGB" if self.channels == 3 else "L")
        except (OSError, SyntaxError, ValueError) as problem:  # Pillow's decoders raise all three
            raise Invalid(f"{str(self.files[index])!r} cannot be decoded as an image") from problem

    def fingerprint(self) -> str:
        """A digest of the names, classes and sizes of the files, and of what is in some of them.

        Reading a million of them whole would take hours; evenly spread ones tell folders apart that were named alike.
        """
        digest = hashlib.sha256()
        apart = max(1, len(self.files) // WHOLE)
        for number, (path, label) in enumerate(zip(self.files, self.targets, strict=True)):
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{label}\0{path.stat().st_size}\n".encode())
            if number % apart == 0:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def _scaled(length: int, shorter: int, side: int) -> int:
    """A side of a picture whose shorter one becomes `side`."""
    return side if length == shorter else int(side * length / shorter)
