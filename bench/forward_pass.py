"""One forward pass: every operator that runs goes past a tape, which counts it, names it as left out, or as unknown.

A composite operator is taken apart until a rule knows it or it is free by convention.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bench import flexible_attention
from bench.errors import Invalid
from bench.multiply_adds import FREE, LABELS, LEFT_OUT, OTHERWISE, Rule, attention_weights
from bench.summed_products import Products

NAMED_AT_MOST = 3  # operators that an error lists


@dataclass(kw_only=True)
class Tape:
    """One forward pass: what is running, what was counted, and what no rule knows."""

    rules: Mapping[str, Rule]
    estimates: Mapping[str, Rule]  # those of the convention for operators that are taken apart, or free, all the same
    scopes: list[str] = field(default_factory=lambda: [""])  # modules that are running, the innermost last
    called: set[str] = field(default_factory=lambda: {""})
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)  # (module, label) → multiply-adds
    left_out: Counter[str] = field(default_factory=Counter)  # kind → numbers computed
    unknown: set[tuple[str, str]] = field(default_factory=set)  # (operator, module)
    label: str | None = None  # what the outermost operator with a label computes
    estimated: bool = False  # inside an operator that an estimate covers whole
    kind: str | None = None  # of the outermost operator that is left out whole

    def __post_init__(self) -> None:
        self.products = Products(self.scopes)

    @contextlib.contextmanager
    def inside(self, func: Any) -> Iterator[tuple[Rule | None, str | None]]:
        """While an operator runs; yields the estimate that counts for it, and the kind under which it is left out."""
        outside = self.label, self.estimated, self.kind
        operator = func._schema.name
        estimate = None if self.estimated else self.estimates.get(operator)
        kind = None if self.kind else _kind(func)
        self.label = self.label or LABELS.get(operator)
        self.estimated = self.estimated or estimate is not None
        self.kind = self.kind or kind
        try:
            yield estimate, None if self.estimated else kind
        finally:
            self.label, self.estimated, self.kind = outside

    def add(self, label: str, multiply_adds: int) -> None:
        """Count something that the innermost module did."""
        if multiply_adds:
            self.counted[self.scopes[-1], self.label or label] += multiply_adds

    def uncountable(self) -> str:
        """One line that names operators without a rule, and a module in which each ran."""
        first = dict(sorted(self.unknown, reverse=True))
        listed = [f"{operator} in {scope or 'the model itself'}" for operator, scope in sorted(first.items())]
        more = f" and {len(listed) - NAMED_AT_MOST} more" if len(listed) > NAMED_AT_MOST else ""
        return f"cannot count {', '.join(listed[:NAMED_AT_MOST])}{more}: no rule says what that costs"

    def leave_out(self, kind: str, result: Any) -> None:
        """Name something that is free although it computes: how many numbers it made."""
        made = result[0] if isinstance(result, tuple | list) else result
        if made.is_floating_point() or made.is_complex():
            self.left_out[kind] += made.numel()


@contextlib.contextmanager
def every_operator(tape: Tape) -> Iterator[None]:
    """Send every operator past the tape. Below autograd composite ones arrive whole, whatever the grad mode outside."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    composite = torch._C.DispatchKey.CompositeImplicitAutograd

    class Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
        supports_higher_order_operators = True

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if isinstance(func, torch._ops.HigherOrderOperator):  # made of functions that are not ours to run
                return _made_of_functions(func, args, kwargs, tape)
            rule = tape.rules.get(func._schema.name)
            with tape.inside(func) as (estimate, kind):
                if rule is None and not _free(func) and func.has_kernel_for_dispatch_key(composite):
                    with self:
                        result = func.decompose(*args, **kwargs)
                else:
                    result = func(*args, **kwargs)
                    _ran(func, args, kwargs, result, tape)
            if estimate is not None:
                tape.add(estimate[0], estimate[1](_positional(func, args, kwargs), result))
            if kind is not None:
                tape.leave_out(kind, result)
            return result

    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole layer would hide what it computes
    try:
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd(), Observer():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


def _ran(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, tape: Tape) -> None:
    """Count an operator that ran whole."""
    operator = func._schema.name
    rule = tape.rules.get(operator)
    if rule is not None:
        given = _positional(func, args, kwargs)
        tape.add(rule[0], rule[1](given, result))
        if rule[0] == "attention":
            tape.left_out["softmax"] += attention_weights(given, result)
    elif not _free(func):
        tape.unknown.add((operator, tape.scopes[-1]))
    # A norm written out multiplies and sums, and is a norm; what the gates of a recurrent layer do is a gate's
    if tape.kind != "normalisation" and tape.label != "recurrent":
        summed = tape.products.summed(operator, func, args, result)
        tape.add("multiply_sum", summed)
        tape.left_out["multiplication"] -= summed


def _made_of_functions(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tape: Tape) -> Any:
    """Run and count an operator that is made of functions. Raises Invalid for all but flexible attention."""
    if func._name != flexible_attention.OPERATOR:
        tape.unknown.add((func._name, tape.scopes[-1]))
        raise Invalid(tape.uncountable())
    result = flexible_attention.attended(func, args, kwargs)
    label, formula = tape.rules[func._name]
    tape.add(label, formula(args, result))
    tape.left_out["softmax"] += attention_weights(args, result)
    return result


@cache
def _kind(func: Any) -> str | None:
    """What kind of free computation an operator is, if any."""
    import torch

    name = func._schema.name.removesuffix("_")
    if name in LEFT_OUT:
        return LEFT_OUT[name]
    computes = torch.Tag.pointwise in func.tags and not func.is_view and name not in FREE
    return OTHERWISE if computes else None


@cache
def _free(func: Any) -> bool:
    """Whether an operator costs nothing by convention: a view, pointwise by torch's own tag, or listed."""
    import torch

    if func.namespace not in ("aten", "prims", "prim"):
        return False
    name = func._schema.name
    return bool(func.is_view or torch.Tag.pointwise in func.tags or name in FREE or name.removesuffix("_") in FREE)


def _positional(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """All arguments in the schema's order, defaults filled in."""
    rest = func._schema.arguments[len(args) :]
    return [*args, *(kwargs.get(argument.name, argument.default_value) for argument in rest)]
