"""Counting: the multiply-adds of one forward pass, by module and by operator; one multiply-add is one FLOP.

The forward pass runs once under a dispatcher that sees every operator, on the device that the module is on: on meta
tensors nothing is computed and no memory is taken. Each operator is counted by a formula, free by convention, or makes
the count fail, by its name and its module's; a composite one is taken apart until one of these holds. The result fills
fvcore's own report class, so that its tables per module and per operator work unchanged. What goes past torch's
dispatcher (NumPy, a kernel launched by hand) is not seen on real tensors, and does not run on meta ones.

Conventions: `macs` counts linear layers, convolutions, matrix products and attention, as papers do; `fvcore` also
normalisation, pooling and resizing by fvcore's estimates, as published csv files do. Products that are summed are
multiply-adds in both, whether by a matrix product, an element-wise one and a sum, or one by one
(`bench/summed_products.py`, which also says what it does not see), and so is sampling between pixels.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from bench import models, skeleton
from bench.errors import Invalid, UserError, unknown
from bench.multiply_adds import FORMULAS, FREE, FVCORE, LABELS, Rule
from bench.summed_products import Products
from bench.trial import Input, Model

if TYPE_CHECKING:
    from fvcore.nn import FlopCountAnalysis
    from torch import nn

CONVENTIONS = ("macs", "fvcore")

NAMED_AT_MOST = 3  # operators that an error lists


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one forward pass costs. Modules go by their dotted names; "" is the whole."""

    convention: str
    report: "FlopCountAnalysis"  # fvcore's report, filled: what fvcore.nn prints, it prints of this

    @property
    def total(self) -> int:
        """Multiply-adds of the whole forward pass."""
        return int(self.report.total())

    @property
    def params(self) -> int:
        """Parameters of the module, trained or frozen, each once however often it is used."""
        return sum(parameter.numel() for parameter in self.report._model.parameters())

    def by_module(self) -> dict[str, int]:
        """Multiply-adds of every module, those of its children included."""
        return {name: int(count) for name, count in self.report.by_module().items()}

    def by_operator(self, module: str = "") -> dict[str, int]:
        """Multiply-adds of a module by what is computed (linear, conv, attention, …), the largest first."""
        return dict(self.report.by_operator(module).most_common())

    def table(self, max_depth: int = 3) -> str:
        """fvcore's table of parameters and multiply-adds per module."""
        from fvcore.nn import flop_count_table

        return str(flop_count_table(self.report, max_depth=max_depth))

    def __str__(self) -> str:
        return self.table()


def count(module: "nn.Module", inputs: tuple[Any, ...], *, convention: str = "macs") -> Counts:
    """Count `module(*inputs)`, in the mode (training or evaluation) that the module is in.

    Raises Invalid where an operator ran that no rule knows.
    """
    with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
        warnings.filterwarnings("ignore", "`torch.jit.script` is")
        from fvcore.nn import FlopCountAnalysis
        from fvcore.nn.jit_analysis import Statistics

    if convention not in CONVENTIONS:
        raise UserError(unknown("convention", convention, CONVENTIONS))
    _check_not_scripted(module)
    report = FlopCountAnalysis(module, inputs)
    tape = _Tape(products=Products(), estimates=FVCORE if convention == "fvcore" else {})
    with _scopes(module, report, tape), _every_operator(tape):
        module(*inputs)
    if tape.unknown:
        raise Invalid(_uncountable(tape.unknown))
    counts: dict[str, Counter[str]] = {name: Counter() for name in set(report._aliases.values())}
    for (scope, label), multiply_adds in tape.counted.items():
        for name in report._get_all_ancestors(scope):
            counts[name][label] += multiply_adds
    unsupported: dict[str, Counter[str]] = {name: Counter() for name in counts}
    report._stats = Statistics(counts=counts, unsupported_ops=unsupported, uncalled_mods=set(counts) - tape.called)
    return Counts(convention=convention, report=report)


def of_model(model: Model, input: Input, *, convention: str = "macs") -> Counts:
    """Count one image through a model in evaluation mode. Raises Invalid as `count` does.

    On meta tensors; with real ones on the CPU where the forward pass depends on values.
    """
    import torch

    shape = (1, input.channels, input.image, input.image)
    try:
        return count(skeleton.of(model, input), (torch.empty(shape, device="meta"),), convention=convention)
    except RuntimeError as problem:
        if not models.wants_values(problem):
            raise
    return count(models.build(model, input).eval(), (torch.zeros(shape),), convention=convention)


