"""What is kept of every image of a set: pixels of the classes that it shows, truly or by prediction, and no others.

Small where a matrix an image is not: of 2,000 images with 150 classes a few hundred kB, from which any resample of the
images is scored, and two models are compared image by image.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.segmentation.confusion import Sums

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class PerImage:
    """Entries (K,), each of one class in one image: `image` and `label`, and `Sums` of their pixels."""

    names: tuple[str, ...]
    classes: int
    image: "Array"
    label: "Array"
    intersection: "Array"
    truth: "Array"
    predicted: "Array"

    def arrays(self) -> "dict[str, Array]":
        """As plain arrays by name, for a file of NumPy's."""
        import numpy as np

        return {
            "names": np.array(self.names),
            "classes": np.array(self.classes),
            "image": self.image.astype(np.int32),
            "label": self.label.astype(np.int32),
            "intersection": self.intersection,
            "truth": self.truth,
            "predicted": self.predicted,
        }

    @classmethod
    def of_arrays(cls, arrays: "dict[str, Array]") -> "PerImage":
        """From what `arrays` gave."""
        entries = {name: arrays[name] for name in ("image", "label", *Sums._fields)}
        return cls(names=tuple(arrays["names"].tolist()), classes=int(arrays["classes"]), **entries)

    @property
    def sums(self) -> Sums:
        """Of all images, (classes,): what `confusion.numbers` and `confusion.per_class` are of."""
        import numpy as np

        whole = np.zeros((3, self.classes), dtype=np.int64)
        for row, of in zip(whole, Sums._fields, strict=True):
            np.add.at(row, self.label, getattr(self, of))
        return Sums(*whole)

    def matrix(self, of: str) -> "csr_array[Any, tuple[int, int]]":
        """One of the sums as (images, classes) float64, exact up to 2^53 pixels."""
        import numpy as np
        from scipy.sparse import csr_array

        values = getattr(self, of).astype(np.float64)
        return csr_array((values, (self.image, self.label)), shape=(len(self.names), self.classes))


def per_image(images: Iterable[tuple[str, Sums]], classes: int) -> PerImage:
    """The sums (classes,) of named images, one after another."""
    import numpy as np

    names: list[str] = []
    entries: list[Array] = [np.zeros((5, 0), dtype=np.int64)]
    for number, (name, sums) in enumerate(images):
        names.append(name)
        label = np.flatnonzero(sums.truth + sums.predicted)
        entries.append(np.stack([np.full_like(label, number), label, *(of[label] for of in sums)]))
    image, label, *rest = np.concatenate(entries, axis=1)
    return PerImage(
        names=tuple(names), classes=classes, image=image, label=label, **dict(zip(Sums._fields, rest, strict=True))
    )
