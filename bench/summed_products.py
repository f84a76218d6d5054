"""Products that are summed: attention written as an element-wise product and a sum, found by following tensors.

Attention over a window of neighbours, over sampled points or over branches is often `(query * keys).sum(-1)`: no matrix
product runs, and yet each element is one multiply-add. What tells it from a scaled sum is that both factors vary along
a dimension that is summed; what tells it from a norm is that they are two tensors and not one squared.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLY = ("aten::mul", "aten::mul_", "aten::multiply", "aten::multiply_")
SUM = ("aten::sum",)
COPY = ("aten::clone", "aten::_to_copy", "aten::_unsafe_view", "aten::_reshape_alias")


@dataclass(frozen=True, kw_only=True)
class Product:
    """An element-wise product. `sizes` are its factors' dimensions, 1 where a factor repeats itself along one."""

    sizes: tuple[tuple[int, ...], tuple[int, ...]] | None  # None: a view rearranged the dimensions since

    def contracted_by(self, dims: Any, rank: int) -> bool:
        """Whether a sum over `dims` (none: all) runs along a dimension in which both factors vary."""
        if self.sizes is None:
            return True
        summed = [dim % rank for dim in dims] if dims else range(rank)
        return any(all(size[dim] > 1 for size in self.sizes) for dim in summed)


class Products:
    """The products that are still alive, and how many of their elements were summed."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._alive: Any = WeakTensorKeyDictionary()

    def summed(self, operator: str, func: Any, args: tuple[Any, ...], result: Any) -> int:
        """Follow one operator that ran; the multiply-adds that it completes, mostly 0."""
        import torch

        if operator in MULTIPLY and isinstance(args[1], torch.Tensor):
            self._multiplied(args[0], args[1], result)
            return 0
        source = args[0] if args else None
        if not isinstance(source, torch.Tensor) or source not in self._alive:
            return 0
        product = self._alive[source]
        if operator in SUM:
            dims = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
            return source.numel() if product.contracted_by(dims, source.dim()) else 0
        if func._schema.is_mutable:  # something else was written over it
            del self._alive[source]
        elif func.is_view or operator in COPY:
            kept = product.sizes if getattr(result, "shape", None) == source.shape else None
            for view in result if isinstance(result, list | tuple) else [result]:
                self._alive[view] = Product(sizes=kept)
        return 0

    def _multiplied(self, left: "Tensor", right: "Tensor", result: "Tensor") -> None:
        if left is right or left.numel() == 1 or right.numel() == 1:
            self._alive.pop(result, None)
            return
        self._alive[result] = Product(sizes=(_varying(left, result.dim()), _varying(right, result.dim())))


def _varying(factor: "Tensor", rank: int) -> tuple[int, ...]:
    """Sizes of a factor in the `rank` dimensions of a product, 1 where it is broadcast or expanded."""
    own = [size if stride else 1 for size, stride in zip(factor.shape, factor.stride(), strict=True)]
    return (1,) * (rank - len(own)) + tuple(own)
