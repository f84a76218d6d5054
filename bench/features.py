"""Features: what a frozen model says of every image just before its classifier, for measures that bring one of theirs.

Models are built without their classifier at the evaluation size. `evaluate.layers` of several concatenates the class
tokens of so many last blocks, each after the last norm, as DINO's linear evaluation does (Caron et al., 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from bench import attention, data, evaluation, models, readout, weights
from bench.errors import Invalid
from bench.precision import autocast
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.batches import Feed


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Of the images that a classifier is fitted to, and of those that it is measured on; on the CPU."""

    train: "Tensor"  # (N, D) float32
    train_labels: "Tensor"  # (N,) int64
    test: "Tensor"  # (M, D)
    test_labels: "Tensor"  # (M,)
    classes: int


def of(trial: Trial, subject: Subject) -> Features:
    """The features of the training split, or the share of it that the trial has, and of the evaluated one.

    Raises Invalid where there is no protocol, no image, or more than one label an image.
    """
    how, loaded = evaluation.protocol(trial), evaluation.measured_weights(trial, subject)
    assert trial.data is not None
    train, test = (evaluation.images(trial, subject, split) for split in ("train", how.split))
    if train.labels.dim() > 1:
        raise Invalid(f"{trial.data.name} has several labels an image: no classifier of one class is fitted to them")
    loaded.check_pixels(test.images.normalized)
    model = readout.read(_headless(trial, loaded).to(subject.device).eval(), how.readout)
    said = [_said(trial, subject, _reader(model, how.layers), feed) for feed in (train, test)]
    subject.bound |= {
        "weights": loaded.sha256,
        "data": test.images.fingerprint(),
        "train": train.images.fingerprint(),
        "images": len(test),
    }
    return Features(
        train=said[0],
        train_labels=train.labels.cpu(),
        test=said[1],
        test_labels=test.labels.cpu(),
        classes=data.facts(trial.data).classes,
    )


def accuracy(trial: Trial, subject: Subject, key: str, arrays: "dict[str, Tensor]") -> Quantity:
    """Percent of images whose class was said: arrays are `labels` (M,), and what was said by the quantity's name."""
    labels, predicted = arrays.values()
    evaluation.keep(trial, subject, key, arrays)
    share = 100 * int((predicted == labels).sum()) / len(labels)
    return Quantity(samples=(share,), unit="%", better="higher")


def _headless(trial: Trial, loaded: weights.Loaded) -> "nn.Module":
    """The model without its classifier, (B, C, H, W) to (B, D), with the weights but the classifier's."""
    assert trial.evaluate is not None
    model = models.build(trial.model, msgspec.structs.replace(trial.input, image=trial.evaluate.image, classes=0))
    heads = weights.heads(model)
    weights.fit(
        model, {name: value for name, value in loaded.state.items() if not name.startswith(heads)}, keep_head=True
    )
    return model


def _reader(model: "nn.Module", layers: int) -> "nn.Module":
    """What maps images to features: the model, or the class tokens of its last blocks."""
    if layers == 1:
        return model
    import torch
    from torch import nn

    read: Callable[..., Any] = getattr(model, "get_intermediate_layers", model)
    if read is model or not getattr(model, "num_prefix_tokens", 0):
        raise Invalid("evaluate.layers: class tokens of several blocks are read of timm's vision transformers alone")

    class Tokens(nn.Module):
        """Images to (B, layers · D)."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            blocks = read(images, n=layers, return_prefix_tokens=True, norm=True)
            return torch.cat([prefix[:, 0] for _, prefix in blocks], dim=1)

    return Tokens()


def _said(trial: Trial, subject: Subject, model: "nn.Module", feed: "Feed") -> "Tensor":
    from bench.batches import logits
    from bench.train.reproducible import reproducible

    with (
        reproducible(trial.execution.threads, subject.device),
        attention.forced(trial.attention),
        autocast(trial.precision, subject.device),
    ):
        return logits(model, feed, trial.execution.evaluate_batch)
