"""Whether what a training ended with is a model at all: a loss that exploded in its last steps is a typed result."""

import math
from typing import TYPE_CHECKING

from bench import tasks
from bench.errors import Diverged
from bench.precision import autocast
from bench.train.epoch import given
from bench.train.training import Training

if TYPE_CHECKING:
    from torch import nn

EXPLODED = 10.0
"""Times the loss of a model that says nothing: what a training that ends above it came to is no result."""


def check_end(training: Training) -> None:
    """Raise Diverged where the weights that the last step left are no model: nobody has computed a loss of them yet.

    Those of a step too large are finite for long. Of whatever labels, a model that says nothing has a loss that is
    known (`bench.tasks`): one that ends at EXPLODED times as much knows less than nothing. Where weights are averaged,
    both are looked at.
    """
    for model in (training.model, training.judged)[: 1 if training.ema is None else 2]:
        _check(training, model)


def _check(training: Training, model: "nn.Module") -> None:
    progress = training.progress
    loss = _last_loss(training, model)
    if not math.isfinite(loss) or not all(bool(value.isfinite().all()) for value in model.state_dict().values()):
        raise Diverged(progress.step, loss if math.isfinite(loss) else progress.last_loss)
    if loss > EXPLODED * tasks.of(training.trial).silence(training):
        raise Diverged(progress.step, loss)


def _last_loss(training: Training, model: "nn.Module") -> float:
    """The mean loss of the last batch (of this process's share) with the weights as they are; they stay so."""
    import torch
    from torch.func import functional_call

    at_once = training.trial.execution.micro_batch or training.train.batch
    kept = {name: value.clone() for name, value in model.named_buffers()}  # running means of norms
    pixels, labels = next(given(training, training.train.epochs - 1, skip=training.steps_per_epoch - 1))
    total = 0.0
    with torch.no_grad():
        for part, right in zip(torch.split(pixels, at_once), torch.split(labels, at_once), strict=True):
            with autocast(training.trial.precision, training.images.device.type):
                said = functional_call(model, kept, (part,))
            total += tasks.of(training.trial).loss(training, said, part, right).item() * len(part) / len(pixels)
    return total
