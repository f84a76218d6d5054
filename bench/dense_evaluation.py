"""Evaluation of models that detect or segment: what they say of whole images, by the protocol of a trial."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bench import attention, evaluation, models, tasks, weights
from bench.precision import autocast
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.batches import Feed

MOST_AT_ONCE = 16
"""Images: what a segmenter says of one is many times what is asked."""

Read = TypeVar("Read")


def ready(trial: Trial, subject: Subject) -> "tuple[nn.Module, Feed]":
    """The trial's model with its weights, and the images of its split; what was found is bound."""
    tasks.check(trial)
    how = evaluation.protocol(trial)
    given = evaluation.images(trial, subject, how.split)
    loaded = evaluation.measured_weights(trial, subject)
    loaded.check_pixels(given.images.normalized)
    model = models.build(trial.model, msgspec.structs.replace(trial.input, image=how.image))
    weights.fit(model, loaded.state, keep_head=True)
    subject.bound |= {
        "weights": loaded.sha256,
        "architecture": weights.architecture(model.state_dict()),
        "data": given.images.fingerprint(),
        "images": len(given),
    }
    return model.to(subject.device).eval(), given


def answers(
    trial: Trial, subject: Subject, model: "nn.Module", given: "Feed", read: Callable[[Any], Read]
) -> "Iterator[tuple[Tensor, Read]]":
    """(indices (B,), `read` of what a model says of them) for all images in their order.

    Between two batches, torch is as the caller left it. Which kernels computed attention in the first one is bound.
    """
    import torch

    from bench.batches import batches
    from bench.train.reproducible import reproducible

    at_once = min(trial.execution.evaluate_batch, MOST_AT_ONCE)
    for indices, pixels, _ in batches(given, torch.split(torch.arange(len(given)), at_once)):
        with (
            reproducible(trial.execution.threads, subject.device),
            attention.forced(trial.attention),
            torch.no_grad(),
            attention.observing() as calls,
        ):
            with autocast(trial.precision, subject.device):
                said = model(pixels)
            answer = read(said)
        subject.bound.setdefault("attention", calls)
        yield indices, answer
