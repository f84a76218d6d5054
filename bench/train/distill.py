"""Soft distillation (Hinton, Vinyals and Dean, 2015): the student also matches what a teacher says of every class."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench import models, weights
from bench.data import Normalization
from bench.errors import Invalid
from bench.trial import Distill, Input, Source

if TYPE_CHECKING:
    from torch import Tensor, nn


def teacher(source: Source, seen: Input, store: Path, *, pixels: Normalization | None) -> "tuple[nn.Module, str]":
    """The teacher, ready to be asked, and the sha256 of its weights. It sees what the student sees, at that size.

    Raises Invalid where the student's pixels are normalised otherwise than the teacher's were.
    """
    loaded = weights.load(source, store)
    loaded.check_pixels(pixels)
    if loaded.trial is not None:
        model = loaded.trial.model
    elif source.kind == "published":
        model = models.resolve(source.ref.partition(".")[0], {})  # a tag names weights, not an architecture
    else:
        raise Invalid(f"teacher {source.ref!r}: a file does not say which model it is")
    built = models.build(model, seen)
    weights.fit(built, loaded.state, keep_head=True)
    return built.eval().requires_grad_(False), loaded.sha256


def loss(student: "Tensor", teacher: "Tensor", hard: "Tensor", distill: Distill) -> "Tensor":
    """(1 − weight)·hard + weight·T²·KL(teacher ‖ student), the mean over images, from logits (B, classes) each."""
    from torch.nn import functional as F

    temperature = distill.temperature
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - distill.weight) * hard + distill.weight * temperature**2 * divergence
