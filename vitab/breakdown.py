"""Where parameters and multiply-adds are: by module, parts that are alike in one line, or by operator; as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from bench.counting import Counts
from bench.trial import Frozen
from reports.scale import alone

if TYPE_CHECKING:
    from torch import nn

DEEPEST = 4  # names such as layers.0.blocks.1: inside an attention or an MLP, ask by operator

LEFT = ("model", "module", "operator", "left out")  # columns of text


class Part(Frozen):
    """A module with everything inside it."""

    params: int
    flops: int


def parts(counts: Counts, deepest: int = DEEPEST) -> dict[str, Part]:
    """Every module down to a depth that has parameters or computes something, in the order of the model."""
    modules: dict[str, nn.Module] = dict(counts.report._model.named_modules())
    flops = counts.by_module()
    found = {}
    for name, module in modules.items():
        if name.count(".") < deepest:
            part = Part(params=sum(value.numel() for value in module.parameters()), flops=flops.get(name, 0))
            if part.params or part.flops:
                found[name] = part
    return found


def folded(named: Mapping[str, Part]) -> dict[str, tuple[int, Part]]:
    """Modules whose names differ only by numbers (`blocks.0`, …) and that count alike: how many, and their sum."""
    alike: dict[tuple[tuple[str, ...], Part], list[list[str]]] = {}
    for name, part in named.items():
        pieces = name.split(".")
        pattern = tuple("*" if piece.isdigit() else piece for piece in pieces)
        alike.setdefault((pattern, part), []).append(pieces)
    return {
        ".".join(_together(column) for column in zip(*members, strict=True)): (
            len(members),
            Part(params=part.params * len(members), flops=part.flops * len(members)),
        )
        for (_, part), members in alike.items()
    }


def _together(pieces: Iterable[str]) -> str:
    """`7`, `0–11` or `0,2,5`: what stands in one place of several names."""
    distinct = list(dict.fromkeys(pieces))
    if len(distinct) == 1:
        return distinct[0]
    numbers = sorted(int(piece) for piece in distinct)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    return ",".join(map(str, numbers))


def by_module(counts: Counts) -> str:
    """Every module with its share; one that only holds the next is left out."""
    lines = list(folded(parts(counts)).items())
    rows = []
    for at, (name, (many, part)) in enumerate(lines):
        inner, (_, same) = lines[min(at + 1, len(lines) - 1)]
        if not name or not (inner.startswith(f"{name}.") and same == part):
            rows.append((*_named(name, many), *_shown(part), _share(part.flops, counts.total)))
    return table(rows, ("module", "", "params", "FLOPs", "share"))


def by_operator(counts: Counts) -> str:
    """What is counted, then what computes and is left out by convention, with how many numbers it makes."""
    rows = [
        (name, alone(count, "multiply-adds"), _share(count, counts.total))
        for name, count in counts.by_operator().items()
    ]
    counted = table(rows, ("operator", "FLOPs", "share"))
    left_out = [(kind, alone(made, "multiply-adds")) for kind, made in counts.left_out.items()]
    return f"{counted}\n\n{table(left_out, ('left out', 'numbers computed'))}" if left_out else counted


def difference(one: Counts, other: Counts) -> str:
    """Modules whose counts differ, those of the first less those of the other."""
    own, theirs, none = parts(one), parts(other), Part(params=0, flops=0)
    differences = {
        name: Part(
            params=own.get(name, none).params - theirs.get(name, none).params,
            flops=own.get(name, none).flops - theirs.get(name, none).flops,
        )
        for name in {**own, **theirs}
    }
    lines = folded({name: part for name, part in differences.items() if part != none})
    if not lines:
        return "no module counts otherwise"
    rows = [(*_named(name, many), *_shown(part, signed=True)) for name, (many, part) in lines.items()]
    return table(rows, ("module", "", "params", "FLOPs"))


def table(rows: Sequence[tuple[Any, ...]], headers: tuple[str, ...]) -> str:
    """Text to the left, numbers to the right."""
    aligned = ["left" if header in LEFT else "right" for header in headers]
    return tabulate(rows, headers=headers, tablefmt="github", colalign=aligned, disable_numparse=True)


def _named(name: str, many: int) -> tuple[str, str]:
    return name or "(all)", f"×{many}" if many > 1 else ""


def _shown(part: Part, *, signed: bool = False) -> tuple[str, str]:
    """Parameters and multiply-adds, each at its own scale: one column reaches from a bias to the whole model."""
    numbers = ((part.params, "parameters"), (part.flops, "multiply-adds"))
    return tuple(  # type: ignore[return-value]
        ("−" if number < 0 else "+" if signed and number else "") + alone(abs(number), unit) for number, unit in numbers
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
