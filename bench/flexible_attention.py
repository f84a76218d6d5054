"""Flexible attention (torch.nn.attention.flex_attention): scores that a function changes, and a mask of blocks thins.

It is an operator made of functions, which torch compiles and which refuses meta tensors; here it runs as it is written,
and on meta tensors not at all. The function of the scores works on each on its own and is free.

It counts as every other attention does, causal and masked ones included: the whole square of queries and keys,
L·S·(E + V) for each head of the queries. What a mask of blocks lets through are values, which meta tensors do not have;
a count would depend on the device. torch's own counter counts the square too.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

OPERATOR = "flex_attention"
MODULE = "torch.nn.attention.flex_attention"


def attended(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the operator returns, the attended values (B, H, L, V) first; on meta tensors their shapes alone."""
    query, value = args[0], args[2]
    if not query.is_meta:
        return func(*args, **kwargs)
    rows = query.shape[:-1]
    return query.new_empty(*rows, value.shape[-1]), query.new_empty(rows), query.new_empty(rows)


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Let it run on any device, as it is written; nothing is done where nobody has imported it."""
    import torch

    module: Any = sys.modules.get(MODULE)
    if module is None:
        yield
        return
    refused = module._validate_device
    module._validate_device = lambda *tensors: None
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        module._validate_device = refused
