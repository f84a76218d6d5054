"""Second engines: scipy's ttest_rel and tukey_hsd, statsmodels' AnovaRM, TTestPower and mcnemar."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from reports import significance
from reports.significance import (
    Comparison,
    PerImage,
    binomial_std,
    compare,
    difference,
    per_image,
    summary,
    unpaired,
)


def bold(rows, better):
    return compare(rows, better).bold


def table(seed, rows, seeds, steps=0.0):
    """Samples of rows whose means fall by `steps`, with an effect of each seed and noise of standard deviation 1."""
    random = np.random.default_rng(seed)
    effect = random.normal(0, 2, seeds)
    noise = random.normal(0, 1, (rows, seeds))
    return {
        f"row{row}": {at: 90 - steps * row + effect[at] + noise[row, at] for at in range(seeds)} for row in range(rows)
    }


def test_the_mean_and_its_sample_standard_deviation():
    said = summary([93.0, 94.5, 92.1])
    assert (said.mean, said.n) == (pytest.approx(np.mean([93.0, 94.5, 92.1])), 3)
    assert said.std == pytest.approx(np.std([93.0, 94.5, 92.1], ddof=1))
    assert summary([7.0]).std is None


def test_the_difference_to_the_base_is_the_paired_t_interval():
    rows = table(1, 2, 5, steps=1.0)
    said = difference(rows["row1"], rows["row0"])
    engine = stats.ttest_rel(list(rows["row1"].values()), list(rows["row0"].values())).confidence_interval(0.95)
    assert (said.value - said.half_width, said.value + said.half_width) == pytest.approx((engine.low, engine.high))


def test_rows_are_paired_over_the_seeds_that_both_have():
    said = difference({0: 3.0, 1: 5.0, 4: 9.0}, {0: 1.0, 1: 2.0, 3: 100.0})
    assert said.value == 2.5
    assert difference({0: 3.0}, {0: 1.0}).half_width is None
    assert difference({0: 3.0}, {1: 1.0}) is None


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0, 4.0], [3.0, 3.5]), ([9.0, 9.1, 9.3, 8.7], [1.0, 5.0, 9.0])])
def test_the_difference_of_runs_of_their_own_is_welchs_interval(first, second):
    half = unpaired(summary(first), summary(second))
    engine = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert half == pytest.approx((engine.high - engine.low) / 2)


def test_a_mean_without_a_spread_is_taken_as_exact_and_two_of_them_have_no_interval():
    said = summary([1.0, 2.0, 4.0])
    engine = stats.ttest_1samp([1.0, 2.0, 4.0], 0.0).confidence_interval(0.95)
    assert unpaired(said, summary([7.0])) == pytest.approx((engine.high - engine.low) / 2)
    assert unpaired(summary([1.0]), summary([7.0])) is None
    assert unpaired(summary([2.0, 2.0]), summary([3.0, 3.0])) == 0.0


@pytest.mark.parametrize(("rows", "seeds"), [(2, 3), (5, 5), (13, 3)])
def test_the_residual_is_that_of_a_repeated_measures_anova(rows, seeds):
    samples = table(2, rows, seeds, steps=0.7)
    long = pd.DataFrame(
        [(row, seed, value) for row, values in samples.items() for seed, value in values.items()],
        columns=["row", "seed", "value"],
    )
    f = float(AnovaRM(long, "value", "seed", within=["row"]).fit().anova_table["F Value"].iloc[0])
    means = [summary(list(values.values())).mean for values in samples.values()]
    between = seeds * float(np.var(means, ddof=1))
    std = significance._residual_std([list(values.values()) for values in samples.values()])
    assert between / std**2 == pytest.approx(f)


def test_the_critical_difference_is_that_of_scipys_tukey_hsd():
    # scipy has no blocks: with r seeds its error has k(r-1) degrees of freedom, and only those differ
    random = np.random.default_rng(3)
    samples = [list(random.normal(size=4)) for _ in range(5)]
    interval = stats.tukey_hsd(*samples).confidence_interval(0.95)
    half = (interval.high[0, 1] - interval.low[0, 1]) / 2
    pooled = math.sqrt(np.mean([np.var(row, ddof=1) for row in samples]))
    assert significance._critical_q(5, 5 * 3) * pooled / 2 == pytest.approx(half, rel=1e-6)


def test_two_rows_are_told_apart_exactly_when_the_paired_t_test_says_so():
    for seed in range(40):
        rows = table(seed, 2, 4, steps=1.5)
        p = stats.ttest_rel(list(rows["row0"].values()), list(rows["row1"].values())).pvalue
        assert (len(bold(rows, "higher")) == 2) == (p >= 0.05)


@pytest.mark.parametrize(("rows", "seeds"), [(5, 3), (5, 5), (13, 3)])
def test_bold_is_what_tukey_and_the_paired_test_leave(rows, seeds):
    for seed in range(10):
        samples = table(seed, rows, seeds, steps=1.0)
        values = {row: np.array(list(by_seed.values())) for row, by_seed in samples.items()}
        grid = np.array(list(values.values()))
        residual = grid - grid.mean(0) - grid.mean(1, keepdims=True) + grid.mean()
        freedom = (rows - 1) * (seeds - 1)
        scale = math.sqrt((residual**2).sum() / freedom / seeds)
        best = max(values, key=lambda row: values[row].mean())
        expected = {best}
        for row in set(values) - {best}:
            tukey = stats.studentized_range.sf(abs(values[row].mean() - values[best].mean()) / scale, rows, freedom)
            paired = stats.ttest_rel(values[row], values[best]).pvalue
            if not (tukey < 0.05 and paired < 0.05):
                expected.add(row)
        assert bold(samples, "higher") == expected


def test_a_true_tie_is_rarely_told_apart():
    lost = sum("row0" not in bold(table(seed, 5, 3), "higher") for seed in range(1000))
    assert lost / 1000 < 0.05


def test_lower_is_better_where_it_is():
    rows = {"slow": dict(enumerate([9.0, 9.1, 9.2])), "fast": dict(enumerate([1.0, 1.2, 1.1]))}
    assert (bold(rows, "lower"), bold(rows, "higher")) == ({"fast"}, {"slow"})
    assert bold(rows, None) == frozenset()


def test_below_three_seeds_nothing_is_bold():
    rows = {"a": {0: 1.0, 1: 1.1}, "b": {0: 9.0, 1: 9.1}}
    assert compare(rows, "higher") == Comparison(pool=("a", "b"), bold=frozenset(), detectable=None)


def test_one_row_alone_is_not_the_best_of_anything():
    assert bold({"a": {0: 1.0, 1: 1.1, 2: 1.2}}, "higher") == frozenset()


def test_a_row_that_misses_a_seed_stays_out():
    rows = {"a": {0: 1.0, 1: 1.1, 2: 1.3}, "b": {0: 9.0, 1: 9.1, 2: 9.3}, "c": {0: 99.0, 1: 99.0}}
    said = compare(rows, "higher")
    assert (said.pool, said.bold) == (("a", "b"), {"b"})


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ({"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0, 1.0]}, {"a", "b"}),
        ({"a": [1.0, 1.0, 1.0], "b": [1.1, 1.1, 1.1]}, {"b"}),
        # 0.1 + 0.2 is 0.30000000000000004: rounding of binary numbers is no difference
        ({"a": [0.3, 0.6, 0.7], "b": [0.1 + 0.2, 0.5 + 0.1, 0.7]}, {"a", "b"}),
        # every seed says the same
        ({"a": [1.0, 2.0, 3.0], "b": [1.5, 2.5, 3.5]}, {"b"}),
        ({"a": [100.0, 100.0, 100.0], "b": [100.0, 100.0, 100.0], "c": [97.0, 97.5, 96.1]}, {"a", "b"}),
    ],
)
def test_without_noise_rows_are_tied_when_equal_and_distinct_else(samples, expected):
    assert bold({row: dict(enumerate(values)) for row, values in samples.items()}, "higher") == expected


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_the_detectable_difference_of_two_rows_is_that_of_a_paired_t_test_with_power_80_percent(seeds):
    rows = table(5, 2, seeds)
    spread = np.std([rows["row0"][seed] - rows["row1"][seed] for seed in range(seeds)], ddof=1)
    effect = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
    assert compare(rows, "higher").detectable == pytest.approx(effect * spread, rel=1e-4)


def test_models_are_compared_image_by_image_by_the_exact_mcnemar_test():
    random = np.random.default_rng(7)
    labels = random.integers(0, 10, 450)
    first = np.where(random.random(450) < 0.93, labels, (labels + 1) % 10)
    second = np.where(random.random(450) < 0.90, labels, (labels + 1) % 10)
    said = per_image(first, second, labels)
    counts = [[said.both, said.first], [said.second, said.neither]]
    assert np.sum(counts) == 450
    assert said.both + said.first == int((first == labels).sum())
    assert said.p == pytest.approx(mcnemar(counts, exact=True).pvalue)


def test_two_models_that_say_the_same_are_not_told_apart():
    labels = np.array([0, 1, 2])
    assert per_image(labels, labels, labels) == PerImage(both=3, first=0, second=0, neither=0, p=1.0)


def test_the_noise_of_a_finite_test_set():
    low, high = proportion_confint(40_694, 50_000, alpha=0.05, method="normal")
    assert 1.959964 * binomial_std(81.388, 50_000) == pytest.approx(100 * (high - low) / 2, rel=1e-6)
    for percent in (0.0, 100.0):  # half an image
        assert binomial_std(percent, 450) == pytest.approx(100 * math.sqrt(0.5 * 449.5 / 450**3))
