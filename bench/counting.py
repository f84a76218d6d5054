"""Counting: the multiply-adds of one forward pass, by module and by operator; one multiply-add is one FLOP.

The forward pass runs once under a dispatcher that sees every operator, on the device that the module is on: on meta
tensors nothing is computed and no memory is taken. Each operator is counted by a formula, free by convention, or makes
the count fail, by its name and its module's; a composite one is taken apart until one of these holds. The result fills
fvcore's own report class, so that its tables per module and per operator work unchanged. What goes past torch's
dispatcher (NumPy, a kernel launched by hand) is not seen on real tensors, and does not run on meta ones.

Conventions: `macs` counts linear layers, convolutions, matrix products and attention, as papers do; `fvcore` also
normalisation, pooling and resizing by fvcore's estimates, as published csv files do. Products that are summed are
multiply-adds in both, whether by a matrix product, an element-wise one and a sum, or one by one
(`bench/summed_products.py`), and so is sampling between pixels. What is free although it computes is named by its kind.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import flexible_attention, models, registry, skeleton
from bench.errors import Invalid, UserError, unknown
from bench.forward_pass import Tape, every_operator
from bench.multiply_adds import FORMULAS, FVCORE, Formula, Rule
from bench.trial import Input, Model

if TYPE_CHECKING:
    from fvcore.nn import FlopCountAnalysis
    from torch import nn

CONVENTIONS = ("macs", "fvcore")

DOUBT = 0.01  # of a count: a larger share of products that may have been summed unseen is no count


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one forward pass costs. Modules go by their dotted names; "" is the whole."""

    convention: str
    report: "FlopCountAnalysis"  # fvcore's report, filled: what fvcore.nn prints, it prints of this
    left_out: dict[str, int]  # kinds of operators that are free → numbers that they computed, the most first

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


def count(
    module: "nn.Module",
    inputs: tuple[Any, ...],
    *,
    convention: str = "macs",
    rules: Mapping[str, Formula] | None = None,
) -> Counts:
    """Count `module(*inputs)`, in the mode (training or evaluation) that the module is in.

    `rules` say what operators cost that none of ours knows, by name ("mylib::attention"), each a function of (all
    arguments by position, result) that returns multiply-adds.

    Raises Invalid where an operator ran that no rule knows, or where more than a hundredth of the count may be missing,
    as products that were summed in a way that is not followed.
    """
    with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
        warnings.filterwarnings("ignore", "`torch.jit.script` is")
        from fvcore.nn import FlopCountAnalysis

    if convention not in CONVENTIONS:
        raise UserError(unknown("convention", convention, CONVENTIONS))
    _check_not_scripted(module)
    report = FlopCountAnalysis(module, inputs)
    tape = Tape(rules={**FORMULAS, **_given(rules or {})}, estimates=FVCORE if convention == "fvcore" else {})
    with _scopes(module, report, tape), flexible_attention.uncompiled(), every_operator(tape):
        module(*inputs)
    if tape.unknown:
        raise Invalid(tape.uncountable())
    _check_nothing_missing(tape)
    _fill(report, tape)
    return Counts(convention=convention, report=report, left_out=dict((+tape.left_out).most_common()))


def _given(rules: Mapping[str, Formula]) -> dict[str, Rule]:
    """A caller's rules, each under its operator's name. Raises UserError for a name of none, and for no function."""
    import torch

    for operator, formula in rules.items():
        if not callable(formula):
            raise UserError(f"the rule for {operator!r} is no function of (args, result)")
        if "::" not in operator or not torch._C._jit_get_schemas_for_operator(operator):
            raise UserError(
                f"a rule is for the operator {operator!r}, which does not exist; such as 'mylib::attention'"
            )
    return {operator: (operator, formula) for operator, formula in rules.items()}


def _fill(report: "FlopCountAnalysis", tape: Tape) -> None:
    """What was counted, as fvcore's report has it after an analysis of its own."""
    from fvcore.nn.jit_analysis import Statistics

    counts: dict[str, Counter[str]] = {name: Counter() for name in set(report._aliases.values())}
    for (scope, label), multiply_adds in tape.counted.items():
        for name in report._get_all_ancestors(scope):
            counts[name][label] += multiply_adds
    unsupported: dict[str, Counter[str]] = {name: Counter() for name in counts}
    report._stats = Statistics(counts=counts, unsupported_ops=unsupported, uncalled_mods=set(counts) - tape.called)


def of_model(model: Model, input: Input, *, convention: str = "macs") -> Counts:
    """Count one image, or one of each sequence, through a model in evaluation mode. Raises Invalid as `count` does.

    On meta tensors; with real ones on the CPU where the forward pass depends on values. The file that states a model
    may state `RULES` for operators of its own.
    """
    import torch

    rules = getattr(registry.load("models", model.name.partition(":")[0]), "RULES", None)
    try:
        with torch.device("meta"):
            example = models.example(model, input)
        return count(skeleton.of(model, input), example, convention=convention, rules=rules)
    except RuntimeError as problem:
        if not models.wants_values(problem):
            raise
    built = models.build(model, input).eval()
    return count(built, models.example(model, input), convention=convention, rules=rules)


def _check_not_scripted(module: "nn.Module") -> None:
    """Refuse what TorchScript runs: its parts are not called one by one, and what each costs could not be said."""
    import torch

    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise Invalid(f"cannot count {name or 'a module'} in TorchScript; count the module that it was made from")


def _check_nothing_missing(tape: Tape) -> None:
    """Refuse a count of which products that may have been summed unseen would be more than a hundredth."""
    doubted, counted = tape.products.doubted, tape.counted.total()
    if doubted.total() > DOUBT * counted:
        scope, most = doubted.most_common(1)[0]
        raise Invalid(
            f"cannot count {scope or 'the model itself'}: {most:,} products of two tensors are maybe summed there, in "
            f"a way that is not followed, beside {counted:,} multiply-adds in all; write them as a matrix product, or "
            "as one product and one sum"
        )


@contextlib.contextmanager
def _scopes(module: "nn.Module", report: "FlopCountAnalysis", tape: Tape) -> Iterator[None]:
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
