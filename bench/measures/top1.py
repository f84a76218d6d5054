"""top1: images, in percent, whose class has the largest logit; top5: whose class is among the five largest.

The definition of ILSVRC (Russakovsky et al., IJCV 2015, section 4). top5 needs more than five classes: with five it is
100 % whatever the model says. The model is built at the evaluation size, its learned positions resampled to it.
Of a model with a distillation token `evaluate.readout` is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import attention, data, models, readout, weights
from bench.errors import Invalid
from bench.identity import record_key, weights_key
from bench.precision import autocast
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = ("weights", "model", "input", "task", "data", "evaluate", "precision", "attention")
PRODUCES: dict[str, tuple[str, str | None]] = {"top1": ("%", "higher"), "top5": ("%", "higher")}
LABELS = {"top1": "top-1", "top5": "top-5"}

MOST_LOGITS = 1_000_000  # values that are kept per evaluation: 4 MB


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Evaluate the trial's weights on one split, and keep what they said of every image."""
    import torch

    from bench.batches import batches, feed, logits, share_right
    from bench.train.reproducible import reproducible

    if trial.data is None or trial.evaluate is None:
        raise Invalid("top1 needs data and an evaluation protocol")
    how = trial.evaluate
    chosen = data.load(trial.data, how.split)
    if not len(chosen):
        raise Invalid(f"{trial.data.name} has no images for {how.split}")
    loaded = _weights(trial, subject)
    loaded.check_pixels(chosen.normalized)
    images = feed(
        chosen,
        device=subject.device,
        workers=trial.execution.loader_workers,
        size=how.image,
        crop=how.crop,
        interpolation=how.interpolation,
    )
    model = models.build(trial.model, msgspec.structs.replace(trial.input, image=how.image))
    weights.fit(model, loaded.state, keep_head=True)
    model = readout.read(model.to(subject.device).eval(), how.readout)
    with (
        reproducible(trial.execution.threads, subject.device),
        attention.forced(trial.attention),
        autocast(trial.precision, subject.device),
    ):
        first = torch.arange(min(len(images), trial.execution.evaluate_batch))
        with torch.no_grad(), attention.observing() as calls:
            model(next(batches(images, [first]))[1])
        said = logits(model, images, trial.execution.evaluate_batch)
    labels = images.labels.cpu()
    subject.bound |= {
        "weights": loaded.sha256,
        "architecture": weights.architecture(model.state_dict()),
        "data": images.images.fingerprint(),
        "images": len(images),
        "attention": calls,
    }
    subject.artifacts["predictions"] = _keep(trial, subject, said, labels)
    return {
        name: Quantity(samples=(share_right(said, labels, k),), unit="%", better="higher")
        for name, k in (("top1", 1), ("top5", 5))
        if said.shape[1] > k
    }


def _weights(trial: Trial, subject: Subject) -> weights.Loaded:
    """The weights that the trial trained, or those that it names."""
    if trial.train is None and trial.weights is None:
        raise Invalid("top1 needs weights: a training, or weights of another trial, a file or a library")
    if trial.train is None and trial.weights is not None:
        return weights.load(trial.weights, subject.store)
    return weights.trained(subject.weights_folder or subject.store / "weights" / str(weights_key(trial)))


def _keep(trial: Trial, subject: Subject, logits: "Tensor", labels: "Tensor") -> str:
    """Predictions as NumPy arrays, for comparing models image by image; their path inside the store.

    labels, top1 (N,): classes; probability (N,): of the right class; logits (N, classes): where they are few. Where
    several classes are right, the first is the label and the probability is of all of them.
    """
    import numpy as np
    import torch
    from torch.nn import functional as F

    from bench.files import publish

    several = labels.dtype == torch.bool
    right = labels if several else F.one_hot(labels, logits.shape[1]).bool()
    arrays = {
        "labels": labels.int().argmax(dim=1) if several else labels,
        "top1": logits.argmax(dim=1),
        "probability": (logits.softmax(dim=1) * right).sum(dim=1),
    }
    if logits.numel() <= MOST_LOGITS:
        arrays["logits"] = logits
    key = record_key("top1", VERSION, DEPENDS_ON, trial)
    path = Path("weights") / str(weights_key(trial)) / f"predictions-{key}.npz"
    (subject.store / path.parent).mkdir(parents=True, exist_ok=True)
    plain: dict[str, Any] = {name: value.numpy() for name, value in arrays.items()}
    publish(subject.store / path, lambda file: np.savez_compressed(file, **plain))
    return path.as_posix()
