"""What the numbers stored in label maps mean: which is which class, and which are none."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.segmentation.confusion import ignored, position
from bench.trial import Frozen

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_STORED = 65_535
"""What 16 bits hold."""

_WIDEST_BYTE = 254
"""Classes whose numbers fit in eight bits beside a number for no class and one for what is neither."""


class Rules(Frozen):
    """Stored values: that of class 0, of class 1, …, and those that are no class. No other is allowed."""

    values: tuple[int, ...]
    void: tuple[int, ...]

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.values)

    def __str__(self) -> str:
        void = f", and {_listed(self.void)} for no class" if self.void else ""
        return f"{_listed(self.values)}{void}"


def rules(classes: int, *, reduced: bool = False, ignore: int | None = 255) -> Rules:
    """Classes stored as 0 … classes − 1; `reduced`: as 1 … classes, 0 being no class. `ignore` is no class either.

    Raises Invalid where one value would be both, or more than 16 bits.
    """
    first = int(reduced)
    values = tuple(range(first, first + classes))
    void = tuple({*((0,) if reduced else ()), *(() if ignore is None else (ignore,))})
    if ignore is not None and ignore in values:
        raise Invalid(
            f"label {ignore} is class {ignore - first} and ignored; say another `ignore`, up to {MOST_STORED:,}"
        )
    if max(*values, *void, 0) > MOST_STORED:
        raise Invalid(f"{classes:,} classes do not fit in the 16 bits of a label map")
    return Rules(values=values, void=tuple(sorted(void)))


def from_zero(classes: int) -> Rules:
    """Classes stored as 0 … classes − 1, and the largest number of 8 bits, or 16 where it is a class, as none."""
    return rules(classes, ignore=255 if classes <= 255 else MOST_STORED)


def classes(stored: "Array", given: Rules, said: str) -> "Array":
    """A label map (H, W) as stored to classes: uint8, or uint16 from 255 classes on, with `confusion.ignored` for none.

    Raises Invalid, in a line that begins with `said`, for a value without a meaning; it says which, and where.
    """
    import numpy as np

    table = _table(given, stored.dtype.itemsize * 8)
    if table.dtype == stored.dtype == np.uint8:  # 4 times faster than table[stored]
        found = np.frombuffer(stored.tobytes().translate(table.tobytes()), np.uint8).reshape(stored.shape)
    else:
        found = table.take(stored)
    unknown = ignored(table.dtype) - 1
    wrong = found == unknown
    if wrong.any():
        value = stored[wrong][0]
        raise Invalid(f"{said}: label {value}{position(stored, value)} is no class; allowed: {given}")
    return found


@lru_cache(maxsize=64)
def _table(given: Rules, bits: int) -> "Array":
    """The class of every value that a map of so many bits can hold."""
    import numpy as np

    kind = np.dtype(np.uint8 if given.classes <= _WIDEST_BYTE else np.uint16)
    void = ignored(kind)
    table = np.full(2**bits, void - 1, dtype=kind)
    for number, value in enumerate(given.values):
        if value < len(table):
            table[value] = number
    table[[value for value in given.void if value < len(table)]] = void
    return table


def _listed(values: tuple[int, ...]) -> str:
    """Values for people: runs of them by their ends."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [f"{run[0]} … {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)
