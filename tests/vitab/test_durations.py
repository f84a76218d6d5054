import pytest

from vitab.durations import clock, duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (0.4, "1 s"),
        (59.6, "60 s"),
        (89, "89 s"),
        (90, "2 min"),
        (200, "3 min"),
        (89 * 60, "89 min"),
        (90 * 60, "1 h 30 min"),
        (7199.9, "2 h 0 min"),
        (47 * 3600, "47 h 0 min"),
        (72 * 3600, "3 days"),
    ],
)
def test_durations_are_rounded_to_what_matters(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "00:00"), (-3, "00:00"), (21.4, "00:21"), (725, "12:05"), (10_810, "3:00:10")]
)
def test_clocks_have_two_digits(seconds, said):
    assert clock(seconds) == said
