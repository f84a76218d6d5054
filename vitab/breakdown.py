"""Where parameters and multiply-adds are: module by module, parts that are alike in one line."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bench.counting import Counts
from bench.trial import Frozen

if TYPE_CHECKING:
    from torch import nn

DEEPEST = 4  # names such as layers.0.blocks.1: inside an attention or an MLP, ask by operator


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
