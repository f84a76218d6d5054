"""formula: the value of an expression, over numbers and over what is counted of, or read off, the models that it names.

params(m)  params(m, "head.*")        parameters of a model; of those alone whose names match the pattern or lie in
                                      the module that it names
flops(m)   flops(m, "blocks.0.attn")  multiply-adds of one forward pass over one image; of one module alone
read(m, "blocks.0.attn.num_heads")    a number that a module holds; of a pair of equal ones, the one
size(m, "layer1", 2)                  what a module returns is so large along an axis, the batch's being axis 0
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from bench import counting, expression, skeleton
from bench.errors import Invalid, unknown
from bench.expression import Number
from bench.models import formula
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
DEPENDS_ON = ("model",)
MODELS = ("formula",)
PRODUCES: dict[str, tuple[str, str | None]] = {"value": ("", None)}
REMEASURE_IF_CHANGED = ("timm", "torchvision")

_STEP = re.compile(r"[A-Za-z0-9]\w*")  # nothing private


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Evaluate the expression. Raises Invalid for a model that is no formula, and for what a model does not have."""
    if trial.model.name not in MODELS:
        raise Invalid(f"{trial.model.name} is no formula, and so it has no value")
    knobs = msgspec.convert(trial.model.knobs, formula.Knobs)
    formula.check(knobs, trial.input)
    for part in knobs.models.values():
        subject.bound |= skeleton.library(part.model)
    tree = expression.parse(knobs.expression)
    value = expression.evaluate(tree, formula.exact_numbers(knobs), _functions(knobs.models))
    return {"value": Quantity(samples=(float(value),), unit="", better=None)}


def _functions(parts: dict[str, formula.Part]) -> dict[str, expression.OfModel]:
    """The functions of models, of those that the expression names."""
    counted: dict[str, counting.Counts] = {}

    def flops(name: str, arguments: list[str | int]) -> Number:
        (module,) = _arguments("flops", arguments, str) if arguments else ("",)
        if name not in counted:
            counted[name] = counting.of_model(parts[name].model, parts[name].input)
        by_module = counted[name].by_module()
        if module not in by_module:
            raise Invalid(unknown(f"module of {parts[name].model.name}", module, by_module))
        return Fraction(by_module[module])

    def of(read: Callable[..., Number], name: str) -> expression.OfModel:
        return lambda part, arguments: read(parts[part], name, arguments)

    return {"flops": flops} | {name: of(read, name) for name, read in _OF_MODULE.items()}


def _arguments(function: str, given: list[str | int], *kinds: type) -> list[Any]:
    """What a function is told beside a model. Raises Invalid where it is something else than it needs."""
    if [type(one) for one in given] != list(kinds):
        needs = ", ".join("a text" if kind is str else "a number" for kind in kinds)
        raise Invalid(f"{function}() needs a model and {needs}")
    return list(given)


def _params(part: formula.Part, function: str, arguments: list[str | int]) -> Number:
    (pattern,) = _arguments(function, arguments, str) if arguments else ("*",)
    sizes = {name: value.numel() for name, value in _module(part).named_parameters()}
    found = [size for name, size in sizes.items() if fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")]
    if not found:
        raise Invalid(unknown(f"parameter of {part.model.name}", pattern, sizes))
    return Fraction(sum(found))


def _read(part: formula.Part, function: str, arguments: list[str | int]) -> Number:
    (path,) = _arguments(function, arguments, str)
    value: Any = _module(part)
    for step in path.split("."):
        if not (_STEP.fullmatch(step) and hasattr(value, step)):
            raise Invalid(f"{part.model.name} has no {path!r}: nothing is called {step!r} there")
        value = getattr(value, step)
    if isinstance(value, tuple | list) and value and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int | float):
        raise Invalid(f"{path!r} of {part.model.name} is no number")
    return expression.exact(float(value))


def _size(part: formula.Part, function: str, arguments: list[str | int]) -> Number:
    import torch

    name, axis = _arguments(function, arguments, str, int)
    model = _module(part)
    modules = dict(model.named_modules())
    if name not in modules:
        raise Invalid(unknown(f"module of {part.model.name}", name, modules))
    shapes: list[tuple[int, ...]] = []
    hook = modules[name].register_forward_hook(lambda module, given, returned: shapes.append(tuple(returned.shape)))
    try:
        images = torch.empty(1, part.input.channels, part.input.side, part.input.side, device="meta")
        with torch.no_grad():
            model(images)
    finally:
        hook.remove()
    if not shapes or not 0 <= axis < len(shapes[0]):
        raise Invalid(f"{name} of {part.model.name} returns nothing with an axis {axis}")
    return Fraction(shapes[0][axis])


def _module(part: formula.Part) -> "nn.Module":
    return skeleton.of(part.model, part.input)


_OF_MODULE: dict[str, Callable[[formula.Part, str, list[str | int]], Number]] = {
    "params": _params,
    "read": _read,
    "size": _size,
}
