"""The optimizer, by timm's factory; what decays and what does not; which layers learn more slowly.

adamw is torch's (Loshchilov and Hutter, ICLR 2019), its kernel fused: one call a step for all weights.
"""

import importlib.util
import re
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid
from bench.trial import Train

if TYPE_CHECKING:
    import torch
    from torch import nn

POSITIONS = ("pos_embed", "cls_token", "dist_token", "relative_position_bias_table")

NOT_HERE = re.compile(r"fused|bnb|adahessian$")
"""Of timm's names those that need other packages, or second derivatives."""


@cache
def names() -> tuple[str, ...] | None:
    """What `train.optimizer` may name, read from timm's files without importing it; None where it is not installed."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return None
    registered = (Path(found.origin).parent / "optim" / "_optim_factory.py").read_text(encoding="utf-8")
    return tuple(sorted(name for name in re.findall(r"\bname='(\w+)'", registered) if not NOT_HERE.match(name)))


def optimizer(model: "nn.Module", train: Train) -> "torch.optim.Optimizer":
    """The recipe's optimizer of a model's weights. Raises Invalid for numbers that it does not have."""
    from timm.optim import create_optimizer_v2, get_optimizer_info  # type: ignore[attr-defined]

    given: dict[str, Any] = {"fused": True} if train.optimizer == "adamw" else {}
    given |= {name: value for name, value in (("betas", train.betas), ("eps", train.eps)) if value is not None}
    known = get_optimizer_info(train.optimizer)
    for name, has in (("betas", known.has_betas), ("eps", known.has_eps)):
        if name in given and not has:  # timm drops it without a word
            raise Invalid(f"optimizer {train.optimizer} has no {name}: leave train.{name} out")
    try:
        made: torch.optim.Optimizer = create_optimizer_v2(
            groups(model, train),
            opt=train.optimizer,
            lr=train.lr,
            weight_decay=train.weight_decay,
            momentum=train.momentum,
            **given,
        )
    except (AssertionError, TypeError, ValueError) as problem:
        raise Invalid(f"optimizer {train.optimizer}: {str(problem).splitlines()[0]}") from problem
    return made


def groups(model: "nn.Module", train: Train) -> list[dict[str, Any]]:
    """Weights in groups that share their decay and, with `layer_decay`, their layer's share of the rate (`lr_scale`).

    Where only matrices and kernels decay, biases, norms, tables of positions and tokens do not, nor what a library's
    model names in `no_weight_decay`. Layers and their shares are timm's: layer_decay^(layers above), 1 for the head.
    """
    if train.layer_decay is not None:
        if not hasattr(model, "group_matcher"):
            raise Invalid(f"{type(model).__name__} does not say which layers it has: leave train.layer_decay out")
        from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]

        layered: list[dict[str, Any]] = param_groups_layer_decay(
            model,
            weight_decay=train.weight_decay,
            no_weight_decay_list=_spared(model, train),
            weight_decay_exclude_1d=train.decayed == "matrices",
            layer_decay=train.layer_decay,
        )
        return layered
    spared = _spared(model, train)
    by_decay: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, value in model.named_parameters():
        if value.requires_grad:
            by_decay[(value.ndim > 1 or train.decayed == "all") and name not in spared].append(value)
    return [
        {"params": values, "weight_decay": train.weight_decay if decays else 0.0}
        for decays, values in by_decay.items()
        if values or decays
    ]


def _spared(model: "nn.Module", train: Train) -> set[str]:
    """Names of weights that do not decay, whatever their shape."""
    said: Callable[[], set[str]] = getattr(model, "no_weight_decay", set)
    kept = set() if train.decayed == "all" else set(said())
    return {
        name
        for name, _ in model.named_parameters()
        if name in kept
        or (train.decayed == "matrices" and name.rpartition(".")[2] in POSITIONS)
        or any(fnmatch(name, pattern) for pattern in train.undecayed)
    }
