"""How a column's numbers are written: one scale and one number of decimals for all of them, so that they compare.

Values come in base units and leave as text: 28,288,354 parameters as `28.29M`, 57,322 as `57.3k`, 4.49e9 multiply-adds
as `4.49G`; percent as they are; seconds and bytes in the unit that the column's head then names. A bare number, whose
unit is "", is nothing that others could be compared with: it has the digits that it needs.
"""

import math
import statistics
from collections.abc import Iterable
from decimal import Decimal

from bench.trial import Frozen

COUNTED = {"parameters", "multiply-adds"}
"""Units whose letter stands in each cell (`28.29M`); others are named in the head."""

LADDERS: dict[str, tuple[tuple[float, str, int], ...]] = {  # unit → (divisor, letter or unit, decimals), largest last
    "parameters": ((1, "", 0), (1e3, "k", 1), (1e6, "M", 2), (1e9, "G", 2), (1e12, "T", 2)),
    "s": ((1e-6, "µs", 1), (1e-3, "ms", 2), (1, "s", 2)),
    "bytes": ((1, "bytes", 0), (1e3, "kB", 1), (1e6, "MB", 1), (1e9, "GB", 2)),
}
LADDERS["multiply-adds"] = LADDERS["parameters"]

SHORT = {"images/s": "img/s"}
DECIMALS_WITHOUT_NOISE = {"%": 2, "points": 2}
MOST_DECIMALS = 4
ALMOST = 0.9  # of a million or more: 0.99M says as much as 990.0k; but 906 is exact and 0.91k is not
TINY = 1e-4  # bare numbers below have more zeros than digits, and are written as powers of ten
UNGROUPED = 1e4  # four digits are read at a glance, and papers print them without a comma
TOO_LONG = 1e5  # beside 57.3k nobody reads 900,000.0k: then 0.057M beside 900.000M


class Scale(Frozen):
    """What a column's numbers are divided by, how many decimals they keep, and what stands behind them."""

    divisor: float = 1
    decimals: int = 0
    suffix: str = ""  # behind each number
    grouped: bool = False  # commas between thousands
    unit: str | None = None  # in the column's head


def scale(unit: str | None, values: Iterable[float], stds: Iterable[float] = ()) -> Scale:
    """The scale of a column: the largest at which its smallest number still shows, decimals as the noise allows."""
    sizes = sorted(abs(float(value)) for value in values if value and math.isfinite(value))
    if unit == "" and sizes and sizes[-1] < TINY:
        power = math.floor(math.log10(sizes[-1]))
        return Scale(divisor=10.0**power, decimals=1, suffix=f"e−{-power}")
    if unit in LADDERS:
        divisor, name, decimals = _rung(LADDERS[unit], sizes)
    else:
        divisor, name = 1.0, SHORT.get(unit or "", unit or "")
        decimals = 0 if all(size.is_integer() for size in sizes) else _decimals(sizes[0], 3)
        decimals = max(map(_needed, sizes), default=0) if unit == "" else decimals
        decimals = DECIMALS_WITHOUT_NOISE.get(unit or "", decimals)
    noise = [std / divisor for std in stds if std > 0]
    if noise:  # two digits of the typical noise; but more than two decimals of a percent say nothing to anyone
        decimals = min(_decimals(statistics.median(noise), 2), DECIMALS_WITHOUT_NOISE.get(unit or "", MOST_DECIMALS))
    grouped = bool(sizes) and sizes[-1] / divisor >= UNGROUPED
    if unit in COUNTED:
        return Scale(divisor=divisor, decimals=decimals, suffix=name, grouped=grouped)
    return Scale(divisor=divisor, decimals=decimals, unit=name or None, grouped=grouped)


def show(value: float, scale: Scale, *, signed: bool = False) -> str:
    """A value in base units as text: `28.29M`, `1156.7`, `22,500`, with `signed` also `+0.4` and `−26.3`."""
    text = number(value, scale)
    sign = "−" if text.startswith("-") else "+" if signed and float(text.replace(",", "")) > 0 else ""
    return f"{sign}{text.removeprefix('-')}{scale.suffix}"


def number(value: float, scale: Scale) -> str:
    """The bare number at a scale, with a hyphen for minus; never a negative zero."""
    text = f"{value / scale.divisor:{',' if scale.grouped else ''}.{scale.decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def alone(value: float, unit: str | None) -> str:
    """One number with its unit, outside any column."""
    own = scale(unit, [value])
    gap = "" if own.unit in (None, "%") else " "
    return f"{show(value, own)}{gap}{own.unit or ''}"


def _rung(ladder: tuple[tuple[float, str, int], ...], sizes: list[float]) -> tuple[float, str, int]:
    """Divisor, name and decimals: the largest rung that the smallest size reaches, unless the largest then runs on."""
    if not sizes:
        return ladder[0]
    reached = (at for at, rung in enumerate(ladder) if sizes[0] / rung[0] >= (ALMOST if rung[0] >= 1e6 else 1))
    first = max(reached, default=0)
    divisor, name, decimals = next((rung for rung in ladder[first:] if sizes[-1] / rung[0] < TOO_LONG), ladder[-1])
    return divisor, name, max(decimals, _decimals(sizes[0] / divisor, 2))


def _needed(size: float) -> int:
    """Decimals of the first four digits, without the zeros that end them."""
    exponent = Decimal(f"{size:.3e}").normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _decimals(size: float, digits: int) -> int:
    """Decimals that show a size with this many significant digits."""
    rounded = float(f"{size:.{digits - 1}e}")  # 0.996 with two digits is 1.0
    return min(MOST_DECIMALS, max(0, digits - 1 - math.floor(math.log10(rounded))))
