"""The confusion matrix of a whole set of label maps, in exact integers, and what follows from it.

    IoU of a class       pixels where both say it, over pixels where either does
    accuracy of a class  pixels where both say it, over pixels where the truth does
    miou                 mean of the classes' IoU, of those that either says somewhere
    mean_accuracy        mean of the classes' accuracy, of those that the truth says somewhere
    pixel_accuracy       pixels where both say the same, over all

The metrics of Long, Shelhamer and Darrell (CVPR 2015, section 5). Pixels are summed over the set before anything is
divided, as ADE20K, Cityscapes and PASCAL VOC have it; the mean over images of each image's own mIoU is another number,
in which a class weighs by how many images show it. A pixel whose truth is no class is not counted, whatever is
predicted there; one that the prediction leaves without a class is a miss of its truth's, and no class's mistake.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import Invalid

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_CLASSES = 4096
"""Of a confusion matrix: 128 MiB of counts."""

SHORTEST_RUN = 8
"""Pixels. Where both maps stay the same for longer, on average, runs are counted and not pixels: 2 to 3 times faster
for maps of objects, and 5 times slower for noise, which is counted pixel by pixel."""


class Sums(NamedTuple):
    """Pixels of each class, int64 (…, classes), of those that are counted."""

    intersection: "Array"  # both say it
    truth: "Array"
    predicted: "Array"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """Which classes stand at the same pixels of one image: entries (K,), of which several may be of the same two."""

    classes: int
    truth: "Array"
    prediction: "Array"  # `classes` where it says none
    pixels: "Array"

    @property
    def sums(self) -> Sums:
        """Of this image."""
        import numpy as np

        both = self.truth == self.prediction
        chosen = ((self.truth[both], self.pixels[both]), (self.truth, self.pixels), (self.prediction, self.pixels))
        return Sums(
            *(np.bincount(of, pixels, self.classes + 1)[: self.classes].astype(np.int64) for of, pixels in chosen)
        )


def tally(truth: "Array", prediction: "Array", classes: int, said: str = "an image") -> Tally:
    """Compare two label maps (H, W) of integers: 0 … classes − 1, or `ignored`.

    Raises Invalid, in a line that begins with `said`, for maps of two sizes and for labels that are neither.
    """
    import numpy as np

    if truth.shape != prediction.shape:
        sizes = (" × ".join(map(str, one.shape)) for one in (truth, prediction))
        raise Invalid("{}: the truth is {} pixels (rows × columns), the prediction {}".format(said, *sizes))
    labels, pixels = _together(truth, prediction)
    right, found = (
        _classes(some, whole, classes, f"{said}: the {name}")
        for some, whole, name in zip(labels, (truth, prediction), ("truth", "prediction"), strict=True)
    )
    counted = right >= 0
    found = np.where(found < 0, classes, found)
    return Tally(classes=classes, truth=right[counted], prediction=found[counted], pixels=pixels[counted])


def ignored(kind: "np.dtype[Any]") -> int:
    """The label that is no class: 255 of uint8, 65,535 of uint16, −1 of signed integers."""
    import numpy as np

    return int(np.iinfo(kind).max) if kind.kind == "u" else -1


def _together(truth: "Array", prediction: "Array") -> "tuple[tuple[Array, Array], Array]":
    """Labels of both that stand at the same pixels, and at how many."""
    import numpy as np

    truth, prediction = truth.ravel(), prediction.ravel()
    changes = truth[1:] != truth[:-1]
    changes |= prediction[1:] != prediction[:-1]
    runs = SHORTEST_RUN * np.count_nonzero(changes) <= truth.size
    if truth.dtype == prediction.dtype == np.uint8:
        index, lengths = _indexed(truth, prediction, changes if runs else None)
        pixels = np.bincount(index, lengths)
        there = np.flatnonzero(pixels > 0)  # of booleans: five times faster than of numbers
        return ((there >> 8).astype(np.uint8), (there & 255).astype(np.uint8)), pixels[there].astype(np.int64)
    ends = _ends(changes, truth.size)
    return (truth[ends], prediction[ends]), np.diff(ends, prepend=-1)


def _indexed(truth: "Array", prediction: "Array", changes: "Array | None") -> "tuple[Array, Array | None]":
    """Both labels as one number, 256 × truth + prediction, of every run with its length, or of every pixel."""
    import numpy as np

    lengths = None
    if changes is not None:
        ends = _ends(changes, truth.size)
        truth, prediction, lengths = truth[ends], prediction[ends], np.diff(ends, prepend=-1)
    index = truth.astype(np.uint16)
    index <<= 8
    index |= prediction
    return index, lengths


def _ends(changes: "Array", size: int) -> "Array":
    """Where runs end."""
    import numpy as np

    ends = np.flatnonzero(changes)
    return np.append(ends, size - 1) if size else ends


def _classes(labels: "Array", whole: "Array", classes: int, said: str) -> "Array":
    """Labels as int64, −1 where they are no class."""
    import numpy as np

    kind = whole.dtype
    if kind.kind not in "iu":
        raise Invalid(f"{said} is of {kind}; labels are integers")
    void = ignored(kind)
    if kind.kind == "u" and classes > void:
        raise Invalid(f"{said} is of {kind}, in which {void} is no class; {classes:,} classes need a wider type")
    wide = labels.astype(np.int64)
    wide[labels == void] = -1
    wrong = (wide < -1) | (wide >= classes)
    if wrong.any():
        first = labels[np.argmax(wrong)]
        raise Invalid(
            f"{said} has label {first}{position(whole, first)}; allowed: 0 … {classes - 1}, and {void} for no class"
        )
    return wide


def position(labels: "Array", label: "np.integer[Any]") -> str:
    """Where a label map first has a label, for people."""
    import numpy as np

    place = np.unravel_index(np.argmax(labels == label), labels.shape)
    return f" at row {place[0]}, column {place[1]}" if len(place) == 2 else f" at {tuple(map(int, place))}"


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of a set: `counts` (classes, classes + 1) int64, pixels by truth and prediction; last, by none."""

    counts: "Array"

    @classmethod
    def of(cls, classes: int) -> "Confusion":
        """Of no image yet. Raises Invalid for more classes than fit."""
        import numpy as np

        if not 1 <= classes <= MOST_CLASSES:
            raise Invalid(f"a confusion matrix of {classes:,} classes; allowed: 1 … {MOST_CLASSES:,}")
        return cls(np.zeros((classes, classes + 1), dtype=np.int64))

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.counts)

    def add(self, truth: "Array", prediction: "Array", said: str = "an image") -> None:
        """Count one more image, as `tally` compares its label maps."""
        self.count(tally(truth, prediction, self.classes, said))

    def count(self, image: Tally) -> None:
        """Count one more image that was compared already."""
        import numpy as np

        place = image.truth * (self.classes + 1) + image.prediction
        np.add.at(self.counts.reshape(-1), place, image.pixels)

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.counts + other.counts)

    @property
    def sums(self) -> Sums:
        """Of all images."""
        matrix = self.counts[:, :-1]
        return Sums(matrix.diagonal(), self.counts.sum(axis=1), matrix.sum(axis=0))

    @property
    def numbers(self) -> dict[str, float]:
        """In percent: miou, pixel_accuracy, mean_accuracy; none of them where no pixel is counted."""
        return {name: float(value) for name, value in numbers(self.sums).items()} if self.counts.any() else {}

    @property
    def per_class(self) -> dict[int, dict[str, float]]:
        """By class, as the function of that name says."""
        return per_class(self.sums)

    @property
    def absent(self) -> tuple[int, ...]:
        """Classes that neither truth nor prediction says anywhere: no part of any mean."""
        return tuple(number for number, said in self.per_class.items() if "iou" not in said)


