"""Numbers as papers print them, read as intervals: `4.5G` stands for every value in [4.45e9, 4.55e9).

"29M" "4.5G" "0.10k" "1.2e3" "2.3 · 10^19" "14 Million"   scaled to base units
"81.3" "81.3%" "755.2 img/s" "8.2 ms" "1.5 GB"             units that a column could have
"88.55 ± 0.04"                                             a mean and its standard deviation
"88.4/88.5*"                                               two values, each a claim that may hold; * is a mark
"≈4.5G" "~4.5G" "≈200,000" "> 2" "≤5"                      about (the zeros that end it say nothing), and bounds
"-" "–" "—" "_" "n/a" ""                                   no number

Text is bounded in length, and so is every exponent: whatever a spec says is read at once, and what it means is finite.
"""

import math
import re
from decimal import Decimal
from typing import Literal

from ablations.conversion import shown
from bench.errors import UserError
from bench.trial import Frozen

PrintedBy = Literal["rounding", "truncation"]

LONGEST = 60  # characters of a printed cell: "88.55 ± 0.04/88.62 ± 0.05*" has 26

NOTHING = {"", "-", "–", "—", "−", "_", "n/a", "na"}

SUFFIXES: dict[str, tuple[str, str | None]] = {  # as printed → (factor to base units, unit where the suffix names one)
    "": ("1", None),
    "k": ("1e3", None),
    "K": ("1e3", None),
    "thousand": ("1e3", None),
    "M": ("1e6", None),
    "million": ("1e6", None),
    "G": ("1e9", None),
    "B": ("1e9", None),
    "billion": ("1e9", None),
    "T": ("1e12", None),
    "%": ("1", "%"),
    "x": ("1", "×"),
    "×": ("1", "×"),
    "img/s": ("1", "images/s"),
    "im/s": ("1", "images/s"),
    "images/s": ("1", "images/s"),
    "s": ("1", "s"),
    "ms": ("1e-3", "s"),
    "µs": ("1e-6", "s"),
    "us": ("1e-6", "s"),
    "kB": ("1e3", "bytes"),
    "MB": ("1e6", "bytes"),
    "GB": ("1e9", "bytes"),
    "MiB": (str(2**20), "bytes"),
    "GiB": (str(2**30), "bytes"),
}

ALIKE: dict[str | None, tuple[str, ...]] = {"points": ("%",), None: ("×",)}
"""A quantity's unit → what papers print behind its numbers all the same."""

_NUMBER = r"[+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_PRINTED = re.compile(
    rf"""(?P<bound>[≈~]|>=|<=|[<>≥≤])?\s*
    (?P<mean>{_NUMBER})
    (?:e(?P<power>[+\-−]?\d{{1,2}})|\s*[·×x]\s*10\^(?P<ten>[\-−]?\d{{1,2}}))?
    (?:\s*(?:±|\+/-|\+-)\s*(?P<std>\d+(?:\.\d+)?))?
    \s*(?P<suffix>[A-Za-zµ%×]+(?:/s)?)?
    \s*(?P<mark>[*†‡§¹²³⁴⁵⁶⁷⁸⁹]*)""",
    re.VERBOSE,
)
_SLASH = re.compile(r"\s*/\s*(?=[+\-−≈~<>≥≤.\d])")  # not the one of img/s


class Printed(Frozen):
    """One printed number in base units, and the interval of the values that print like this."""

    value: float
    low: float
    high: float
    std: float | None = None  # printed after ±
    unit: str | None = None  # only where the text names one: "%", "images/s", "s", "bytes", "×"
    mark: str = ""  # the paper's own footnote mark

    def holds(self, value: float) -> bool:
        """Whether a value prints like this.

        Halves round away from zero, so the end nearer to it belongs to the interval and the other does not. Bounds
        are closed: `> 2` begins at the next number after 2.
        """
        if math.isinf(self.low) or math.isinf(self.high):
            return self.low <= value <= self.high
        return self.low <= value < self.high if value >= 0 else self.low < value <= self.high

    def nearest_end(self, value: float) -> float:
        """The end of the interval that is nearer to a value outside."""
        return self.low if abs(value - self.low) <= abs(value - self.high) else self.high


