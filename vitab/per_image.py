"""Two rows on the same images: on how many each alone is right, seed by seed, from the predictions in the store."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench import plan
from bench.record import Record
from bench.store import Snapshot, Store
from bench.work import Work
from reports.significance import per_image

if TYPE_CHECKING:
    from numpy import ndarray

QUANTITIES = ("top1", "real", "knn", "linear_probe", "few_shot")
"""Accuracies of which it is kept what was said of every image."""


def beside(
    works: tuple[Work, ...], base: tuple[Work, ...], *, quantity: str, named: str, store: Store, at: Snapshot
) -> Iterator[str]:
    """A line for every seed of a row that another row, called `named`, has too; both measured, predictions kept."""
    by_seed = {work.trial.seed: work for work in base}
    for work in works:
        if (other := by_seed.get(work.trial.seed)) is None:
            continue
        ours, theirs = plan.serving(work, at), plan.serving(other, at)
        if ours is None or theirs is None:
            continue
        mine, its = _predictions(ours, quantity, store), _predictions(theirs, quantity, store)
        if mine is not None and its is not None:
            seed = "" if work.trial.seed is None else f"seed {work.trial.seed}, "
            yield f"{seed}image by image beside {named}: {_told(mine, its)}"


def _told(ours: "tuple[ndarray, ndarray]", theirs: "tuple[ndarray, ndarray]") -> str:
    """Labels and predicted classes, each (N,), of two rows: what they come to."""
    labels, classes = ours
    if labels.shape != theirs[0].shape or (labels != theirs[0]).any():
        return "not the same images"
    said = per_image(classes, theirs[1], labels)
    return (
        f"both right on {said.both}, this row alone on {said.first}, that one alone on {said.second}, "
        f"neither on {said.neither} (exact McNemar test: p = {said.p:.2g})"
    )


def _predictions(record: Record, quantity: str, store: Store) -> "tuple[ndarray, ndarray] | None":
    """Labels and predicted classes, each (N,); None where they are not kept, or are not the accuracy on record.

    They are not where an image has several right classes, of which the file names the first alone; where it says which
    images are right, that is the class.
    """
    import numpy as np

    path = store.path / record.artifacts.get("predictions", "")
    if not path.is_file() or not path.resolve().is_relative_to(Path(store.path).resolve()):
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            classes = kept["right"] if "right" in kept else kept[quantity]
            labels = np.ones_like(classes) if "right" in kept else kept["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # damaged
        return None
    if labels.ndim != 1 or not labels.size or labels.shape != classes.shape:
        return None
    (accuracy,) = record.quantities[quantity].samples[:1]
    agrees = abs(100 * float((labels == classes).mean()) - accuracy) < 50 / labels.size  # half an image
    return (labels, classes) if agrees else None
