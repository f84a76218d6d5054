"""digits: 1,797 real handwritten digits of 8×8 pixels in 17 grey levels, bundled with scikit-learn.

The test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI, 1998), by 13 writers. Of every
class a quarter is `report` (445 images), a twelfth `selection` (146), the rest `train` (1,206): images are assigned by
the hash of their place in the file, the same for every seed. Writers are on all sides of the split.
"""

from typing import TYPE_CHECKING

from bench.data import Facts, Images, Split
from bench.trial import Frozen

if TYPE_CHECKING:
    import numpy as np

VERSION = 1

IMAGES, SIDE, LEVELS = 1797, 8, 16  # in the file; pixels a side; the brightest pixel


class Options(Frozen):
    """Nothing to choose."""


def facts(options: Options) -> Facts:
    """Ten classes of grey images."""
    return Facts(classes=10, channels=1, image=SIDE)


def missing(options: Options) -> str | None:
    """Scikit-learn brings the images."""
    from importlib.util import find_spec

    return None if find_spec("sklearn") else "scikit-learn, which bundles digits: pip install 'vitab[measure]'"


def load(options: Options, split: Split) -> Images:
    """A split in memory, pixels from −1 to 1."""
    import torch

    from bench.images import InMemory, by_class

    table = _table()  # (1797, 65): pixels row by row, then the digit
    chosen = []
    for group in by_class(table[:, -1].tolist()):
        report, selection = len(group) // 4, len(group) // 12
        begin, end = {
            "report": (0, report),
            "selection": (report, report + selection),
            "train": (report + selection, len(group)),
        }[split]
        chosen += group[begin:end]
    rows = torch.from_numpy(table)[sorted(chosen)]
    pixels = rows[:, :-1].reshape(-1, 1, SIDE, SIDE).float() / (LEVELS / 2) - 1  # exact in float32
    return InMemory(pixels, rows[:, -1].long())


def _table() -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """The bundled file, read without importing scikit-learn, which takes 0.8 s."""
    import gzip
    from importlib.util import find_spec
    from pathlib import Path

    import numpy as np

    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    with gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    assert table.shape == (IMAGES, SIDE * SIDE + 1), table.shape
    return table
