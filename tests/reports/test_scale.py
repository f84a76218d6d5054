import pytest

from ablations.printed import parse
from reports.scale import alone, scale, show


def written(unit, values, stds=()):
    own = scale(unit, values, stds)
    return [show(value, own) for value in values], own.unit


@pytest.mark.parametrize(
    ("unit", "values", "texts", "head"),
    [
        ("parameters", [28_288_354, 304_715_752], ["28.29M", "304.72M"], None),
        ("parameters", [57_322, 58_234], ["57.3k", "58.2k"], None),
        ("parameters", [906], ["906"], None),
        ("multiply-adds", [0.99e6, 3.7e6], ["0.99M", "3.70M"], None),
        ("multiply-adds", [4_490_566_656, 839.25e9], ["4.49G", "839.25G"], None),
        ("%", [81.388, 7.0], ["81.39", "7.00"], "%"),
        ("images/s", [1156.74, 27.31], ["1156.7", "27.3"], "img/s"),
        ("images/s", [22_500.0, 1156.74], ["22,500", "1,157"], "img/s"),
        ("s", [0.0123, 0.31], ["12.30", "310.00"], "ms"),
        ("bytes", [1.5e9, 22.25e9], ["1.50", "22.25"], "GB"),
        ("layers", [12, 24], ["12", "24"], "layers"),
        (None, [12, 24], ["12", "24"], None),
        (None, [0.5, 24], ["0.500", "24.000"], None),
    ],
)
def test_a_column_has_one_scale(unit, values, texts, head):
    assert written(unit, values) == (texts, head)


def test_a_small_number_beside_a_large_one_shows_two_digits_and_the_large_one_is_not_drawn_out():
    assert written("parameters", [57_322, 936_533_416]) == (["0.057M", "936.533M"], None)


def test_zero_and_an_empty_column_have_a_scale():
    assert written("parameters", [0]) == (["0"], None)
    assert written("%", []) == ([], "%")


@pytest.mark.parametrize(
    ("stds", "texts"),
    [
        ([1.03, 2.61], ["93.8", "67.5"]),
        ([0.23, 0.11], ["93.78", "67.46"]),
        ([0.996], ["93.8", "67.5"]),
        ([0.0], ["93.78", "67.46"]),
    ],
)
def test_decimals_follow_the_noise(stds, texts):
    assert written("%", [93.78, 67.46], stds)[0] == texts


def test_a_difference_has_its_sign_and_zero_has_none():
    points = scale("%", [90.0], [1.0])
    assert [show(value, points, signed=True) for value in (-26.31, 0.4, -0.01, 0.01)] == ["−26.3", "+0.4", "0.0", "0.0"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (28_288_354, "parameters", "28.29M"),
        (4.4906e9, "multiply-adds", "4.49G"),
        (81.388, "%", "81.39%"),
        (0.0123, "s", "12.30 ms"),
        (755.2, "images/s", "755 img/s"),
    ],
)
def test_one_number_alone_names_its_unit_and_is_read_back(value, unit, text):
    assert alone(value, unit) == text
    (number,) = parse(text)
    assert number.holds(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.0, "8"),
        (65_536.0, "65,536"),
        (2.4, "2.4"),
        (0.880797, "0.8808"),
        (824.6337, "824.6"),
        (-0.26, "−0.26"),
        (14.5588, "14.56"),
        (0.0, "0"),
        (5.551e-17, "5.6e−17"),
    ],
)
def test_a_bare_number_has_the_digits_that_it_needs(value, text):
    assert alone(value, "") == text