def _check_not_scripted(module: "nn.Module") -> None:
    """Refuse what TorchScript runs: its parts are not called one by one, and what each costs could not be said."""
    import torch

    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise Invalid(f"cannot count {name or 'a module'} in TorchScript; count the module that it was made from")


def _uncountable(found: set[tuple[str, str]]) -> str:
    """One line that names operators without a rule, and a module in which each ran."""
    first = dict(sorted(found, reverse=True))
    listed = [f"{operator} in {scope or 'the model itself'}" for operator, scope in sorted(first.items())]
    more = f" and {len(listed) - NAMED_AT_MOST} more" if len(listed) > NAMED_AT_MOST else ""
    return f"cannot count {', '.join(listed[:NAMED_AT_MOST])}{more}: no rule says what that costs"


@dataclass(kw_only=True)
class _Tape:
    """One forward pass: what is running, what was counted, and what no rule knows."""

    products: Products
    estimates: dict[str, Rule]  # rules of the convention for operators that are taken apart, or free, all the same
    scopes: list[str] = field(default_factory=lambda: [""])  # modules that are running, the innermost last
    called: set[str] = field(default_factory=lambda: {""})
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)  # (module, label) → multiply-adds
    unknown: set[tuple[str, str]] = field(default_factory=set)  # (operator, module)
    label: str | None = None  # what the outermost operator with a label computes
    estimated: bool = False  # inside an operator that an estimate covers whole

    @contextlib.contextmanager
    def inside(self, operator: str) -> Iterator[Rule | None]:
        """While an operator runs; yields the estimate that counts for it."""
        outside = self.label, self.estimated
        estimate = None if self.estimated else self.estimates.get(operator)
        self.label = self.label or LABELS.get(operator)
        self.estimated = self.estimated or estimate is not None
        try:
            yield estimate
        finally:
            self.label, self.estimated = outside

    def add(self, label: str, multiply_adds: int) -> None:
        """Count something that the innermost module did."""
        if multiply_adds:
            self.counted[self.scopes[-1], self.label or label] += multiply_adds


@contextlib.contextmanager
def _scopes(module: "nn.Module", report: "FlopCountAnalysis", tape: _Tape) -> Iterator[None]:
    """Tell the tape which module is running, by hooks that also leave a forward pass that raises."""
    handles = []
    for part in module.modules():
        name = report._aliases[part]
        if not name:
            continue

        def enter(part: Any, args: Any, name: str = name) -> None:
            tape.scopes.append(name)
            tape.called.add(name)

        def leave(part: Any, args: Any, result: Any) -> None:
            tape.scopes.pop()

        handles.append(part.register_forward_pre_hook(enter, prepend=True))
        handles.append(part.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _every_operator(tape: _Tape) -> Iterator[None]:
    """Send every operator past the tape. Below autograd composite ones arrive whole, whatever the grad mode outside."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    composite = torch._C.DispatchKey.CompositeImplicitAutograd

    class Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
        supports_higher_order_operators = True

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if isinstance(func, torch._ops.HigherOrderOperator):  # made of functions that are not ours to run
                raise Invalid(_uncountable({(func._name, tape.scopes[-1])}))
            operator = func._schema.name
            rule = FORMULAS.get(operator)
            with tape.inside(operator) as estimate:
                if rule is None and not _free(func) and func.has_kernel_for_dispatch_key(composite):
                    with self:
                        result = func.decompose(*args, **kwargs)
                else:
                    result = func(*args, **kwargs)
                    if rule is not None:
                        tape.add(rule[0], rule[1](_positional(func, args, kwargs), result))
                    elif not _free(func):
                        tape.unknown.add((operator, tape.scopes[-1]))
                    tape.add("multiply_sum", tape.products.summed(operator, func, args, result))
            if estimate is not None:
                tape.add(estimate[0], estimate[1](_positional(func, args, kwargs), result))
            return result

    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole layer would hide what it computes
    try:
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd(), Observer():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


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
