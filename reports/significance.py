"""What a table may say about noise: spread over seeds, differences to the base, bold, and models image by image.

Bold marks the rows that are not told apart from the best mean at 5 %: two rows are told apart where Tukey's HSD with
seeds as blocks and an unadjusted paired t-test both say so. Of five rules simulated on 20,000 tables a case (5 and 13
rows; 3 and 5 seeds; equal noise, and one row four times noisier), this one kept the family's error near 5 % in all of
them: Tukey covers the choice of the best among many, the paired test a row with noise of its own. A permutation test
cannot reach 5 % at all with five seeds or fewer. Below three seeds nothing is bold.

Values are in the unit of the samples; a row's samples go by seed, so that rows are paired by it.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

from bench.trial import Frozen
from reports.table import Difference

if TYPE_CHECKING:
    from numpy import ndarray

LEVEL = 0.05
POWER = 0.8
FEWEST_SEEDS = 3
SAME = 1e-12  # relative to the largest sample: below this a difference is rounding of binary numbers

EXPLANATION = (
    "bold: the best mean, or not distinguishable from it at 5 % (Tukey HSD with seeds as blocks, confirmed by a "
    "paired t-test)"
)

Samples = Mapping[int, float]
"""Seed → value of one row."""


class Summary(Frozen):
    """Mean and sample standard deviation (n − 1) over n samples; one sample has no spread."""

    mean: float
    std: float | None
    n: int


class Comparison(Frozen):
    """What one column's rows say about each other."""

    pool: tuple[str, ...]  # rows that have every seed, in the order given
    bold: frozenset[str]  # empty below three seeds or two rows
    detectable: float | None  # difference of two rows that this column would have told apart in 80 % of the cases


class PerImage(Frozen):
    """Two models on the same images: how many each alone gets right, and the exact McNemar test of that."""

    both: int
    first: int  # right by the first alone
    second: int
    neither: int
    p: float  # two-sided


def summary(samples: Sequence[float]) -> Summary:
    """Mean ± sample standard deviation of at least one sample."""
    mean = math.fsum(samples) / len(samples)
    if len(samples) == 1:
        return Summary(mean=mean, std=None, n=1)
    spread = math.fsum((sample - mean) ** 2 for sample in samples) / (len(samples) - 1)
    return Summary(mean=mean, std=math.sqrt(spread), n=len(samples))


def binomial_std(percent: float, images: int) -> float:
    """Standard deviation, in points, of an accuracy in percent on this many images.

    None of them, or all, says less than "never": the share is taken as at least half an image away from 0 and 1.
    """
    share = min(max(percent / 100, 0.5 / images), 1 - 0.5 / images)
    return 100 * math.sqrt(share * (1 - share) / images)


