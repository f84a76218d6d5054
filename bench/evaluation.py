"""Evaluation: the weights and the images that a trial names, and what the model says of each image by its protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import attention, data, models, readout, weights
from bench.data import Split
from bench.errors import Invalid
from bench.files import publish
from bench.identity import weights_key
from bench.precision import autocast
from bench.subject import Subject
from bench.trial import Evaluate, Trial

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from bench.batches import Feed

    Array = np.ndarray[Any, np.dtype[Any]]

DEPENDS_ON = ("weights", "model", "input", "task", "data", "evaluate", "precision", "attention")
"""What any evaluation of weights on images depends on."""


def measured_weights(trial: Trial, subject: Subject) -> weights.Loaded:
    """The weights that the trial trained, or those that it names. Raises Invalid where there are neither."""
    if trial.train is not None:
        return weights.trained(subject.weights_folder or subject.store / "weights" / str(weights_key(trial)))
    if trial.weights is None:
        raise Invalid("accuracies need weights: a training, or weights of another trial, a file or a library")
    return weights.load(trial.weights, subject.store)


def protocol(trial: Trial) -> Evaluate:
    """How the trial evaluates. Raises Invalid where it has no data to do so."""
    if trial.data is None or trial.evaluate is None:
        raise Invalid("accuracies need data and an evaluation protocol")
    return trial.evaluate


def images(trial: Trial, subject: Subject, split: Split) -> "Feed":
    """A split at the size, crop and interpolation of the protocol. Raises Invalid where it is empty."""
    from bench.batches import feed

    how = protocol(trial)
    assert trial.data is not None
    chosen = data.load(trial.data, split)
    if not len(chosen):
        raise Invalid(f"{trial.data.name} has no images for {split}")
    return feed(
        chosen,
        device=subject.device,
        workers=trial.execution.loader_workers,
        size=how.image,
        crop=how.crop,
        interpolation=how.interpolation,
    )


def keep(trial: Trial, subject: Subject, key: str, arrays: "Mapping[str, Tensor | Array]") -> None:
    """Predictions of a measurement, by its key, as NumPy arrays: for comparing models image by image.

    Beside the weights that they are of, or with all scores of predictions that came from elsewhere.
    """
    import numpy as np

    own = weights_key(trial)
    path = Path("scores" if own is None else f"weights/{own}") / f"predictions-{key}.npz"
    (subject.store / path.parent).mkdir(parents=True, exist_ok=True)
    plain: dict[str, Any] = {
        name: value if isinstance(value, np.ndarray) else value.numpy() for name, value in arrays.items()
    }
    publish(subject.store / path, lambda file: np.savez_compressed(file, **plain))
    subject.artifacts["predictions"] = path.as_posix()


def evaluated(trial: Trial, subject: Subject) -> "tuple[Tensor, Feed]":
    """Logits (N, classes) of every image of the evaluated split, and the images; what was found is bound."""
    import torch

    from bench.batches import batches, logits
    from bench.train.reproducible import reproducible

    how = protocol(trial)
    given = images(trial, subject, how.split)
    loaded = measured_weights(trial, subject)
    loaded.check_pixels(given.images.normalized)
    model = models.build(trial.model, msgspec.structs.replace(trial.input, image=how.image))
    weights.fit(model, loaded.state, keep_head=True)
    model = readout.read(model.to(subject.device).eval(), how.readout)
    with (
        reproducible(trial.execution.threads, subject.device),
        attention.forced(trial.attention),
        autocast(trial.precision, subject.device),
    ):
        first = torch.arange(min(len(given), trial.execution.evaluate_batch))
        with torch.no_grad(), attention.observing() as calls:
            model(next(batches(given, [first]))[1])
        said = logits(model, given, trial.execution.evaluate_batch)
    subject.bound |= {
        "weights": loaded.sha256,
        "architecture": weights.architecture(model.state_dict()),
        "data": given.images.fingerprint(),
        "images": len(given),
        "attention": calls,
    }
    return said, given
