"""AdamW (Loshchilov and Hutter, ICLR 2019), β = (0.9, 0.999), ε = 1e-8; what decays and what does not."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.trial import Train

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import AdamW

POSITIONS = ("pos_embed", "cls_token", "relative_position_bias_table")


def adamw(model: "nn.Module", train: Train) -> "AdamW":
    """Weight decay on matrices and kernels; none on biases, norms, tables of positions and the class token.

    Nor on what a library's model names in `no_weight_decay`. The kernel is fused: one call a step for all weights.
    """
    from torch.optim import AdamW

    named: Callable[[], set[str]] = getattr(model, "no_weight_decay", set)
    spared = named()
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, value in model.named_parameters():
        if value.requires_grad:
            groups[value.ndim > 1 and name not in spared and name.rpartition(".")[2] not in POSITIONS].append(value)
    return AdamW(
        [
            {"params": groups[True], "weight_decay": train.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=train.lr,
        fused=True,
    )
