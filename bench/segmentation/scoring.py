"""A set of label maps scored: its confusion matrix, and what is kept of every image."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.segmentation import confusion, label_maps
from bench.segmentation.confusion import Confusion, Sums
from bench.segmentation.label_maps import Match
from bench.segmentation.label_rules import Rules
from bench.segmentation.per_image import PerImage, per_image

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

CHANCE_TIMES, OWN_TIMES = 2, 4
"""Labels look off by one where the mean accuracy would be beyond so many times chance, and times what it is.

Chance is one class everywhere, of those that the truth shows: of two or fewer nothing looks so."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What came of a set."""

    confusion: Confusion
    images: PerImage

    @property
    def pixels(self) -> int:
        """Those that are counted."""
        return int(self.confusion.counts.sum())


def score(maps: "Iterable[tuple[str, Array, Array]]", classes: int) -> Scored:
    """Score named pairs of a truth and a prediction (H, W), as `confusion.tally` compares them.

    Raises Invalid for maps that cannot be compared, for a set without a counted pixel, and for one whose predictions
    agree with the truth when every class is taken for its neighbour.
    """
    whole = Confusion.of(classes)

    def counted() -> Iterator[tuple[str, Sums]]:
        for name, truth, prediction in maps:
            compared = confusion.tally(truth, prediction, classes, name)
            whole.count(compared)
            yield name, compared.sums

    images = per_image(counted(), classes)
    if not whole.counts.any():
        raise Invalid(f"{len(images.names):,} label maps, and no pixel in them that is of a class")
    if (step := off_by(whole)) is not None:
        raise Invalid(
            f"the predictions look off by one: taken for class k {'+' if step > 0 else '−'} 1 what they call k agrees "
            "with the truth; where they count classes from 0 and the truth does not, say so: `predictions: classes`"
        )
    return Scored(confusion=whole, images=images)


def off_by(whole: Confusion) -> int | None:
    """1 or −1 where the predictions would be far better if every class were the next one, or the one before."""
    import numpy as np

    matrix, truth = whole.counts[:, :-1], whole.sums.truth
    there = truth > 0
    own = whole.numbers.get("mean_accuracy", 0.0)
    nothing = np.zeros_like(whole.counts[:, -1:])
    none = whole.counts[:, -1:]  # what counts from 0 calls the first class 0, which may be read as no class
    for step, moved in ((1, np.hstack([none, matrix[:, :-1]])), (-1, np.hstack([matrix[:, 1:], nothing]))):
        accuracy = 100 * float((moved.diagonal()[there] / truth[there]).mean()) if there.any() else 0.0
        if accuracy > CHANCE_TIMES * 100 / there.sum() and accuracy > OWN_TIMES * own:
            return step
    return None


def read(matches: Iterable[Match], truth: Rules, prediction: Rules) -> "Iterator[tuple[str, Array, Array]]":
    """Names, truths and predictions of files, one at a time. Raises Invalid, naming the file, for what is wrong."""
    for name, truth_file, prediction_file in matches:
        right, said = label_maps.read(truth_file, truth), label_maps.read(prediction_file, prediction)
        if right.shape != said.shape:
            (height, width), (rows, columns) = right.shape, said.shape
            raise Invalid(
                f"{prediction_file}: {columns} × {rows} pixels (width × height), and the truth {truth_file} has "
                f"{width} × {height}"
            )
        yield name, right, said


def digest(root: Path, truths: Iterable[Path]) -> str:
    """Of the names and contents of label maps: which truth it was."""
    whole = hashlib.sha256()
    for path in truths:
        whole.update(f"{path.relative_to(root).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
