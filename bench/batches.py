"""Batches of a split at one image size, and what a model says of them."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bench.data import Images


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """A split, ready to be read in batches."""

    images: "Images"
    labels: "Tensor"  # (N,) int64, or (N, classes) bool; where they are dense, boxes or maps of what is in memory
    pixels: "Tensor | None"  # (N, C, S, S) on the device; None: decoded when asked for
    how: dict[str, Any]  # size, crop, interpolation
    device: "torch.device"
    workers: int  # processes that decode
    prefetch: int = 2  # batches that each of them has ready
    dense: bool = False  # each image has boxes or a map of its own (bench.data.Dense)

    def __len__(self) -> int:
        return len(self.labels)

    def item(self, index: int) -> "Tensor | tuple[Tensor, Tensor]":
        """What is decoded of an image: pixels (C, S, S), and its boxes or map where it has such."""
        pixels = self.images.image(index, **self.how)
        return (pixels, self.shown(index)) if self.dense else pixels

    def shown(self, index: int) -> "Tensor":
        """Boxes (M, 5) or the map (S, S) of an image that has such."""
        images: Any = self.images
        target: Tensor = images.targets(index, size=self.how["size"])
        return target


def feed(
    images: "Images", *, device: str, workers: int = 0, prefetch: int = 2, dense: bool = False, **how: Any
) -> Feed:
    """A split at `size`, `crop` and `interpolation` (bench.trial.Evaluate), kept in memory where it fits.

    `dense`: what is right are boxes or maps, which are kept where the pixels are.
    """
    import torch

    pixels, labels = images.tensor(**how), images.labels
    if dense and pixels is not None:
        boxed: Any = images
        labels = torch.stack([boxed.targets(index, size=how["size"]) for index in range(len(images))])
    return Feed(
        images=images,
        labels=labels.to(device),
        pixels=None if pixels is None else pixels.to(device),
        how=how,
        device=torch.device(device),
        workers=workers,
        prefetch=prefetch,
        dense=dense,
    )


def batches(feed: Feed, order: Iterable["Tensor"]) -> Iterator[tuple["Tensor", "Tensor", "Tensor"]]:
    """(indices (B,), pixels (B, C, S, S), labels (B,), or boxes or maps of them) for indices given batch by batch."""
    order = list(order)
    if feed.pixels is not None:
        for indices in order:
            place = indices.to(feed.device)
            yield indices, feed.pixels[place], feed.labels[place]
        return
    for indices, item in zip(order, decoded(_Decoding(feed), order, feed), strict=True):
        if feed.dense:
            yield indices, *(part.to(feed.device) for part in item)
        else:
            yield indices, item.to(feed.device), feed.labels[indices.to(feed.device)]


def decoded(images: Any, order: Iterable["Tensor"], feed: Feed) -> Iterable[Any]:
    """What `images` holds by index, on the CPU, batch by batch: pixels (B, C, S, S); by the feed's processes."""
    import torch

    loader: Iterable[Any] = torch.utils.data.DataLoader(
        images,
        batch_sampler=[indices.tolist() for indices in order],
        num_workers=feed.workers,
        prefetch_factor=feed.prefetch if feed.workers else None,
        pin_memory=feed.device.type == "cuda",
        generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        worker_init_fn=_stay,
    )
    return loader


def _stay(_: int) -> None:
    """A loader's process goes with the training: told to go at once with it, by Slurm, it would end it in an error."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@dataclass(frozen=True)
class _Decoding:
    """Images by index, as a loader's process wants them."""

    feed: Feed

    def __len__(self) -> int:
        return len(self.feed)

    def __getitem__(self, index: int) -> "Tensor | tuple[Tensor, Tensor]":
        return self.feed.item(index)


def logits(model: "nn.Module", feed: Feed, batch: int) -> "Tensor":
    """What a model in evaluation mode says of every image of a split: (N, classes) float32, on the CPU."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            order = torch.split(torch.arange(len(feed)), batch)
            return torch.cat([model(pixels).float().cpu() for _, pixels, _ in batches(feed, order)])
    finally:
        model.train(training)


def share_right(logits: "Tensor", labels: "Tensor", k: int = 1) -> float:
    """Percent of images of which a right class is among the k with the largest logits (N, classes).

    `labels` is (N,), or (N, classes) bool where several are right; an image without a right class is left out.
    """
    import torch
    from torch.nn import functional as F

    right = labels if labels.dtype == torch.bool else F.one_hot(labels, logits.shape[1]).bool()
    counted = right.any(dim=1)
    hits = right.gather(1, logits.topk(k, dim=1).indices).any(dim=1)
    return 100 * int(hits[counted].sum()) / int(counted.sum())
