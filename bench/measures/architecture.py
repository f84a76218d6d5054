"""architecture: what a transformer is made of, as Table 1 of the ViT paper lists it, read from the built module.

layers are blocks of attention and an MLP, hidden the channels that flow through them (D), mlp the hidden units of
their MLP, heads those of their attention (Dosovitskiy et al., ICLR 2021). What differs from block to block, as the
channels of a hierarchical transformer do, is left out: there is no one number.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench import skeleton
from bench.errors import Invalid
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
DEPENDS_ON = ("model", "input")
PRODUCES: dict[str, tuple[str, str | None]] = {
    "layers": ("layers", None),
    "hidden": ("channels", None),
    "mlp": ("channels", None),
    "heads": ("heads", None),
}
REMEASURE_IF_CHANGED = ("timm", "torchvision", "transformers")


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Find the blocks and read their sizes. Raises Invalid for a model that has none."""
    blocks = _blocks(skeleton.of(trial.model, trial.input))
    if not blocks:
        raise Invalid(f"{trial.model.name} has no blocks of attention and an MLP: it is no transformer as ViT is one")
    subject.bound |= skeleton.library(trial.model)
    heads, hidden, mlp = zip(*blocks, strict=True)
    sizes = {"layers": len(blocks), "hidden": _the_one(hidden), "mlp": _the_one(mlp), "heads": _the_one(heads)}
    return {
        name: Quantity(samples=(float(size),), unit=PRODUCES[name][0], better=None)
        for name, size in sizes.items()
        if size is not None
    }


def _blocks(module: "nn.Module") -> list[tuple[int, int, int]]:
    """Heads, channels and hidden units of every block: a module with an attention and an MLP among its children."""
    found = []
    for parent in module.modules():
        children = list(parent.children())
        heads = [size for child in children if isinstance(size := getattr(child, "num_heads", None), int)]
        layers = [layer for child in children if not _attends(child) for layer in _linear_layers(child)]
        if len(heads) == 1 and len(layers) >= 2:  # a gated MLP's first layer is wider than its hidden units
            found.append((heads[0], layers[0].in_features, layers[-1].in_features))
    return found


def _attends(module: "nn.Module") -> bool:
    """Whether a module is, or holds, an attention."""
    return any(isinstance(getattr(part, "num_heads", None), int) for part in module.modules())


def _linear_layers(module: "nn.Module") -> "list[nn.Linear]":
    from torch import nn

    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def _the_one(sizes: Iterable[int]) -> int | None:
    """The size that all blocks share, or None."""
    distinct = set(sizes)
    return distinct.pop() if len(distinct) == 1 else None
