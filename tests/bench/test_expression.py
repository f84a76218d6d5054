import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import Invalid
from bench.expression import evaluate, exact, names, parse


def value(text, functions=None, **numbers):
    tree = parse(text)
    known = {
        name: tuple(map(exact, number)) if isinstance(number, tuple) else exact(number)
        for name, number in numbers.items()
    }
    names(tree, functions or {})
    return evaluate(tree, known, functions or {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 * 256**2 * 500 + 500", 98_304_500),
        ("-2**2", -4),
        ("sqrt(64)", 8),
        ("0.1 + 0.2", Fraction(3, 10)),  # decimals are exact
        ("81.3 - 79.8", Fraction(3, 2)),
        ("9.9 / 2.5", Fraction(99, 25)),
        ("2**-3", Fraction(1, 8)),
        ("2**0.5", math.sqrt(2)),
        ("erf(1 / 2)", math.erf(0.5)),
        ("log(exp(3))", 3),
        ("max(1, 5, 3) - min(4, 2)", 3),
    ],
)
def test_an_expression_has_the_value_that_it_has_in_arithmetic(text, expected):
    assert value(text) == expected


def test_a_name_stands_for_a_number_or_for_several():
    assert value("best - max(others)", best=68.5, others=(66.4, 68.1, 62.1)) == Fraction(4, 10)


def test_a_function_of_a_model_is_told_the_models_name_and_what_stands_beside_it():
    told = []

    def size(model, arguments):
        told.append((model, arguments))
        return Fraction(56)

    assert value('size(swin, "layers.0", 1) / 8', {"size": size}) == 7
    assert told == [("swin", ["layers.0", 1])]


def test_names_of_numbers_and_of_models_are_told_apart():
    functions = {"params": lambda model, arguments: Fraction(1)}
    assert names(parse('params(vit, "head") / total'), functions) == ({"total"}, {"vit"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "is no part of an expression"),
        ("().__class__", "is no part of an expression"),
        ("[1 for _ in (1, 2)]", "is no part of an expression"),
        ("lambda: 1", "is no part of an expression"),
        ("1 if 2 else 3", "is no part of an expression"),
        ("max(*others)", "is no part of an expression"),
        ("max(1, key=2)", "is no part of an expression"),
        ("a < b", "is no part of an expression"),
        ("True", "is no part of an expression"),
        ("1 +", "is no expression"),
        ("", "is no expression"),
        ("(" * 300, "is no expression"),
        ("1 + " * 200 + "1", "at most 400"),
        ("sine(1)", "no function 'sine'; nearest: 'sin'"),
        ("sqrt('a')", "of numbers, not of text"),
        ("1 / 0", "divides by zero"),
        ("sqrt(0 - 1)", "has no value"),
        ("(0 - 8)**0.5", "has no value"),
        ("9**9**9**9", "has no value"),
        ("exp(1000)", "has no value"),
        ("10**101", "too large"),
        ("'a'", "the text 'a' and no number"),
    ],
)
def test_what_is_no_arithmetic_is_one_line(text, said):
    with pytest.raises(Invalid, match=r"^[^\n]*$") as caught:
        value(text)
    assert said in str(caught.value)


def test_several_numbers_are_no_value():
    with pytest.raises(Invalid, match="several numbers"):
        value("others", others=(1, 2))


@given(st.text(alphabet="0123456789.+-*/() ,absqrtmx_e'[]{}:", max_size=40))
def test_any_text_has_a_value_or_is_invalid(text):
    try:
        found = value(text)
    except Invalid:
        return
    except KeyError as problem:  # a name that the caller has nothing for
        assert str(problem.args[0]).isidentifier()  # noqa: PT017
        return
    assert math.isfinite(found)
