import math

import numpy as np
import pytest

from ablations.printed import parse
from reports.claims import Claim, Explain, Source
from reports.table import ClaimCell
from reports.verdicts import Measured, noise_of_difference, verdict

SWIN = Source(paper="Swin, ICCV 2021", table="Table 1")


def claim(printed, **fields):
    return Claim(printed=printed, source=SWIN, **fields)


def counted(value, **fields):
    return Measured(unit="parameters", samples=(value,), **fields)


def percent(*samples, **fields):
    return Measured(unit="%", samples=samples, **fields)


def test_a_count_that_prints_as_printed_is_reproduced():
    assert verdict(claim("4.5G"), counted(4_490_566_656)) == ClaimCell(
        printed="4.5G", source="Swin, ICCV 2021, Table 1", verdict="reproduced", deviation=0.0
    )


def test_a_count_within_one_percent_of_the_nearer_end_is_close():
    said = verdict(claim("29M"), counted(28_288_354))
    assert (said.verdict, said.note) == ("close", None)
    assert said.deviation == (28_288_354 - 28.5e6) / 28.5e6


@pytest.mark.parametrize(
    ("value", "word"),
    [(28.5e6, "reproduced"), (29.5e6, "close"), (29.794e6, "close"), (29.796e6, "deviates"), (28.21e6, "deviates")],
)
def test_the_ends_of_the_interval_and_of_one_percent(value, word):
    assert verdict(claim("29M"), counted(value)).verdict == word


def test_a_paper_that_cuts_off_is_read_so():
    assert verdict(claim("23M"), counted(23_508_032)).verdict == "close"
    assert verdict(claim("23M", printed_by="truncation"), counted(23_508_032)).verdict == "reproduced"


def test_a_second_computation_that_prints_as_printed_explains_and_its_number_is_told():
    explained = claim("307M", explain=Explain(note="ViT-L/32"))
    said = verdict(explained, counted(304_715_752, second=306_630_000.0))
    assert (said.verdict, said.note) == ("explained", "ViT-L/32: 306.63M")


def test_a_second_computation_that_gives_another_number_explains_nothing():
    explained = claim("307M", explain=Explain(note="without head"))
    said = verdict(explained, counted(250e6, second=249e6))
    assert (said.verdict, said.note) == ("deviates", "without head: 249.00M")
    assert verdict(explained, counted(250e6)).verdict == "deviates"


def test_a_number_copied_from_another_table_is_explained_by_it():
    copied = claim("37.0G", explain=Explain(note="EfficientNet, Table 2", copied="37B"))
    said = verdict(copied, Measured(unit="multiply-adds", samples=(37.746e9,)))
    assert (said.verdict, said.note) == ("explained", "EfficientNet, Table 2: 37B")


def test_of_two_printed_values_the_one_that_agrees_decides():
    assert verdict(claim("88.4/88.5*"), percent(88.47)).verdict == "reproduced"


def test_given_weights_that_score_as_printed_are_reproduced_and_trainings_are_within_noise():
    assert verdict(claim("81.4"), percent(81.388)).verdict == "reproduced"
    assert verdict(claim("81.4"), percent(81.388, seeded=True)).verdict == "within_noise"


def test_given_weights_are_held_against_the_finite_test_set():
    # 1.96 · sqrt(0.814 · 0.186 / 50,000) = 0.34 points
    assert verdict(claim("81.7"), percent(81.388, images=50_000)).verdict == "within_noise"
    said = verdict(claim("82.2"), percent(81.388, images=50_000))
    assert (said.verdict, said.note) == ("deviates", "−0.76 points, noise explains ±0.34 (95 %)")


def test_what_is_no_share_of_images_is_held_against_the_noise_that_was_found():
    # 1.96 · 0.4 = 0.78 points
    found = Measured(unit="AP", samples=(50.0,), std_over_images=0.4)
    assert verdict(claim("50.7"), found).verdict == "within_noise"
    said = verdict(claim("51.3"), found)
    assert (said.verdict, said.note) == ("deviates", "−1.25 points, noise explains ±0.78 (95 %)")
    unknown = verdict(claim("51.3"), Measured(unit="AP", samples=(50.0,)))
    assert (unknown.verdict, unknown.note) == ("not_comparable", "one value of unknown noise")


