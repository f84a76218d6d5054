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
    ordinary, std = significance._ordinary(np.array([list(values.values()) for values in samples.values()]))
    assert ordinary.all()
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


def told_apart(values, rows, best, seeds):
    """Rows whose difference to the best scipy's tests see, as `left` of all rows may still be the best."""
    grid = np.array(list(values.values()))
    residual = grid - grid.mean(0) - grid.mean(1, keepdims=True) + grid.mean()
    pooled = (residual**2).sum() / (rows - 1) / (seeds - 1)
    freedom = math.floor(16 * (seeds - 1) * (rows - 1) / (rows + 2)) / 4
    left, worse = rows, None
    while worse is None or left != rows - len(worse):
        left, worse = (rows if worse is None else rows - len(worse)), set()
        for row in set(values) - {best}:
            difference = values[best] - values[row]
            std = math.sqrt((pooled + np.var(difference, ddof=1) / 2) / 2)
            range_of_means = abs(difference.mean()) / std * math.sqrt(seeds)
            tukey = stats.studentized_range.sf(range_of_means, max(left, 2), freedom)
            if tukey < 0.05 and stats.ttest_rel(values[row], values[best]).pvalue < 0.05:
                worse.add(row)
    highest = max((values[row].mean() for row in worse), default=-math.inf)
    return {row for row in values if values[row].mean() <= highest}


@pytest.mark.parametrize(("rows", "seeds"), [(5, 3), (5, 5), (13, 3)])
def test_bold_is_what_stepwise_tukey_and_the_paired_test_leave(rows, seeds):
    compared = 0
    for seed in range(8):
        samples = table(seed, rows, seeds, steps=1.0)
        values = {row: np.array(list(by_seed.values())) for row, by_seed in samples.items()}
        if not significance._ordinary(np.array(list(values.values())))[0].all():
            continue  # rows set apart are decided by their own noise
        compared += 1
        best = max(values, key=lambda row: values[row].mean())
        assert bold(samples, "higher") == set(values) - told_apart(values, rows, best, seeds)
    assert compared >= 6


def test_rows_told_apart_leave_the_count_of_those_that_may_be_best_by_chance():
    near = {"a": [4.0, 5.5, 4.6, 5.1], "b": [1.9, 3.7, 2.6, 1.8], "c": [4.4, 5.2, 4.9, 4.7]}
    far = {f"far{row}": [row + 0.4 - 90, row - 0.5 - 90, row + 0.7 - 90, row - 0.6 - 90] for row in range(9)}
    rows = {row: dict(enumerate(values)) for row, values in (near | far).items()}
    critical = significance._critical_q(12, significance._freedom(12, 4)), significance._critical_q(3, 13.0)
    assert critical[0] > 1.2 * critical[1]
    assert bold(rows, "higher") == {"a", "c"}


NOISY = {"wild": [98.0, 12.0, 60.0], "good": [95.1, 94.9, 95.3], "same": [95.0, 95.2, 94.8], "low": [92.1, 91.8, 92.0]}
"""A row of which one seed trains, one does not, and one does by half."""


def by_seed(samples):
    return {row: dict(enumerate(values)) for row, values in samples.items()}


def test_a_row_far_noisier_than_the_others_hides_nothing_and_is_undecided():
    without = {row: values for row, values in NOISY.items() if row != "wild"}
    said = compare(by_seed(NOISY), "higher")
    assert (said.bold, said.undecided) == ({"good", "same"}, ("wild",))
    assert compare(by_seed(without), "higher").bold == {"good", "same"}
    assert said.detectable < 2
    assert compare(by_seed(NOISY), None).undecided == ()


def test_a_noisy_row_with_the_best_mean_does_not_make_all_others_bold():
    said = compare(by_seed(NOISY | {"wild": [70.0, 150.0, 120.0]}), "higher")
    assert (said.bold, said.undecided) == ({"wild", "good", "same"}, ())


def test_a_noisy_row_is_bold_where_its_mean_is_as_near_as_any_rows_would_have_to_be():
    said = compare(by_seed(NOISY | {"wild": [85.0, 105.0, 95.3]}), "higher")
    assert (said.bold, said.undecided) == ({"wild", "good", "same"}, ())


