"""Expressions: a small language of arithmetic over named numbers, read as data. Nothing of Python's is ever run.

4 * tokens * dim**2 + 2 * tokens**2 * dim       + - * / ** and parentheses, exact on whole numbers and on decimals
exp(a) / (exp(a) + exp(b))                      the functions of FUNCTIONS, in double precision
best - max(others)                              a name may stand for several numbers
params(vit, "head")                             functions of a model, its name first, where the caller has any
"""

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from bench.errors import Invalid, unknown

LONGEST = 400  # characters
MOST_BITS = 4096  # of a power, exactly: 10^1000 has 3,322
LARGEST = Fraction(10) ** 100

Number = Fraction | float
Value = Number | tuple[Number, ...]
OfModel = Callable[[str, list[str | int]], Number]
"""A function of a model: its name, then what else stands in the parentheses."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "cos": math.cos,
    "erf": math.erf,
    "exp": math.exp,
    "log": math.log,
    "max": max,
    "min": min,
    "sin": math.sin,
    "sqrt": math.sqrt,
}

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Pow: lambda left, right: _power(left, right),
}


def exact(value: float) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    return Fraction(str(value))


def parse(text: str) -> ast.expr:
    """An expression's tree. Raises Invalid for text that is none."""
    if len(text) > LONGEST:
        raise Invalid(f"an expression of {len(text):,} characters; at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise Invalid(f"{text!r} is no expression: numbers, names, + - * / ** and functions") from problem
    for node in _parts(tree):
        _check(node, text)
    return tree


def names(tree: ast.expr, functions: Mapping[str, OfModel]) -> tuple[set[str], set[str]]:
    """The names that stand for numbers, and those that stand for models. Raises Invalid for a function there is not."""
    numbers, models = set(), set()
    for node in _parts(tree):
        if isinstance(node, ast.Call):
            called = node.func.id  # type: ignore[attr-defined]
            if called not in FUNCTIONS and called not in functions:
                raise Invalid(unknown("function", called, (*FUNCTIONS, *functions)))
            if called in functions:
                if not (node.args and isinstance(node.args[0], ast.Name)):
                    raise Invalid(f"{called}() is of a model: its name stands first")
                models.add(node.args[0].id)
            elif any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in node.args):
                raise Invalid(f"{called}() is of numbers, not of text")
        elif isinstance(node, ast.Name):
            numbers.add(node.id)
    return numbers - models, models


def evaluate(tree: ast.expr, numbers: Mapping[str, Value], functions: Mapping[str, OfModel]) -> Number:
    """The value of an expression. Raises Invalid where it has none, or one beyond 10^100."""
    try:
        value = _value(tree, numbers, functions)
    except ZeroDivisionError as problem:
        raise Invalid("the expression divides by zero") from problem
    except (ArithmeticError, ValueError, TypeError) as problem:
        raise Invalid(f"the expression has no value: {problem}") from problem
    if isinstance(value, str):
        raise Invalid(f"the expression is the text {value!r} and no number")
    if isinstance(value, tuple):
        raise Invalid("the expression is several numbers: take their max or min")
    if not (isinstance(value, Fraction) or math.isfinite(value)) or abs(value) > LARGEST:
        raise Invalid("the value of the expression is too large")
    number: Number = value
    return number


def _parts(tree: ast.expr) -> Iterator[ast.expr]:
    """Every part of an expression that is one itself; a function's name is none."""
    yield tree
    inner: list[ast.expr] = []
    if isinstance(tree, ast.BinOp):
        inner = [tree.left, tree.right]
    elif isinstance(tree, ast.UnaryOp):
        inner = [tree.operand]
    elif isinstance(tree, ast.Call):
        inner = tree.args
    for part in inner:
        yield from _parts(part)


def _check(node: ast.expr, text: str) -> None:
    """Raise Invalid for a part that the language does not have."""
    allowed = (
        isinstance(node, ast.Name)
        or (isinstance(node, ast.Constant) and type(node.value) in (int, float, str))
        or (isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords)
    )
    if not allowed:
        said = ast.get_source_segment(text.strip(), node) or text
        raise Invalid(f"{said!r} is no part of an expression: numbers, names, + - * / ** and functions")


def _value(node: ast.expr, numbers: Mapping[str, Value], functions: Mapping[str, OfModel]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else exact(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, numbers, functions)
    if isinstance(node, ast.BinOp):
        left, right = (_value(part, numbers, functions) for part in (node.left, node.right))
        return _OPERATORS[type(node.op)](left, right)
    assert isinstance(node, ast.Call)
    name = node.func.id  # type: ignore[attr-defined]
    if name in functions:
        model, *others = node.args
        return functions[name](model.id, [_plain(_value(part, numbers, functions)) for part in others])  # type: ignore[attr-defined]
    return FUNCTIONS[name](*(_value(part, numbers, functions) for part in node.args))


def _plain(value: Any) -> str | int:
    """What a function of a model is told beside it: text or a whole number."""
    if isinstance(value, str):
        return value
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    raise TypeError(f"{value} is neither text nor a whole number")


def _power(base: Number, exponent: Number) -> Number:
    """A power, exactly where the exponent is whole and the digits are few."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = abs(exponent) * max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits > MOST_BITS:
            raise OverflowError("a power of too many digits")
        return base ** int(exponent)
    return math.pow(base, exponent)  # which raises where there is no real one