def numbers(sums: Sums) -> "dict[str, Array]":
    """Sums (…, classes) to miou, pixel_accuracy and mean_accuracy (…), in percent; NaN where no pixel is counted."""
    both, truth, predicted = sums
    return {
        "miou": 100 * _mean(both, truth + predicted - both),
        "pixel_accuracy": 100 * _share(both.sum(axis=-1), truth.sum(axis=-1)),
        "mean_accuracy": 100 * _mean(both, truth),
    }


def per_class(sums: Sums) -> dict[int, dict[str, float]]:
    """Sums (classes,) to, by class, `iou` and `accuracy` in percent, where defined; `truth` and `predicted`, pixels."""
    found: dict[int, dict[str, float]] = {}
    for number, (both, truth, predicted) in enumerate(zip(*(of.tolist() for of in sums), strict=True)):
        either = truth + predicted - both
        found[number] = {"iou": 100 * both / either} if either else {}
        found[number] |= {"accuracy": 100 * both / truth} if truth else {}
        found[number] |= {"truth": truth, "predicted": predicted}
    return found


def _share(part: "Array", whole: "Array") -> "Array":
    import numpy as np

    share: Array = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return share


def _mean(part: "Array", whole: "Array") -> "Array":
    """Over classes, of those that have any."""
    import numpy as np

    there = whole > 0
    shares = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=there)
    return _share(shares.sum(axis=-1), there.sum(axis=-1))
