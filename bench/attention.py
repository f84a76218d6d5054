"""Which kernels compute attention: the one that a trial asks for, and the ones that really ran."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bench.errors import Needs

BACKENDS = {
    "math": "MATH",
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
}
"""`trial.attention` → torch.nn.attention.SDPBackend. "torch" leaves the choice to torch."""


@contextlib.contextmanager
def forced(name: str) -> Iterator[None]:
    """Compute every scaled_dot_product_attention with one backend. Raises Needs where that one cannot."""
    if name == "torch":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    try:
        with sdpa_kernel([getattr(SDPBackend, BACKENDS[name])]):
            yield
    except RuntimeError as problem:
        if "No viable backend" in str(problem) or "No available kernel" in str(problem):
            raise Needs(f"attention {name!r} cannot compute this model on this device") from problem
        raise


@contextlib.contextmanager
def observing() -> Iterator[list[dict[str, Any]]]:
    """Fills a list, at the end, with the distinct calls of scaled_dot_product_attention and who computed them.

    Each is {"backend", "heads", "queries", "keys", "head_dim", "mask", "calls"}; the backend is "math" where the call
    fell apart into matrix products. Attention written without that function is not seen: then the list is empty.
    """
    from torch.nn import functional as F
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    counted: Counter[tuple[Any, ...]] = Counter()
    fused: list[str] = []  # operators that ran inside the call at hand

    class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "_attention" in func.name():
                fused.append(func.name())
            return func(*args, **(kwargs or {}))

    class Calls(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is not F.scaled_dot_product_attention:
                return func(*args, **(kwargs or {}))
            fused.clear()
            result = func(*args, **(kwargs or {}))
            given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | (kwargs or {})
            query, key = given["query"], given["key"]
            mask = given.get("attn_mask") is not None
            counted[_backend(fused), *query.shape[-3:-1], key.shape[-2], query.shape[-1], mask] += 1
            return result

    calls: list[dict[str, Any]] = []
    with Operators(), Calls():  # type: ignore[no-untyped-call]
        yield calls
    names = ("backend", "heads", "queries", "keys", "head_dim", "mask")
    calls += [dict(zip(names, call, strict=True)) | {"calls": count} for call, count in sorted(counted.items())]


def _backend(operators: list[str]) -> str:
    """The backend that an operator belongs to: aten::_scaled_dot_product_NAME_attention…"""
    for operator in operators:
        for name in BACKENDS:
            if f"_{name}_attention" in operator:
                return name
    return operators[0] if operators else "math"
