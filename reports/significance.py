"""What a table may say about noise: spread over seeds, differences to the base, bold, and models image by image.

Bold marks the best mean and the rows that are not told apart from it at 5 %:

- Rows far noisier than the others are set apart: from the quieter half on, row joins row until the variance of one,
  after seeds as blocks, is beyond an F test at 2 % over the rows. What joined is ordinary, and its best is the best.
- An ordinary row is told apart by Tukey's HSD and an unadjusted paired t-test. Tukey's noise is the mean of two
  variances: what all ordinary rows say, and what the pair itself says; its degrees of freedom are Satterthwaite's
  (Biometrics, 1946). It goes stepwise: rows told apart leave the count of those that could have been best by chance,
  and an ordinary row below one that is told apart is, too.
- A row set apart and below the best is told apart by the noise of its own pair alone. Where that says nothing, it is
  bold if its mean is as near to the best as an ordinary one's would have to be, and undecided if not: its noise is no
  reason for bold. Above the best it is bold, and alone where a paired t-test tells it from the best.

Simulated (benchmarks/significance.py, 20,000 tables a case), before → now: percent of tables of equal rows in which one
is plain and not named undecided, and of worse rows beside equal ones that are told apart. Before was one noise of all
rows, Tukey once, and the paired test. Of 5 and of 13 rows:

                               wrongly plain                    told apart
    seeds                 3        5       10            3          5         10
    equal noise     5   3.1→4.9   3.9→5.1   4.8→5.2     69.3→74.4   83.5→83.4   84.8→85.1
                   13   3.2→2.6   4.7→4.4   5.0→5.1     75.9→85.1   86.2→85.1   82.8→84.0
    one row ×4      5   6.1→8.5   6.8→7.4   8.0→5.7     26.1→57.0   23.6→73.8   20.6→77.8
                   13   8.0→8.1   9.6→7.2  10.5→5.5     40.9→80.7   37.6→82.8   31.5→82.1
    one row ×10     5   6.2→8.3   6.2→6.0   6.1→5.5      8.5→65.7    6.5→76.8    6.0→78.3
                   13   7.4→7.2   7.2→6.0   7.0→6.1     12.3→83.6    7.3→83.6    6.1→82.3
    growing to ×4   5   4.4→6.7   5.7→7.0   6.4→6.5     10.0→12.7   11.8→12.8   12.6→11.6
                   13   6.0→6.7   9.1→8.1  10.6→8.3      7.4→8.9     7.8→8.1     7.3→7.3
    one collapses   5   0.7→3.5   0.2→3.7   0.0→4.1     16.8→69.5    5.3→76.6    0.2→80.3
                   13   0.8→2.5   0.3→3.9   0.0→4.7     19.0→84.0    5.4→83.1    0.2→81.9

With half of the rows worse, 10 % of tables at most have a tied one plain. A row that collapses at every other seed was
bold in 87 % of tables of three seeds, and is in the 12 % in which none of its own did. Two rows are compared by the
paired t-test alone. Tried and left: Games and Howell's test by variances that empirical Bayes moderates (Smyth, 2004),
which erred in up to 29 % of tables of three seeds; permutation tests, which cannot reach 5 % with five seeds or fewer.
Below three seeds nothing is bold.

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
OUTLYING = 0.02
"""Nearly the chance that a column of equally noisy rows has one set apart: simulated, 2 to 3 % (3 to 13 rows)."""

SAME = 1e-12  # relative to the largest sample: below this a difference is rounding of binary numbers

EXPLANATION = (
    "bold: the best mean, or not distinguishable from it at 5 % (stepwise Tukey HSD with seeds as blocks, and a paired "
    "t-test)"
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
    undecided: tuple[str, ...]  # neither bold nor told apart from the best, for noise far above the others'
    detectable: float | None  # difference of two ordinary rows that would have been told apart in 80 % of the cases


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
        return Comparison(pool=tuple(pool), bold=frozenset(), undecided=(), detectable=None)
    import numpy as np  # which a table without noise does without

    samples = np.array(list(pool.values()))
    ordinary, std = _ordinary(samples)
    bold, undecided = _decided(-samples if better == "lower" else samples, ordinary, std)
    return Comparison(
        pool=tuple(pool),
        bold=frozenset(row for row, is_bold in zip(pool, bold, strict=True) if is_bold and better is not None),
        undecided=tuple(row for row, open_ in zip(pool, undecided, strict=True) if open_ and better is not None),
        detectable=_detectable(len(pool), int(ordinary.sum()), len(seeds)) * std,
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


def _ordinary(samples: "ndarray") -> tuple["ndarray", float]:
    """Which of the samples (rows, seeds) are of ordinary noise (rows,), and the standard deviation of that.

    It is of what row and seed means leave, 0 where that is rounding. How much the sum of its squares grows by a row is
    exactly that row's variance against the mean of those before it, so its F test is one of two such sums.
    """
    import numpy as np
    from scipy.special import fdtri

    rows, freedom = len(samples), samples.shape[1] - 1
    noise = samples - samples.mean(1, keepdims=True)
    noise = noise - np.median(noise, 0)  # one wild row moves no median
    noise = noise - noise.mean(1, keepdims=True)
    order = (noise**2).sum(1).argsort(kind="stable")
    count = np.arange(1, rows + 1)
    squares = (noise[order] ** 2).sum(1).cumsum() - (noise[order].cumsum(0) ** 2).sum(1) / count
    rounding = SAME * float(abs(samples).max())
    before = count[1:-1]  # rows that another joins: at least two, of which half the rows are taken as they are
    ratio = np.diff(squares)[1:] * (before - 1) / np.maximum(squares[1:-1], rounding**2 or 1.0)
    wild = ratio > fdtri(freedom, (before - 1) * freedom, 1 - OUTLYING / rows)
    wild &= (before > rows // 2) & (squares[1:-1] > (before - 1) * freedom * rounding**2)
    ordinary = np.ones(rows, dtype=bool)
    joined = int(before[wild][0]) if wild.any() else rows
    ordinary[order[joined:]] = False
    std = math.sqrt(max(squares[joined - 1], 0) / ((joined - 1) * freedom))
    return ordinary, std if std > rounding else 0.0


def _decided(samples: "ndarray", ordinary: "ndarray", std: float) -> tuple["ndarray", "ndarray"]:
    """Which rows of the samples (rows, seeds) are bold, and which undecided (rows,); higher is better."""
    import numpy as np

    rows, seeds = samples.shape
    means = samples.mean(1)
    best = int(np.where(ordinary, means, -np.inf).argmax())
    gaps = means[best] - means
    own = (samples[best] - samples).std(1, ddof=1)
    rounding = SAME * float(abs(samples).max())
    own[own <= rounding] = 0.0
    paired = np.maximum(two_sided_t(seeds - 1) * own / math.sqrt(seeds), rounding)
    apart = not ordinary.all()
    alone = _critical_q(rows, seeds - 1) / math.sqrt(2 * seeds) if apart else 0.0  # asked of rows set apart alone
    shared, freedom = np.sqrt((std**2 + own**2 / 2) / 2 / seeds), _freedom(int(ordinary.sum()), seeds)
    left, smallest = rows, 0
    while left != smallest:
        smallest = left
        critical = np.maximum(_critical_q(left, freedom) * shared, paired)
        worse = gaps > np.where(ordinary, critical, np.maximum(alone * own, rounding))
        left = max(rows - int(worse.sum()), 2)
    worse |= ordinary & (means <= np.where(ordinary & worse, means, -np.inf).max())
    above, first = ~ordinary & (-gaps > paired), ~ordinary & (gaps < 0)
    near = abs(gaps) <= max(_critical_q(rows, freedom) * std / math.sqrt(seeds), rounding)
    bold = first | (~worse & (ordinary | near) & ~above.any())
    return bold, ~ordinary & ~worse & ~bold


def _freedom(ordinary: int, seeds: int) -> float:
    """Degrees of freedom of the mean of the variance that all ordinary rows say, and the one that a pair says.

    The first contains the second. Of two rows both are the paired t-test's. Whole quarters, rounded down: columns
    that differ by a row share their critical values, which take scipy a tenth of a second each.
    """
    return math.floor(16 * (seeds - 1) * (ordinary - 1) / (ordinary + 2)) / 4


def _critical_q(rows: int, freedom: float) -> float:
    """The studentized range that noise alone exceeds in 5 % of the cases; above 16 rows that of the next power of 2."""
    return _studentized_range(rows if rows <= 16 else 1 << (rows - 1).bit_length(), freedom)


@cache
def _studentized_range(rows: int, freedom: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.isf(LEVEL, rows, freedom))


@cache
def _detectable(rows: int, ordinary: int, seeds: int) -> float:
    """Difference of two ordinary rows, of noise 1, that both tests see in 80 % of the cases, while all rows count.

    Both noises come from two independent chi-squares, the pair's and the others', summed over their quantiles. That a
    difference is seen with the wrong sign has a chance below 10^-5 there and is left out.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import gammaincinv, ndtr

    freedom, others = seeds - 1, (ordinary - 2) * (seeds - 1)
    pair = 2 * gammaincinv(freedom / 2, _middles(2000))[:, None]
    rest = 2 * gammaincinv(others / 2, _middles(50)) if others else np.zeros(1)
    both = ((pair + rest) / (freedom + others) + pair / freedom) / 2
    tukey = _critical_q(rows, _freedom(ordinary, seeds)) / math.sqrt(2) * np.sqrt(both)
    critical = np.maximum(tukey, two_sided_t(freedom) * np.sqrt(pair / freedom))
    shift = brentq(lambda shift: POWER - float(ndtr(shift - critical).mean()), 0, 3 * float(critical.max()))
    return float(shift) * math.sqrt(2 / seeds)


def _middles(parts: int) -> "ndarray":
    """Middles (parts,) of equal parts of 0 to 1."""
    import numpy as np

    return (np.arange(parts) + 0.5) / parts
