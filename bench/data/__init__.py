"""Data sets by name: one file each, found by it. The interface; everything at module level is torch-free:

    VERSION: int                                    of the splits and the decoding
    class Options(Frozen)                           what a spec may say beside the name (may be empty); where files
                                                    lie is marked `Meta(extra=EXECUTION)` and is no part of a key
    def facts(options) -> Facts                     classes, channels, native image size in pixels
    def missing(options) -> str | None              what has to be there and is not, or None
    def load(options, split) -> Images              split: "train", "selection" or "report"
    def normalized(options) -> Normalization        optional: what its images say of their pixels, without the files
    def folders(options) -> list[Path]              optional: which change when one of its files comes or goes

Of data for detection or segmentation the images are `Dense`, and there is besides:

    def annotations_file(options, split) -> Path    of detection: instances.json, in COCO's format
    def pairs(options, split) -> list[tuple[Path, Path]]     of segmentation: (image, label map), in the images' order

`selection` is cut from the training images: levels are chosen and epochs picked on it, never on `report`.
Files are looked for in `$VITAB_DATA/NAME` unless an option names a folder.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from bench import images, registry
from bench.errors import Invalid, Needs, UserError, unknown
from bench.identity import execution_fields
from bench.trial import Data, Frozen

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Split = Literal["train", "selection", "report"]

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of every channel, of pixels between 0 and 1: what was subtracted, then divided by."""


class Facts(Frozen):
    """What a model must know about a data set, known without its files."""

    classes: int
    channels: int
    image: int  # native pixels a side, or the usual evaluation size where images differ
    task: Literal["classify", "detect", "segment"] = "classify"  # what its labels are for


class Images(Protocol):
    """The images of one split: `labels` of all, `image(i, …)` for one, `tensor(…)` for all where they fit in memory."""

    @property
    def labels(self) -> "torch.Tensor":
        """(N,) int64; (N, classes) bool where an image may have several right answers."""
        ...

    @property
    def normalized(self) -> Normalization | None:
        """How the pixels were normalised; None where no published weights say the same of theirs."""
        ...

    @property
    def pixels_are(self) -> Normalization:
        """Mean and deviation that pictures become numbers by: those that `image` gives."""
        ...

    def __len__(self) -> int: ...

    def tensor(self, *, size: int, crop: float, interpolation: str) -> "torch.Tensor | None":
        """All images as float32 (N, C, size, size), the same as `image` gives one by one; None: too many for that."""
        ...

    def image(self, index: int, *, size: int, crop: float, interpolation: str) -> "torch.Tensor":
        """Image `index` as float32 (C, size, size), normalised; the protocol is `bench.trial.Evaluate`'s."""
        ...

    def picture(self, index: int) -> "Image":
        """Image `index` as it is, at its own size: what a recipe crops, flips and recolours."""
        ...

    def fingerprint(self) -> str:
        """A digest of what the files held: bound to records, compared when they are read."""
        ...


class Dense(Images, Protocol):
    """Images whose labels are boxes or maps. One is made square whole, its aspect not kept, and its labels with it."""

    def targets(self, index: int, *, size: int) -> "torch.Tensor":
        """What image `index` shows at size × size pixels, as a tensor of the same shape for every image of the split.

        Boxes (M, 5) float32: x0, y0, x1, y1 in pixels and the class, rows of −1 where there are fewer than M. A map
        (size, size) int64: the class of each pixel, −1 where none counts.
        """
        ...


class Boxed(Dense, Protocol):
    """Images of detection. Class 0 is the smallest category id of their annotations file, class 1 the next."""

    @property
    def ids(self) -> Sequence[int]:
        """The image's id in the annotations file, in the order of the images."""
        ...

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Width and height of each image as it is on disk, in pixels."""
        ...

    @property
    def category_ids(self) -> Sequence[int]:
        """The id of each class in the annotations file."""
        ...


def folder(name: str) -> Path:
    """Where a data set's files are expected: `$VITAB_DATA/NAME`, by default `data/NAME` in the current folder."""
    return Path(os.environ.get("VITAB_DATA", "data")) / name


def resolve(name: str, options: dict[str, Any], *, subset: float = 1.0) -> Data:
    """A data set with its options checked, defaults filled in. Raises UserError."""
    module = registry.load("data", name)
    for option in options:
        if option not in module.Options.__struct_fields__:
            raise UserError(unknown("field", f"data.{option}", (f"data.{f}" for f in module.Options.__struct_fields__)))
    try:
        filled = msgspec.convert(options, module.Options, strict=True)
    except msgspec.ValidationError as problem:
        raise UserError(f"data {name}: {problem}") from problem
    given = msgspec.to_builtins(filled)
    at = {option: given.pop(option) for option in execution_fields(module.Options)}
    return Data(name=name, version=module.VERSION, options=given, subset=subset, at=at)


def facts(data: Data) -> Facts:
    """Classes, channels and image size of a resolved data set."""
    module = registry.load("data", data.name)
    known: Facts = module.facts(msgspec.convert(data.options | data.at, module.Options))
    return known


def normalized(data: Data) -> Normalization | None:
    """How the pixels of a resolved data set are normalised; None where it does not say, or is not known here."""
    if data.name not in registry.names("data"):  # weights may have been trained where there are others
        return None
    module = registry.load("data", data.name)
    if not hasattr(module, "normalized"):
        return None
    said: Normalization = module.normalized(msgspec.convert(data.options | data.at, module.Options))
    return said


def missing(data: Data) -> str | None:
    """What has to be on this machine before the data set can be read, or None."""
    module = registry.load("data", data.name)
    said: str | None = module.missing(msgspec.convert(data.options | data.at, module.Options))
    return said


def load(data: Data, split: Split) -> Images:
    """The images of one split; of `train` the share that the trial asks for. Raises Needs where files are missing."""
    if lacking := missing(data):
        raise Needs(lacking)
    module = registry.load("data", data.name)
    if data.version != module.VERSION:  # a key stands for what another version yields
        raise Invalid(f"data {data.name} is version {module.VERSION} here and was planned as version {data.version}")
    split_images: Images = module.load(msgspec.convert(data.options | data.at, module.Options), split)
    return images.subset(split_images, data.subset) if split == "train" and data.subset < 1 else split_images