@cache
def two_sided_t(freedom: float, level: float = LEVEL) -> float:
    """The t that noise alone exceeds, either way, with this probability; `inf` degrees of freedom: the normal one."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(1 - level / 2) if math.isinf(freedom) else stdtrit(freedom, 1 - level / 2))


def difference(row: Samples, base: Samples) -> Difference | None:
    """Row − base over the seeds that both have, with its 95 % interval (paired t); None where they share no seed."""
    shared = sorted(row.keys() & base.keys())
    if not shared:
        return None
    paired = summary([row[seed] - base[seed] for seed in shared])
    half = None if paired.std is None else two_sided_t(paired.n - 1) * paired.std / math.sqrt(paired.n)
    return Difference(value=paired.mean, half_width=half)


def unpaired(one: Summary, other: Summary) -> float | None:
    """Half width of the 95 % interval of a difference of two means of runs of their own (Welch, Biometrika, 1947).

    None where neither has a spread. One that has none is taken as exact.
    """
    shares = [(said.std**2 / said.n, said.n - 1) for said in (one, other) if said.std is not None]
    total = math.fsum(share for share, _ in shares)
    if not shares:
        return None
    if not total:
        return 0.0
    return two_sided_t(total**2 / math.fsum(share**2 / freedom for share, freedom in shares)) * math.sqrt(total)


def compare(rows: Mapping[str, Samples], better: Literal["higher", "lower"] | None) -> Comparison:
    """Which rows are bold, and how small a difference the column could have shown.

    Rows that miss a seed which another row has stay out. Rows without a measurement, or whose training diverged, are
    not to be passed at all.
    """
    seeds = sorted({seed for samples in rows.values() for seed in samples})
    pool = {row: [samples[seed] for seed in seeds] for row, samples in rows.items() if samples.keys() == set(seeds)}
    if len(pool) < 2 or len(seeds) < FEWEST_SEEDS:
        return Comparison(pool=tuple(pool), bold=frozenset(), detectable=None)
    std = _residual_std(list(pool.values()))
    critical = _critical_q(len(pool), (len(pool) - 1) * (len(seeds) - 1)) * std / math.sqrt(len(seeds))
    best = (min if better == "lower" else max)(pool, key=lambda row: math.fsum(pool[row]))
    bold = {row for row in pool if not _told_apart(pool[row], pool[best], critical)}
    return Comparison(
        pool=tuple(pool),
        bold=frozenset(bold if better is not None else ()),
        detectable=_detectable(len(pool), len(seeds), std),
    )


def per_image(first: "ndarray", second: "ndarray", labels: "ndarray") -> PerImage:
    """Compare the predicted classes (N,) of two models on the same N images with labels (N,): exact McNemar test.

    Models with several seeds are compared seed by seed: predictions of different seeds are no independent images.
    """
    from scipy.stats import binomtest

    one, other = first == labels, second == labels
    alone, beside = int((one & ~other).sum()), int((other & ~one).sum())
    return PerImage(
        both=int((one & other).sum()),
        first=alone,
        second=beside,
        neither=int((~one & ~other).sum()),
        p=float(binomtest(alone, alone + beside, 0.5).pvalue) if alone + beside else 1.0,
    )


def _residual_std(rows: list[list[float]]) -> float:
    """Standard deviation of what row and seed means leave of the samples (rows, seeds); 0 where that is rounding."""
    seeds = len(rows[0])
    row_means = [math.fsum(row) / seeds for row in rows]
    seed_means = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    overall = math.fsum(row_means) / len(rows)
    residuals = [
        (value - row_mean - seed_mean + overall) ** 2
        for row, row_mean in zip(rows, row_means, strict=True)
        for value, seed_mean in zip(row, seed_means, strict=True)
    ]
    std = math.sqrt(math.fsum(residuals) / ((len(rows) - 1) * (seeds - 1)))
    return std if std > SAME * max(abs(value) for row in rows for value in row) else 0.0


def _told_apart(row: list[float], best: list[float], critical: float) -> bool:
    """Whether the means differ by more than the critical differences of both tests; without noise these are 0."""
    paired = summary([ours - theirs for ours, theirs in zip(row, best, strict=True)])
    assert paired.std is not None
    rounding = SAME * max(abs(value) for value in (*row, *best))
    by_pairs = two_sided_t(paired.n - 1) * paired.std / math.sqrt(paired.n)
    return abs(paired.mean) > max(critical, by_pairs if paired.std > rounding else 0.0, rounding)


@cache
def _critical_q(rows: int, freedom: int) -> float:
    """The studentized range that noise alone exceeds in 5 % of the cases."""
    from scipy.stats import studentized_range

    return float(studentized_range.isf(LEVEL, rows, freedom))


def _detectable(rows: int, seeds: int, std: float) -> float:
    """Difference of two rows at which Tukey's test says so in 80 % of the cases, by the noncentral t distribution.

    The shift δ of that distribution solves P(T > q/√2) = 0.8, and the difference is δ·std·√(2/seeds). That the test
    says so with the wrong sign has a chance below 10^-5 there and is left out.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    freedom = (rows - 1) * (seeds - 1)
    critical = _critical_q(rows, freedom) / math.sqrt(2)
    shift = brentq(lambda shift: 1 - POWER - float(nctdtr(freedom, shift, critical)), 0, 2 * critical + 3)
    return float(shift) * std * math.sqrt(2 / seeds)
