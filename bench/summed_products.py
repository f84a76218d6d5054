"""Products that are summed: attention written as an element-wise product and a sum, found by following tensors.

Attention over a window of neighbours, over sampled points or over branches is often `(query * keys).sum(-1)`: no matrix
product runs, and yet each element is one multiply-add. What tells it from a scaled sum is that two factors vary along
a dimension that is summed; what tells it from a norm is that they are two tensors and not one squared.

Each factor is followed as its shape and strides alone, 0 where it repeats itself, through whatever moves or scales the
product on the way to the sum.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLY = ("aten::mul", "aten::mul_")
SUM = ("aten::sum", "aten::mean", "aten::nansum", "aten::cumsum")
COPY = ("aten::clone", "aten::_to_copy")
SCALE = ("aten::mul", "aten::div", "aten::neg", "aten::masked_fill")  # by anything: a factor that is no factor here


class Products:
    """The products that are still alive, and how many of their elements were summed."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._alive: Any = (
            WeakTensorKeyDictionary()
        )  # product → its factors on meta, in its shape; None: lost on the way

    def summed(self, operator: str, func: Any, args: tuple[Any, ...], result: Any) -> int:
        """Follow one operator that ran; the multiply-adds that it completes, mostly 0."""
        import torch

        if operator in MULTIPLY and isinstance(args[1], torch.Tensor):
            self._multiplied(args[0], args[1], result)
            return 0
        source = args[0] if args else None
        if not isinstance(source, torch.Tensor) or source not in self._alive:
            return 0
        factors = self._alive[source]
        if operator in SUM:
            return source.numel() if factors is None or _contracted(factors, args, source.dim()) else 0
        if operator in COPY or operator.removesuffix("_") in SCALE:
            self._alive[result] = factors if result.shape == source.shape else None
        elif func.is_view or operator == "aten::_unsafe_view":
            self._moved(factors, func, args, result)
        elif func._schema.is_mutable:  # something else was written over it
            del self._alive[source]
        return 0

    def _multiplied(self, left: "Tensor", right: "Tensor", result: "Tensor") -> None:
        """Two tensors were multiplied: what is worth following is a product that some sum could contract."""
        known = [self._factors(factor, result) for factor in (left, right)]
        self._alive.pop(result, None)  # written into place
        if left is right:
            return
        factors = [factor for some in known for factor in some or ()]
        if None in known:
            self._alive[result] = None
        elif any(_varying(factors, dim) > 1 for dim in range(result.dim())):
            self._alive[result] = factors

    def _factors(self, tensor: "Tensor", product: "Tensor") -> "list[Tensor] | None":
        """What a factor is made of, each in the shape of the product; itself, where it is no product."""
        import torch

        if tensor not in self._alive:
            if tensor.layout != torch.strided:
                return []
            own = torch.empty_strided(tensor.shape, tensor.stride(), device="meta")
            return [own.expand(product.shape)]
        factors = self._alive[tensor]
        return None if factors is None else [factor.expand(product.shape) for factor in factors]

    def _moved(self, factors: "list[Tensor] | None", func: Any, args: tuple[Any, ...], result: Any) -> None:
        """A view was taken: the same one of every factor, where one can be taken of what repeats itself."""
        views = result if isinstance(result, list | tuple) else [result]
        moved: list[Any] = [None] * len(views)
        if factors is not None:
            try:
                taken = [func(factor, *args[1:]) for factor in factors]
            except RuntimeError:  # dimensions that a factor repeats were merged with others
                taken = []
            if taken:
                moved = list(zip(*taken, strict=True)) if isinstance(result, list | tuple) else [taken]
        for view, its_factors in zip(views, moved, strict=True):
            self._alive[view] = its_factors


def _contracted(factors: "list[Tensor]", args: tuple[Any, ...], rank: int) -> bool:
    """Whether a sum runs along a dimension in which two factors vary. args: the sum's own, (product, dims or none)."""
    given = args[1] if len(args) > 1 else None
    dims = [given] if isinstance(given, int) else list(given or range(rank))
    return any(_varying(factors, dim) > 1 for dim in dims)


def _varying(factors: "list[Tensor]", dim: int) -> int:
    """How many factors do not repeat themselves along a dimension."""
    return sum(factor.shape[dim] > 1 and factor.stride(dim) != 0 for factor in factors)
