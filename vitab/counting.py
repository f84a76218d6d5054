"""`vitab count`: parameters and FLOPs of models, and where they are. Of any module too, for notebooks and tests."""

import argparse
import contextlib
import fnmatch
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ablations.printed import in_unit, parse
from bench import models, registry
from bench.attempt import failure_of
from bench.counting import Counts, count, of_model
from bench.errors import UserError
from bench.multiply_adds import Formula
from bench.trial import Input, Model
from reports.scale import scale, show
from vitab.breakdown import by_module, by_operator, difference, parts, table

if TYPE_CHECKING:
    from torch import nn

By = Literal["module", "operator"]

PATTERN = re.compile(r"[*?\[]")
USUAL_IMAGE = 224  # pixels a side, for ours, which have no size of their own

SAID = {
    "macs": "one multiply-add is one FLOP: linear layers, convolutions, matrix products, attention; one image",
    "fvcore": "one multiply-add is one FLOP; normalisation and pooling too, as fvcore estimates them; one image",
}


def main(options: argparse.Namespace) -> int:
    """The command."""
    return run(
        options.model,
        image=options.image,
        by=options.by,
        convention=options.convention,
        diff=options.diff,
        as_json=options.as_json,
    )


def run(
    names: Sequence[str], *, image: int | None, by: By | None, convention: str, diff: str | None, as_json: bool
) -> int:
    """Count models and print them; 1 where one could not be counted. Raises UserError for a name that is none."""
    meant = [one for name in names for one in _meant(name)]
    asked = [_asked(name, image) for name in (*meant, *([diff] if diff else []))]
    results = []
    for model, input_ in asked:
        result = _counted(model, input_, convention)
        if as_json:
            print(msgspec.json.encode(result.plain("module" if diff else by)).decode(), flush=True)
        if not (by or diff):
            result = result.brief()  # hundreds of models are no reason to keep their modules
        results.append(result)
    if not as_json:
        _print(results, by=by, diff=diff is not None)
        print(f"\n{convention}: {SAID[convention]}")
    for result in results:
        if result.reason:
            named = result.reason.startswith(result.model.name)
            print(result.reason if named else f"{result.model.name}: {result.reason}", file=sys.stderr)
    return int(any(result.reason for result in results))


def of_module(
    module: "nn.Module", input: Any, *, convention: str = "macs", rules: Mapping[str, Formula] | None = None
) -> Counts:
    """Parameters and multiply-adds of a module's forward pass over an input: a tensor, or a tuple of arguments.

    In evaluation mode, on the device of the module: on meta tensors nothing is computed. `rules` are for operators of
    your own: `{"mylib::attention": lambda args, result: …}` gets all arguments by position and the result, and returns
    multiply-adds. Raises Invalid where an operator ran whose cost no rule knows, and where products of tensors, more
    than a hundredth of the count, may have been summed in a way that is not followed.
    """
    with _evaluating(module):
        return count(module, input if isinstance(input, tuple) else (input,), convention=convention, rules=rules)


def assert_counts(
    module: "nn.Module",
    input: Any = None,
    *,
    params: str | float | None = None,
    flops: str | float | None = None,
    convention: str = "macs",
    rules: Mapping[str, Formula] | None = None,
) -> None:
    """Raise AssertionError unless the counts print as given: "4.5G" is met by 4.45e9 up to 4.55e9; a number exactly.

    Parameters need no input; `rules` are those of `vitab.count`. Raises UserError where there is nothing to compare.
    """
    if params is None and flops is None:
        raise UserError("assert_counts compares nothing: give params, flops or both")
    if flops is not None and input is None:
        raise UserError("assert_counts needs an input to count the multiply-adds over")
    wrong = []
    if params is not None:
        total = sum(parameter.numel() for parameter in module.parameters())
        wrong += _differs("parameters", total, params)
    if flops is not None:
        wrong += _differs("multiply-adds", of_module(module, input, convention=convention, rules=rules).total, flops)
    if wrong:
        raise AssertionError("; ".join(wrong))


