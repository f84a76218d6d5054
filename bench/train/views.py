"""What a model sees of a training image: a view of it, drawn anew in every epoch.

A *visit* is an image's index plus the number of images times how often the epoch has shown it before. A view depends
on (seed, epoch, visit) alone, so an image gets the same treatment whatever process decodes it and whatever resumed
training it comes up in. Pictures are cropped, flipped, recoloured and erased by timm's training transform (timm.data.
create_transform) in its order; where nothing of that but erasing is on, by its RandomErasing (Zhong et al., AAAI 2020).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from bench.batches import Feed, batches, decoded
from bench.data import Normalization
from bench.errors import Invalid
from bench.tasks.dense import flipped
from bench.train.random_numbers import drawn_by
from bench.trial import Train

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SELECTED_ROUND = 256
"""Repeated augmentation shows a multiple of so many images an epoch, where there are as many (DeiT's code, timm)."""


def on_pictures(train: Train) -> bool:
    """Whether images are treated before they are numbers: then each is decoded again in every epoch."""
    return bool(train.random_crop or train.flip or train.vertical_flip or train.color_jitter or train.auto_augment)


def visits(order: "Tensor", repeats: int) -> "Tensor":
    """The visits of an epoch from an order (N,) of its images: (N,), or a little fewer where images are repeated.

    Repeated augmentation (Hoffer et al., CVPR 2020; Berman et al., 2019) as in DeiT: an image comes `repeats` times in
    a row, in as many views, and an epoch shows a share of the images, as many views as without.
    """
    import torch

    if repeats == 1:
        return order
    count = len(order)
    again = torch.arange(repeats) * count
    shown = count // SELECTED_ROUND * SELECTED_ROUND if count >= SELECTED_ROUND else count
    return (order[:, None] + again).flatten()[:shown]


def views(
    feed: Feed, order: "Sequence[Tensor]", train: Train, *, seed: int, epoch: int
) -> "Iterator[tuple[Tensor, Tensor, Tensor]]":
    """(visits (B,), pixels (B, C, S, S), labels (B,), or boxes or maps of them) for visits given batch by batch."""
    indices = [visit % len(feed) for visit in order]
    if feed.dense or (not on_pictures(train) and not train.erase):
        for visit, (_, pixels, labels) in zip(order, batches(feed, indices), strict=True):
            if feed.dense:
                pixels, labels = flipped(pixels, labels, train, visit, seed=seed, epoch=epoch)
            yield visit, pixels, labels
        return
    seen = Views(feed=feed, train=train, seed=seed, epoch=epoch)
    for visit, index, pixels in zip(order, indices, decoded(seen, order, feed), strict=True):
        yield visit, pixels.to(feed.device), feed.labels[index.to(feed.device)]


@dataclass(frozen=True, kw_only=True)
class Views:
    """Views of an epoch by their visits, as a loader's process wants them."""

    feed: Feed
    train: Train
    seed: int
    epoch: int

    def __getitem__(self, visit: int) -> "Tensor":
        """(C, S, S), normalised."""
        index = visit % len(self.feed)
        with drawn_by(f"view {self.seed} {self.epoch} {visit}"):
            if on_pictures(self.train):
                return _of_picture(self.feed, index, self.train)
            if self.feed.pixels is not None:
                pixels = self.feed.pixels[index].cpu().clone()
            else:
                pixels = self.feed.images.image(index, **self.feed.how)
            erased: Tensor = eraser(self.train)(pixels)
            return erased


def _of_picture(feed: Feed, index: int, train: Train) -> "Tensor":
    """A grey image goes through three equal channels: timm's transforms are made for colours."""
    images = feed.images
    mean, std = images.pixels_are
    channels = len(mean)
    if channels == 1:
        mean, std = mean * 3, std * 3
    view: Tensor = transform(train, (mean, std))(images.picture(index).convert("RGB"))
    return view[:channels]


@lru_cache(maxsize=16)
def transform(train: Train, normalization: Normalization) -> "Callable[[Any], Tensor]":
    """timm's training transform, from a picture in colour to (3, S, S), as the recipe says. Raises Invalid.

    Without random crops it takes the whole image, or the largest square at its centre.
    """
    from timm.data.transforms_factory import create_transform

    mean, std = normalization
    try:
        made: Callable[[Any], Tensor] = create_transform(
            train.image,
            is_training=True,
            scale=train.random_crop or (1.0, 1.0),
            ratio=train.crop_ratio if train.random_crop else (1.0, 1.0),
            hflip=train.flip,
            vflip=train.vertical_flip,
            color_jitter=train.color_jitter or None,  # type: ignore[arg-type] # which it takes for none
            auto_augment=train.auto_augment,
            interpolation=train.interpolation,
            mean=mean,
            std=std,
            re_prob=train.erase,
            re_mode=train.erase_mode,
            re_count=train.erase_count,
        )
    except (AssertionError, KeyError, ValueError) as problem:
        raise Invalid(f"timm knows no auto_augment {train.auto_augment!r}: {problem or 'no such policy'}") from problem
    for operation in _operations(made):
        if operation.aug_fn.__name__ == "posterize":
            operation.aug_fn = partial(_posterized, operation.aug_fn)
    return made


def _operations(transform: Any) -> Iterator[Any]:
    """Operations of timm's automatic augmentation, wherever in a transform they are."""
    for part in transform.transforms:
        for listed in (*getattr(part, "ops", ()), *getattr(part, "policy", ())):
            yield from listed if isinstance(listed, list) else (listed,)


def _posterized(posterize: "Callable[..., Image]", picture: "Image", bits: int, **how: Any) -> "Image":
    """At the largest magnitudes timm keeps 0 bits of a colour: a black picture, which Pillow 13 refuses to make."""
    return picture.point(lambda _: 0) if bits < 1 else posterize(picture, bits, **how)


@lru_cache(maxsize=16)
def eraser(train: Train) -> "Callable[[Tensor], Tensor]":
    """timm's RandomErasing, of normalised images (C, S, S)."""
    from timm.data.random_erasing import RandomErasing

    erasing: Any = RandomErasing  # untyped
    made: Callable[[Tensor], Tensor] = erasing(
        train.erase, mode=train.erase_mode, max_count=train.erase_count, device="cpu"
    )
    return made


def check_pictures(feed: Feed, train: Train) -> None:
    """Raise Invalid where there is nothing that the recipe could treat, or timm does not know how."""
    if not on_pictures(train):
        return
    if not hasattr(feed.images, "picture"):
        raise Invalid("these data have no pictures to crop, flip or recolour: leave that out, or use train.augment")
    mean, std = feed.images.pixels_are
    transform(train, (mean * (3 // len(mean)), std * (3 // len(std))))


def steps_per_epoch(count: int, train: Train) -> int:
    """Whole batches of an epoch of so many images: the last, smaller one is left out."""
    shown = math.floor(count / SELECTED_ROUND) * SELECTED_ROUND if train.repeats > 1 else 0
    return (shown or count) // train.batch
