"""What a formula's knobs say more than they seem to: numbers may be quoted from tables, and models are named."""

from collections.abc import Callable
from typing import Any

from ablations.conversion import shown
from ablations.fields import FieldProblem
from ablations.quoting import quoted
from bench.errors import UserError

FORMULA = "formula"
"""The model of ours whose knobs do."""


def knobs_of(knobs: dict[str, Any], part: Callable[[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """Knobs with the numbers that are quoted, and with each model as `part` resolves it by its name."""
    numbers, parts = knobs.get("numbers", {}), knobs.get("models", {})
    for name, said in (("numbers", numbers), ("models", parts)):
        if not isinstance(said, dict):
            raise FieldProblem(("model", name), f"model.{name} must be a mapping of names, not {shown(said)}")
    return knobs | {
        "numbers": {name: _number(value) for name, value in numbers.items()},
        "quoted": {name: text for name, value in numbers.items() if (text := _cells_named(value))},
        "models": {name: part(name, value) for name, value in parts.items()},
    }


def _number(value: Any) -> Any:
    """A number as given, or what the cell that is named prints; of a list, all of them."""
    try:
        if isinstance(value, list):
            found = [quoted(one) if isinstance(one, str) else one for one in value]
            return [number for one in found for number in (one if isinstance(one, tuple) else (one,))]
        return quoted(value) if isinstance(value, str) else value
    except UserError as problem:
        raise FieldProblem(("model", "numbers"), str(problem)) from problem


def _cells_named(value: Any) -> str:
    """The cells that a number, or several, are quoted from."""
    return ", ".join(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))