def _differs(unit: str, counted: int, expected: str | float) -> list[str]:
    """What is wrong with a count, or nothing."""
    if isinstance(expected, int | float):
        return [] if counted == expected else [f"{counted:,} {unit}, expected {expected:,}"]
    printed = parse(expected)
    if not printed or not all(in_unit(number, unit) for number in printed):
        raise UserError(f"{expected!r} is no number that {unit} could be compared with")
    if any(number.holds(counted) for number in printed):
        return []
    ends = " or ".join(f"{number.low:,.12g} to {number.high:,.12g}" for number in printed)
    return [f"{counted:,} {unit}, expected {expected} ({ends})"]


@contextlib.contextmanager
def _evaluating(module: "nn.Module") -> Iterator[None]:
    """Evaluation mode, and back for exactly those parts that were training."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _meant(name: str) -> list[str]:
    """The models that a name means: itself, or all that a pattern with a `*` matches, ours and then timm's."""
    if not PATTERN.search(name):
        return [name]
    library, colon, rest = name.rpartition(":")
    if colon:
        found = fnmatch.filter(models.installed_names(library) or (), rest) if library in models.LIBRARIES else []
    else:
        found = fnmatch.filter(dict.fromkeys((*models.our_names(), *(models.installed_names("timm") or ()))), name)
    if not found:
        raise UserError(f"no model matches {name!r}; such as 'swin_*' or 'torchvision:vit_*'")
    return [f"{library}{colon}{one}" for one in found]


def _asked(name: str, image: int | None) -> tuple[Model, Input]:
    """The model of a name and its input. Raises UserError where there is none, or where they do not go together."""
    model = models.resolve(name, {})
    library, colon, rest = model.name.partition(":")
    usual = models.usual_input(model.name)
    if image is None and "tokens" not in usual:
        image = registry.load("models", library).default_image(rest) if colon else USUAL_IMAGE
    input_ = Input(image=image, **usual)
    for note in models.check(model, input_):
        print(f"{model.name}: {note}", file=sys.stderr)
    return model, input_


@dataclass(frozen=True, kw_only=True)
class _Result:
    """A model counted, or the reason why it is not."""

    model: Model
    input: Input
    convention: str
    params: int | None = None
    flops: int | None = None
    counts: Counts | None = None  # where they are
    reason: str | None = None

    def brief(self) -> "_Result":
        """Without the module that was counted."""
        return replace(self, counts=None)

    def plain(self, by: By | None) -> dict[str, Any]:
        """The machine-readable form; a key without a meaning is absent."""
        size = {"image": self.input.image} if self.input.image else {"tokens": self.input.tokens}
        said: dict[str, Any] = {"model": self.model.name, **size, "convention": self.convention}
        if self.reason is not None:
            return {**said, "state": "failed", "reason": self.reason}
        said |= {"params": self.params, "flops": self.flops, "state": "measured"}
        if self.counts is None:
            return said
        if by == "operator":
            said["operators"] = self.counts.by_operator()
            said["left_out"] = self.counts.left_out
        if by == "module":
            said["modules"] = parts(self.counts)
        return said


def _counted(model: Model, input_: Input, convention: str) -> _Result:
    try:
        counts = of_model(model, input_, convention=convention)
    except Exception as problem:  # noqa: BLE001 one model that cannot be counted does not hide the others
        if not isinstance(problem, UserError):
            traceback.print_exc()
        return _Result(model=model, input=input_, convention=convention, reason=failure_of(problem).reason)
    said = _Result(model=model, input=input_, convention=convention, counts=counts)
    return replace(said, params=counts.params, flops=counts.total)


def _print(results: list[_Result], *, by: By | None, diff: bool) -> None:
    """The table of models, then where what they count is."""
    params = scale("parameters", [result.params for result in results if result.params])
    flops = scale("multiply-adds", [result.flops for result in results if result.flops])
    rows = [
        (
            result.model.name,
            result.input.size,
            "failed" if result.params is None else show(result.params, params),
            "failed" if result.flops is None else show(result.flops, flops),
        )
        for result in results
    ]
    print(table(rows, ("model", "image", "params", "FLOPs")))
    *others, last = results
    if diff and last.counts:
        for other in others:
            if other.counts:
                print(f"\n{other.model.name} at {other.input.size} less {last.model.name} at {last.input.size}")
                print(difference(other.counts, last.counts))
    elif by:
        for result in results:
            if result.counts:
                print(f"\n{result.model.name}")
                print(by_module(result.counts) if by == "module" else by_operator(result.counts))
