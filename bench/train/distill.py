"""Knowledge distillation: the student also hears a teacher (Hinton et al., 2015; DeiT: Touvron et al., ICML 2021).

With z the student's logits, t the teacher's, y the label and σ the softmax (DeiT, section 4):

    soft    (1 − weight)·loss(z, y) + weight·T²·KL(σ(t/T) ‖ σ(z/T))            equation 2, λ = weight, τ = T
    hard    (1 − weight)·loss(z, y) + weight·CE(z, argmax t)                   equation 3, where weight = 1/2

A student with a distillation token says two things: its class token hears the label, its distillation token the
teacher. `evaluate.readout` says which of them is read, or the mean of both.

The paper prints the arguments of KL the other way round. DeiT's published code has them as here, and divides the
divergence by the number of classes, too: its soft teacher is heard that much less.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench import models, weights
from bench.data import Normalization
from bench.errors import Invalid
from bench.trial import Distill, Input, Model, Source

if TYPE_CHECKING:
    from torch import Tensor, nn


def teacher(
    source: Source, seen: Input, store: Path, *, pixels: Normalization | None, model: Model | None = None
) -> "tuple[nn.Module, str]":
    """The teacher, ready to be asked, and the sha256 of its weights. It sees what the student sees, at that size.

    `model` is what a file does not say. Raises Invalid where the teacher knows other classes than the student, or
    where the student's pixels are normalised otherwise than the teacher's were.
    """
    loaded = weights.load(source, store)
    loaded.check_pixels(pixels)
    if loaded.trial is not None:
        model = loaded.trial.model
        if loaded.trial.input.classes != seen.classes:
            raise Invalid(f"the teacher knows {loaded.trial.input.classes} classes and the student {seen.classes}")
    elif source.kind == "published":
        model = models.resolve(source.ref.partition(".")[0], {})  # a tag names weights, not an architecture
    elif model is None:
        raise Invalid(f"teacher {source.ref!r}: a file does not say which model it is; say `distill.teacher_model`")
    built = models.build(model, seen)
    try:
        weights.fit(built, loaded.state, keep_head=True)
    except Invalid as problem:
        raise Invalid(f"teacher {source.ref!r} for {seen.classes} classes: {problem}") from problem
    asked: nn.Module = built.eval().requires_grad_(False)
    return asked, loaded.sha256


def hears(model: "nn.Module") -> None:
    """Let a library's model with a distillation token say both things while it is trained, as ours do."""
    listen: Callable[[bool], None] | None = getattr(model, "set_distilled_training", None)
    if listen is not None:
        listen(True)


def both_heads(said: "Tensor | tuple[Tensor, Tensor]") -> "tuple[Tensor, Tensor]":
    """What hears the label and what hears the teacher, (B, classes) each: the same, without a distillation token."""
    return said if isinstance(said, tuple) else (said, said)


def loss(student: "Tensor", teacher: "Tensor", labels: "Tensor", distill: Distill) -> "Tensor":
    """The mean over images of the whole loss, from logits (B, classes) each and the `labels`' loss."""
    from torch.nn import functional as F

    if distill.kind == "hard":
        heard = F.cross_entropy(student, teacher.argmax(dim=1))
        return (1 - distill.weight) * labels + distill.weight * heard
    temperature = distill.temperature
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - distill.weight) * labels + distill.weight * temperature**2 * divergence