@pytest.mark.parametrize(("shift", "expected"), [(-900.0, {"good", "same"}), (900.0, {"wild"})])
def test_a_noisy_row_is_told_apart_where_even_its_own_noise_says_so(shift, expected):
    said = compare(by_seed(NOISY | {"wild": [shift + value for value in (70.0, 110.0, 90.0)]}), "higher")
    assert (said.bold, said.undecided) == (expected, ())


def test_several_noisy_rows_do_not_hide_each_other():
    random = np.random.default_rng(5)
    samples = random.normal(size=(9, 5))
    samples[[2, 7]] *= 30
    ordinary, std = significance._ordinary(samples)
    assert list(np.flatnonzero(~ordinary)) == [2, 7]
    rest = np.delete(samples, [2, 7], 0)
    rest = rest - rest.mean(0) - rest.mean(1, keepdims=True) + rest.mean()
    assert std == pytest.approx(math.sqrt((rest**2).sum() / (6 * 4)))


def test_of_equally_noisy_rows_few_are_set_apart():
    random = np.random.default_rng(11)
    set_apart = sum(not significance._ordinary(random.normal(size=(13, 3)))[0].all() for _ in range(1000))
    assert 0 < set_apart < 60  # 2 % for the noisiest alone; those that join later have quieter ones before them


def test_a_true_tie_is_rarely_told_apart():
    lost = sum("row0" not in bold(table(seed, 5, 3), "higher") for seed in range(1000))
    assert lost / 1000 < 0.05


def test_lower_is_better_where_it_is():
    rows = {"slow": dict(enumerate([9.0, 9.1, 9.2])), "fast": dict(enumerate([1.0, 1.2, 1.1]))}
    assert (bold(rows, "lower"), bold(rows, "higher")) == ({"fast"}, {"slow"})
    assert bold(rows, None) == frozenset()


def test_below_three_seeds_nothing_is_bold():
    rows = {"a": {0: 1.0, 1: 1.1}, "b": {0: 9.0, 1: 9.1}}
    assert compare(rows, "higher") == Comparison(pool=("a", "b"), bold=frozenset(), undecided=(), detectable=None)


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
        ({"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0, 0.0], "c": [0.0, 0.0, 0.0]}, {"a", "b", "c"}),
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


def test_the_detectable_difference_among_many_rows_is_seen_in_80_percent_of_tables():
    rows, seeds, tables = 5, 3, 20_000
    noise = np.random.default_rng(4).normal(size=(tables, rows, seeds))
    difference = noise[:, 0] - noise[:, 1] + significance._detectable(rows, rows, seeds)
    residual = noise - noise.mean(1, keepdims=True) - noise.mean(2, keepdims=True) + noise.mean((1, 2), keepdims=True)
    pooled = (residual**2).sum((1, 2)) / (rows - 1) / (seeds - 1)
    std = np.sqrt((pooled + difference.var(1, ddof=1) / 2) / 2)
    tukey = difference.mean(1) > significance._critical_q(rows, significance._freedom(rows, seeds)) * std / seeds**0.5
    paired = stats.ttest_1samp(difference, 0, axis=1).pvalue < 0.05
    assert (tukey & paired).mean() == pytest.approx(0.8, abs=0.012)  # four standard errors


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


def test_a_noisy_row_that_is_far_the_best_is_bold_alone():
    rows = {
        "base": [16.9, 23.5, 19.9],
        "2": [11.9, 12.1, 12.3],
        "8": [54.1, 67.9, 67.3],
        "none": [14.6, 22.0, 18.6],
        "rope": [19.0, 17.8, 16.9],
        "0.2": [16.6, 21.8, 19.5],
    }
    said = compare({row: dict(enumerate(values)) for row, values in rows.items()}, "higher")
    assert (said.bold, said.undecided) == ({"8"}, ())


def test_the_best_mean_is_bold_and_no_ordinary_row_below_one_that_is_told_apart():
    plain = 0
    for seed in range(300):
        samples = table(seed, 6, 3, steps=1.2)
        samples["row3"] = {at: value + 6 * (value - 90) for at, value in samples["row3"].items()}
        said = compare(samples, "higher")
        means = {row: sum(values.values()) for row, values in samples.items()}
        assert max(means, key=means.__getitem__) in said.bold
        ordered = [row for row in sorted(means, key=means.__getitem__, reverse=True) if row != "row3"]
        shown = [row in said.bold for row in ordered]
        assert shown == sorted(shown, reverse=True)
        plain += not all(shown)
    assert plain > 200
