"""formula: no network, but an expression whose value is asked for: over numbers, and over what is counted of models.

`expression` is of the language of `bench/expression.py`; `numbers` and `models` say what its names stand for. What is
measured of it is `value` (`bench/measures/formula.py`, which says what can be asked of a model).
"""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from bench import expression
from bench.errors import Invalid, unknown
from bench.trial import Frozen, Input, Model, Pixels

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

OF_MODEL = ("params", "flops", "read", "size")
"""Functions whose first argument is a model."""


class Part(Frozen):
    """A model that an expression names, and the images that it eats."""

    model: Model
    image: Pixels
    channels: Annotated[int, Meta(ge=1)] = 3
    classes: Annotated[int, Meta(ge=0)] = 1000

    @property
    def input(self) -> Input:
        """What the model eats, as a trial says it."""
        return Input(image=self.image, channels=self.channels, classes=self.classes)


class Knobs(Frozen):
    """What the value is computed from; equal knobs are the same formula."""

    expression: str
    numbers: dict[str, float | tuple[float, ...]] = {}
    models: dict[str, Part] = {}
    quoted: dict[str, str] = {}  # numbers that stand in tables → in which cells


def check(knobs: Knobs, input: Input) -> None:
    """Raise Invalid for an expression that cannot have a value, names of nothing, and what no expression names."""
    del input
    tree = expression.parse(knobs.expression)
    functions: dict[str, expression.OfModel] = dict.fromkeys(OF_MODEL, lambda model, arguments: 1.0)
    numbers, models = expression.names(tree, functions)
    for said, known, kind in ((numbers, knobs.numbers, "number"), (models, knobs.models, "model")):
        if lacking := sorted(said - known.keys()):
            raise Invalid(f"{knobs.expression}: {unknown(kind, lacking[0], known)}")
        if idle := sorted(known.keys() - said):
            raise Invalid(f"{knobs.expression}: does not use the {kind} {idle[0]!r}")
    if strange := sorted(knobs.quoted.keys() - knobs.numbers.keys()):
        raise Invalid(f"{knobs.expression}: quotes {strange[0]!r}, which is no number of it")
    if not models:
        expression.evaluate(tree, exact_numbers(knobs), functions)


def exact_numbers(knobs: Knobs) -> dict[str, expression.Value]:
    """What the names stand for, as they are written."""
    return {
        name: tuple(map(expression.exact, value)) if isinstance(value, tuple) else expression.exact(value)
        for name, value in knobs.numbers.items()
    }


def build(knobs: Knobs, input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """Nothing can be built."""
    del input, dropout, drop_path
    raise Invalid(f"a formula has a value and nothing else: {knobs.expression}")
