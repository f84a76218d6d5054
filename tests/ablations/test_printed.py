"""Outside truth: Python's own formatting prints a value as the text whose interval holds it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.printed import Printed, in_unit, parse
from bench.errors import UserError


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("29M", 29e6, 28.5e6, 29.5e6),
        ("4.5G", 4.5e9, 4.45e9, 4.55e9),
        ("4.5B", 4.5e9, 4.45e9, 4.55e9),
        ("9.9k", 9900, 9850, 9950),
        ("0.23M", 230_000, 225_000, 235_000),
        ("1.2T", 1.2e12, 1.15e12, 1.25e12),
        ("755.2", 755.2, 755.15, 755.25),
        ("1,797", 1797, 1796.5, 1797.5),
        ("1.2e3", 1200, 1150, 1250),
        ("1.0e+20", 1e20, 0.95e20, 1.05e20),
        ("2.3 · 10^19", 2.3e19, 2.25e19, 2.35e19),
        ("14 Million", 14e6, 13.5e6, 14.5e6),
        ("−26.3", -26.3, -26.35, -26.25),
        ("-2", -2, -2.5, -1.5),
        ("≈4.5G", 4.5e9, 4.45e9, 4.55e9),
        ("≈200,000", 200_000, 150_000, 250_000),  # the zeros that end it are no digits
        ("~100M", 100e6, 95e6, 150e6),  # 94 with one digit is 90, and 96 is 100
        ("≈-100", -100, -150, -95),
    ],
)
def test_a_printed_number_is_the_interval_of_what_prints_like_it(text, value, low, high):
    assert parse(text) == (Printed(value=value, low=low, high=high),)


@pytest.mark.parametrize(
    ("text", "low", "high"), [("23M", 23e6, 24e6), ("4.5G", 4.5e9, 4.6e9), ("-0.7", -0.8, -0.7), ("0.0", 0.0, 0.1)]
)
def test_a_number_that_was_cut_off_begins_its_interval(text, low, high):
    (number,) = parse(text, "truncation")
    assert (number.low, number.high) == (low, high)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("81.3%", "%", 81.3),
        ("755.2 img/s", "images/s", 755.2),
        ("8.2 ms", "s", 0.0082),
        ("1.5 GB", "bytes", 1.5e9),
        ("2GiB", "bytes", 2**31),
        ("4.1x", "×", 4.1),
    ],
)
def test_a_unit_that_is_printed_is_kept_and_the_value_is_in_base_units(text, unit, value):
    (number,) = parse(text)
    assert (number.unit, number.value) == (unit, value)


def test_what_stands_after_plus_minus_is_the_spread():
    assert parse("88.55 ± 0.04") == (Printed(value=88.55, low=88.545, high=88.555, std=0.04),)


def test_two_values_in_a_cell_are_two_numbers_and_the_mark_belongs_to_its_own():
    first, second = parse("88.4/ 88.5*")
    assert (first.value, first.mark, second.value, second.mark) == (88.4, "", 88.5, "*")


@pytest.mark.parametrize("text", ["-", "–", "—", "_", "", " n/a "])
def test_a_dash_is_no_number(text):
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("> 2", 2.01, 2.0), ("≥2", 2.0, 1.99), ("<5", 4.99, 5.0), ("<= 5", 5.0, 5.01)],
)
def test_a_bound_is_an_interval_that_ends_on_one_side(text, inside, outside):
    (number,) = parse(text)
    assert number.holds(inside)
    assert not number.holds(outside)
    assert math.isfinite(number.nearest_end(outside))


@pytest.mark.parametrize("text", ["many", "4.5Q", "1m", "81,3", "4.5 G G", "29M params", "1.2.3", "±3"])
def test_text_that_is_no_number_is_one_clear_line(text):
    with pytest.raises(UserError) as raised:
        parse(text)
    assert str(raised.value).startswith(f"{text!r} is no printed number; allowed: '29M', ")


@pytest.mark.parametrize("text", ["1e9999999", "1e400", "1e-400", "2 · 10^999", "1" + " " * 200_000 + "x", "9" * 400])
def test_a_number_beyond_all_sense_is_refused_at_once(text):
    with pytest.raises(UserError, match="is no printed number") as raised:
        parse(text)
    assert len(str(raised.value)) < 200


@given(st.from_regex(r"[<≈]?-?[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,4})?( ± [0-9]{1,9})? ?(T|GiB|%)?", fullmatch=True))
def test_what_is_read_is_finite(text):
    try:
        (number,) = parse(text)
    except UserError:
        return
    assert math.isfinite(number.value)
    assert math.isinf(number.low) or number.low <= number.value <= number.high


@pytest.mark.parametrize(
    ("text", "unit", "fits"),
    [("81.3%", "%", True), ("81.3%", "points", True), ("81.3", "%", True), ("29M", "parameters", True),
     ("4.1x", None, True), ("755.2 img/s", "images/s", True), ("8 ms", "s", True), ("29 s", "parameters", False),
     ("4.5GB", "multiply-adds", False), ("81.3%", None, False)],
)  # fmt: skip
def test_a_printed_unit_is_the_quantity_s_or_none(text, unit, fits):
    (number,) = parse(text)
    assert in_unit(number, unit) == fits


@given(st.decimals(-1000, 1000, places=6), st.integers(0, 4))
def test_what_python_prints_of_a_value_holds_that_value(exact, decimals):
    (number,) = parse(f"{exact:.{decimals}f}")
    halfway = (abs(exact) * 10**decimals * 2) % 2 == 1  # Python rounds those to even, papers away from zero
    assert halfway or number.holds(float(exact))


@given(st.floats(0, 1e6), st.integers(0, 3))
def test_an_interval_is_closed_at_its_end_nearer_to_zero_only(size, decimals):
    (number,) = parse(f"{size:.{decimals}f}")
    (mirrored,) = parse(f"-{size:.{decimals}f}")
    assert (number.holds(number.low), number.holds(number.high)) == (number.low >= 0, False)
    assert (mirrored.low, mirrored.high) == (-number.high, -number.low)
