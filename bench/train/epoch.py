"""The batches of an epoch as the model is given them: which images, in which views, mixed with which others."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.images import stable_hash
from bench.train.augment import augmented
from bench.train.mixing import mixed, mixes
from bench.train.training import Training
from bench.train.views import views, visits

if TYPE_CHECKING:
    from torch import Tensor


def order(training: Training, epoch: int) -> "list[Tensor]":
    """The visits of an epoch, batch by batch: the same for every model that is trained with this seed.

    Of several processes each gets its share of every batch.
    """
    import torch

    seed = int.from_bytes(stable_hash(f"order {training.seed} {epoch}")[:8], "big") >> 1  # torch's seeds are signed
    shuffled = torch.randperm(len(training.images), generator=torch.Generator().manual_seed(seed))
    shown = visits(shuffled, training.train.repeats)
    whole = torch.split(shown, training.train.batch)[: training.steps_per_epoch]
    return [training.ranks.share(batch, pairs=mixes(training.train)) for batch in whole]


def given(training: Training, epoch: int, *, skip: int = 0) -> "Iterator[tuple[Tensor, Tensor]]":
    """(pixels (B, C, S, S), labels) of an epoch, but for the first batches; labels as `bench.tasks` has them."""
    import torch

    train, seed, left = training.train, training.seed, order(training, epoch)[skip:]
    batches = views(training.images, left, train, seed=seed, epoch=epoch)
    for step, (visit, pixels, labels) in enumerate(batches, epoch * training.steps_per_epoch + skip):
        pixels = augmented(train.augment, pixels, visit, seed=seed, epoch=epoch)
        classes = training.trial.input.classes
        pixels, labels = mixed(pixels, labels, train, classes=classes, seed=seed, step=step, epoch=epoch)
        if training.trial.execution.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        yield pixels, labels