def test_trainings_are_held_against_the_noise_of_seeds():
    assert verdict(claim("81.3"), percent(80.0, 81.0, 80.4, seeded=True)).verdict == "within_noise"
    assert verdict(claim("81.3"), percent(79.0, 79.1, 79.2, seeded=True)).verdict == "deviates"


def test_one_training_on_its_own_has_unknown_noise():
    said = verdict(claim("81.3"), percent(79.0, seeded=True))
    assert (said.verdict, said.note) == ("not_comparable", "one value of unknown noise")


def test_one_training_is_held_against_the_spread_that_the_paper_prints():
    said = verdict(claim("99.5 ± 0.1"), percent(20.9, seeded=True, images=445))
    # 1.96 · sqrt(2 · 0.1² + 100² · 0.209 · 0.791 / 445) = 3.79 points
    assert (said.verdict, said.note) == ("deviates", "−78.55 points, noise explains ±3.79 (95 %)")
    assert verdict(claim("99.5 ± 0.1"), percent(99.2, seeded=True)).verdict == "within_noise"
    assert verdict(claim("99.5 ± 0.1"), percent(99.1, seeded=True)).verdict == "deviates"  # 1.96 · 0.1 · √2 = 0.28


@pytest.mark.parametrize("percents", [0.0, 100.0])
def test_no_accuracy_is_without_noise_on_a_finite_test_set(percents):
    # half an image of 50: 1.96 · 100 · sqrt(0.01 · 0.99 / 50) = 2.76 points
    beyond = abs(percents - 3)
    assert verdict(claim(f"{beyond:.0f}"), percent(percents, images=50)).verdict == "within_noise"
    far = abs(percents - 4)
    assert verdict(claim(f"{far:.0f}"), percent(percents, images=50)).verdict == "deviates"


def test_the_noise_covers_a_reported_run_in_95_percent_of_tables_where_nothing_differs():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        samples = random.normal(80, 1, 5)
        (reported,) = parse(f"{random.normal(80, 1):.4f}")
        noise = noise_of_difference(reported, percent(*samples, seeded=True))
        covered += abs(samples.mean() - reported.value) <= noise
    assert abs(covered / 2000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize("unit", ["images/s", "s", "bytes"])
def test_what_hardware_decides_is_not_compared(unit):
    said = verdict(claim("755.2"), Measured(unit=unit, samples=(755.2,)))
    assert (said.verdict, said.note) == ("not_comparable", "another device or another software: only ratios compare")


def test_another_protocol_is_not_compared_and_says_which():
    said = verdict(claim("81.3"), percent(81.3, differs="image 224, reported at 384"))
    assert (said.verdict, said.note) == ("not_comparable", "image 224, reported at 384")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("pending", "pending"),
        ("running", "pending"),
        ("needs", "pending"),
        ("failed", "failed"),
        ("invalid", "failed"),
        ("conflict", "failed"),
        ("not_applicable", "not_comparable"),
    ],
)
def test_without_a_number_the_state_decides(state, word):
    said = verdict(claim("81.3", note="as in v1"), Measured(unit="%", state=state))
    assert said == ClaimCell(printed="81.3", source="Swin, ICCV 2021, Table 1", verdict=word, note="as in v1")


def test_a_dash_compares_with_nothing():
    assert verdict(claim("–"), counted(1.0)).verdict == "not_comparable"


def test_what_is_below_a_bound_of_zero_has_no_relative_deviation():
    said = verdict(claim("> 0"), counted(-0.26))
    assert (said.verdict, said.deviation) == ("deviates", None)


def test_a_printed_zero_has_no_relative_deviation():
    said = verdict(claim("0", printed_by="truncation"), counted(-3.0))
    assert (said.verdict, said.deviation) == ("deviates", None)
