"""How often bold errs and how often it sees what is there: simulated tables, by the rule and by the one before it.

Prints a Markdown table. A case is `TABLES` tables of normal noise, in most rows of standard deviation 1, and an effect
of each seed on all rows. Error: tables in which a row is plain that is as good as the best, and not named undecided;
with all rows equal, and beside a half that is worse. Power: the share of the worse rows that are told apart. First:
tables (all equal) in which the first row, the noisy one, is bold. Before: one noise pooled over all rows, Tukey's HSD
once, and the paired t-test. The first tables of each case are decided by `reports.significance` too, and must come out
the same.
"""

import sys
from collections.abc import Callable

import numpy as np
from scipy.special import fdtri
from tabulate import tabulate

from reports import significance
from reports.significance import LEVEL, OUTLYING, compare, two_sided_t

TABLES = 20_000
CHECKED = 40
BATCH = 5_000
ROWS = (2, 3, 5, 13)
WORSE_BY = {3: 3.6, 5: 2.3, 10: 1.45}
"""Seeds → how much worse the worse half is, in standard deviations of a run."""

Array = np.ndarray
Rule = Callable[[Array], tuple[Array, Array]]
"""Samples (tables, rows, seeds), higher is better → which rows are bold and which undecided (tables, rows)."""


def equal(random: np.random.Generator, tables: int, rows: int, seeds: int) -> Array:
    """Noise (tables, rows, seeds) of one standard deviation, 1."""
    return random.normal(size=(tables, rows, seeds))


def first_row_times(factor: float) -> Callable[[np.random.Generator, int, int, int], Array]:
    """Noise of which the first row's is this many times that of the others."""

    def noise(random: np.random.Generator, tables: int, rows: int, seeds: int) -> Array:
        made = equal(random, tables, rows, seeds)
        made[:, 0] *= factor
        return made

    return noise


def growing(random: np.random.Generator, tables: int, rows: int, seeds: int) -> Array:
    """Noise that grows evenly from row to row, from 1 to 4."""
    return equal(random, tables, rows, seeds) * np.linspace(1, 4, rows)[None, :, None]


def collapsing(random: np.random.Generator, tables: int, rows: int, seeds: int) -> Array:
    """Noise 1; every other training of the first row ends at chance, 80 below, so that the row is worse."""
    made = equal(random, tables, rows, seeds)
    made[:, 0] -= 80 * (random.random((tables, seeds)) < 0.5)
    return made


CASES = {
    "equal noise": equal,
    "one row ×4": first_row_times(4),
    "one row ×10": first_row_times(10),
    "growing to ×4": growing,
    "one row collapses": collapsing,
}


def before(samples: Array) -> tuple[Array, Array]:
    """The rule before: one noise for all rows, Tukey's HSD once, confirmed by the paired t-test."""
    tables, rows, seeds = samples.shape
    freedom = (rows - 1) * (seeds - 1)
    noise = samples - samples.mean(2, keepdims=True)
    std = np.sqrt(((noise - noise.mean(1, keepdims=True)) ** 2).sum((1, 2)) / freedom)
    gaps, own = _against(samples, samples.mean(2).argmax(1))
    tukey = significance._critical_q(rows, freedom) * std[:, None] / np.sqrt(seeds)
    return gaps <= np.maximum(tukey, two_sided_t(seeds - 1) * own / np.sqrt(seeds)), np.zeros((tables, rows), bool)


def now(samples: Array) -> tuple[Array, Array]:
    """The rule of reports/significance.py, for many tables at once."""
    tables, rows, seeds = samples.shape
    ordinary, std = _ordinary(samples)
    gaps, own = _against(samples, np.where(ordinary, samples.mean(2), -np.inf).argmax(1))
    paired = two_sided_t(seeds - 1) * own / np.sqrt(seeds)
    alone = significance._critical_q(rows, seeds - 1) * own / np.sqrt(2 * seeds)
    freedoms = [significance._freedom(max(count, 2), seeds) for count in range(rows + 1)]
    critical_q = np.array(
        [[significance._critical_q(max(left, 2), freedom) for left in range(rows + 1)] for freedom in freedoms]
    )
    shared, count = np.sqrt((std[:, None] ** 2 + own**2 / 2) / 2 / seeds), ordinary.sum(1)
    worse = np.zeros((tables, rows), bool)
    for _ in range(rows):
        tukey = critical_q[count, rows - worse.sum(1)][:, None] * shared
        worse = gaps > np.where(ordinary, np.maximum(tukey, paired), alone)
    means = samples.mean(2)
    worse |= ordinary & (means <= np.where(ordinary & worse, means, -np.inf).max(1, keepdims=True))
    above, first = ~ordinary & (-gaps > paired), ~ordinary & (gaps < 0)
    near = abs(gaps) <= (critical_q[count, rows] * std / np.sqrt(seeds))[:, None]
    bold = first | (~worse & (ordinary | near) & ~above.any(1, keepdims=True))
    return bold, ~ordinary & ~worse & ~bold