def parse(text: str, printed_by: PrintedBy = "rounding") -> tuple[Printed, ...]:
    """What a printed cell stands for: one number, several that each may hold, or none (`–`).

    Raises UserError for text that is no number as papers print them.
    """
    if text.strip().lower() in NOTHING:
        return ()
    if len(text) > LONGEST:
        raise UserError(f"{shown(text)} is no printed number: {len(text):,} characters; at most {LONGEST}")
    return tuple(_one(part, text, printed_by) for part in _SLASH.split(text.strip()))


def in_unit(number: Printed, unit: str | None) -> bool:
    """Whether what is printed can be of a quantity in this unit: where it names none, it is the quantity's own."""
    return number.unit in {None, unit, *ALIKE.get(unit, ())}


def _one(part: str, text: str, printed_by: PrintedBy) -> Printed:
    match = _PRINTED.fullmatch(part)
    suffix = _suffix(match["suffix"] or "") if match else None
    if match is None or suffix is None:
        examples = "'29M', '4.5G', '81.3', '88.55 ± 0.04', '1.2e3', '–'"
        raise UserError(f"{shown(text)} is no printed number; allowed: {examples}")
    factor, unit = Decimal(suffix[0]), suffix[1]
    factor *= Decimal(10) ** int((match["power"] or match["ten"] or "0").replace("−", "-"))
    mean = Decimal(match["mean"].replace(",", "").replace("−", "-"))
    value = float(mean * factor)
    about = match["bound"] in ("≈", "~") and mean and "." not in match["mean"]
    low, high = _bound(match["bound"], value) or (
        _about(mean, factor) if about else _interval(mean, factor, printed_by)
    )
    return Printed(
        value=value,
        low=low,
        high=high,
        std=float(Decimal(match["std"]) * factor) if match["std"] else None,
        unit=unit,
        mark=match["mark"],
    )


def _suffix(text: str) -> tuple[str, str | None] | None:
    """Factor and unit; words also with a capital. Not so letters: 1M is a million and 1m is nothing."""
    return SUFFIXES.get(text) or (SUFFIXES.get(text.lower()) if len(text) > 2 else None)


def _bound(sign: str | None, value: float) -> tuple[float, float] | None:
    """Ends of `> 2` and its like; None where the number itself is printed, exactly or about."""
    above, below = math.nextafter(value, math.inf), math.nextafter(value, -math.inf)
    bounds = {">": (above, math.inf), "≥": (value, math.inf), "<": (-math.inf, below), "≤": (-math.inf, value)}
    return bounds.get({">=": "≥", "<=": "≤"}.get(sign or "", sign or ""))


def _about(mean: Decimal, factor: Decimal) -> tuple[float, float]:
    """Ends around `≈200,000`: what has the same digits before its zeros; 96 and 140 are both about 100."""
    size = abs(mean).normalize()
    last = Decimal(1).scaleb(int(size.as_tuple().exponent))
    below = last / 20 if size == last else last / 2  # under a power of ten the same digits stand closer
    low, high = (size - below) * factor, (size + last / 2) * factor
    return (float(-high), float(-low)) if mean < 0 else (float(low), float(high))


def _interval(mean: Decimal, factor: Decimal, printed_by: PrintedBy) -> tuple[float, float]:
    """Ends around a mean, from the place of its last digit; scaled before they become binary, so exactly rounded."""
    exponent = mean.as_tuple().exponent
    assert isinstance(exponent, int)
    last = Decimal(1).scaleb(exponent)
    if printed_by == "rounding":
        low, high = mean - last / 2, mean + last / 2
    else:  # towards zero
        low, high = (mean - last, mean) if mean.is_signed() else (mean, mean + last)
    return float(low * factor), float(high * factor)
