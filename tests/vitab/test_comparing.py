"""Two rows beside each other: what `vitab compare` says is what the predictions in the store say."""

import numpy as np
import pytest
from scipy.stats import binomtest, t

from bench.store import Store


def _right(store, patch, seed):
    """Which images a row of the small study is right on."""
    (record,) = [
        record
        for record in store.read().records.values()
        if record.measure == "top1" and (record.trial.model.knobs["patch"], record.trial.seed) == (patch, seed)
    ]
    with np.load(store.path / record.artifacts["predictions"], allow_pickle=False) as kept:
        return kept["labels"] == kept["top1"]


def test_two_rows_are_compared_by_their_means_and_image_by_image(finished, call):
    said = call("compare", "small.yaml", "4", "2", "top1")
    assert said.code == 0, said.err
    first, second, apart, *images = said.out.splitlines()
    store = Store(finished.path)
    rights = {(patch, seed): _right(store, patch, seed) for patch in (2, 4) for seed in (0, 1)}
    differences = [100 * (rights[4, seed].mean() - rights[2, seed].mean()) for seed in (0, 1)]
    half = t.isf(0.025, 1) * np.std(differences, ddof=1) / np.sqrt(2)
    assert first.startswith("4 · top1: ")
    assert second.startswith("2 · top1: ")
    value, interval = (text.replace("−", "-") for text in apart.removeprefix("difference to 2: ").split(" ± "))
    assert float(value.split()[0]) == pytest.approx(np.mean(differences), abs=0.05)
    assert float(interval.split()[0]) == pytest.approx(half, rel=0.05)
    for seed, line in enumerate(images):
        alone = int((rights[4, seed] & ~rights[2, seed]).sum())
        other = int((rights[2, seed] & ~rights[4, seed]).sum())
        p = binomtest(alone, alone + other, 0.5).pvalue  # McNemar's exact test
        assert line.startswith(f"seed {seed}, image by image beside 2: both right on ")
        assert f"this row alone on {alone}, that one alone on {other}" in line
        assert line.endswith(f"p = {p:.2g})")
    assert len(images) == 2


def test_a_count_is_compared_without_an_interval(finished, call):
    said = call("compare", "small.yaml", "2", "4", "flops").out.splitlines()
    assert len(said) == 3
    assert said[2].startswith("difference to 4: +")
    assert "±" not in said[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("4", "4", "top1"), "row '4' stands twice: two rows are compared"),
        (("4", "3", "top1"), "no row '3'; allowed: 2, 4"),
        (("4", "2", "top11"), "no column 'top11'; nearest: 'top1'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(study, call, words, said):
    answer = call("compare", "small.yaml", *words)
    assert (answer.code, answer.err) == (2, f"{said}\n")


def test_what_is_not_measured_is_said(study, call):
    answer = call("compare", "small.yaml", "4", "2", "top1")
    assert (answer.code, answer.out) == (1, "4 · top1: pending\n2 · top1: pending\n")