def _against(samples: Array, best: Array) -> tuple[Array, Array]:
    """How far below the best row each mean lies, and the standard deviation of paired differences (tables, rows)."""
    differences = np.take_along_axis(samples, best[:, None, None], 1) - samples
    return differences.mean(2), differences.std(2, ddof=1)


def _ordinary(samples: Array) -> tuple[Array, Array]:
    """Which rows are of ordinary noise (tables, rows), and its standard deviation (tables,)."""
    tables, rows, seeds = samples.shape
    noise = samples - samples.mean(2, keepdims=True)
    noise -= np.median(noise, 1, keepdims=True)
    noise -= noise.mean(2, keepdims=True)
    order = (noise**2).sum(2).argsort(1)
    noise = np.take_along_axis(noise, order[:, :, None], 1)
    squares = (noise**2).sum(2).cumsum(1) - (noise.cumsum(1) ** 2).sum(2) / np.arange(1, rows + 1)
    joins = np.ones((tables, rows), bool)
    for count in range(max(2, rows // 2 + 1), rows):
        ratio = (squares[:, count] - squares[:, count - 1]) / squares[:, count - 1] * (count - 1)
        joins[:, count] = joins[:, count - 1] & (
            ratio <= fdtri(seeds - 1, (count - 1) * (seeds - 1), 1 - OUTLYING / rows)
        )
    joined = joins.sum(1)
    ordinary = np.empty_like(joins)
    np.put_along_axis(ordinary, order, joins, 1)
    pooled = np.take_along_axis(squares, joined[:, None] - 1, 1)[:, 0]
    return ordinary, np.sqrt(pooled / ((joined - 1) * (seeds - 1)))


def check(samples: Array, bold: Array, undecided: Array) -> None:
    """Stop (SystemExit) where the rule that tables use decides otherwise than the one for many tables."""
    for table, is_bold, is_open in zip(samples, bold, undecided, strict=False):
        said = compare({str(row): dict(enumerate(values)) for row, values in enumerate(table.tolist())}, "higher")
        told = frozenset(map(str, np.flatnonzero(is_bold))), tuple(map(str, np.flatnonzero(is_open)))
        if (said.bold, said.undecided) != told:
            sys.exit(f"the rule for many tables differs: {told} is not {said}")


def simulate(case: str, rows: int, seeds: int) -> list[object]:
    """One line of the table: percent of tables with an error, and of worse rows told apart, before and now."""
    random = np.random.default_rng([list(CASES).index(case), rows, seeds])
    means = np.where(np.arange(rows) < (rows + 1) // 2, 0.0, -WORSE_BY[seeds])
    collapses = np.arange(rows) < (case == "one row collapses")
    found: dict[str, list[Array]] = {}
    for _ in range(TABLES // BATCH):
        tied = CASES[case](random, BATCH, rows, seeds) + random.normal(0, 2, (BATCH, 1, seeds))
        apart = CASES[case](random, BATCH, rows, seeds) + random.normal(0, 2, (BATCH, 1, seeds)) + means[:, None]
        for name, rule in (("before", before), ("now", now)):
            bold, undecided = rule(tied)
            shown, hidden = rule(apart)
            if name == "now":
                check(tied[: CHECKED * BATCH // TABLES], bold, undecided)
                check(apart[: CHECKED * BATCH // TABLES], shown, hidden)
            found.setdefault(f"error, all equal {name}", []).append(_lost(bold | undecided, ~collapses))
            found.setdefault(f"error, half worse {name}", []).append(_lost(shown | hidden, (means == 0) & ~collapses))
            found.setdefault(f"told apart {name}", []).append((~shown & ~hidden)[:, means < 0].ravel())
            found.setdefault(f"first row bold {name}", []).append(bold[:, 0])
    order = [f"{what} {name}" for what in WHAT for name in ("before", "now")]
    return [case, rows, seeds, *(100 * float(np.concatenate(found[what]).mean()) for what in order)]


def _lost(kept: Array, tied: Array) -> Array:
    """Tables (tables,) in which a row that is tied with the best is neither bold nor undecided."""
    return np.logical_not(kept[:, tied].all(1))


WHAT = {
    "error, all equal": "error",
    "error, half worse": "error beside",
    "told apart": "power",
    "first row bold": "first",
}


def main() -> None:
    """Simulate every case and print the table."""
    heads = ["noise", "rows", "seeds", *(f"{head} {name}" for head in WHAT.values() for name in ("before", "now"))]
    lines = [simulate(case, rows, seeds) for case in CASES for rows in ROWS for seeds in WORSE_BY]
    print(f"{TABLES:,} tables a case, at {LEVEL:.0%}; all in percent\n")
    print(tabulate(lines, headers=heads, floatfmt=".1f", tablefmt="github"))


if __name__ == "__main__":
    main()
