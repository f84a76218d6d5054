"""Products that are summed: attention written as an element-wise product and a sum, found by following tensors.

Attention over a window of neighbours, over sampled points or over branches is often `(query * keys).sum(-1)`: no matrix
product runs, and yet each element is one multiply-add. What tells it from a scaled sum is that two factors vary along
a dimension that is summed; what tells it from a norm is that they are two tensors and not one squared.

Each factor is followed as its shape and strides alone, 0 where it repeats itself, through whatever moves, scales, joins
or is added to the product on the way to the sum. Products that are added one by one are a sum where the factors of one
are other slices of the tensors that the other's factors are slices of: `sum(p[:, i] * q[:, i] for i in …)`. Two
products of four tensors are none, or every gate and every rotation of queries and keys would be one.

What is not seen: products written into parts of another tensor (`scores[:, i] = q * k`) that is summed later, products
added one by one whose factors were computed apart from each other, and quotients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from bench.factors import Factor, Followed, Term, joined, laid, merged, slices_of_the_same, taken_from

if TYPE_CHECKING:
    from torch import Tensor

SUM = ("aten::sum", "aten::mean", "aten::nansum", "aten::cumsum")
POOL = {
    "aten::avg_pool1d": 1,
    "aten::avg_pool2d": 2,
    "aten::avg_pool3d": 3,
    "aten::_adaptive_avg_pool2d": 2,
    "aten::_adaptive_avg_pool3d": 3,
}
"""Means over places: how many dimensions, the last ones."""

ADDED_AT_INDEX = ("aten::index_add", "aten::scatter_add", "aten::scatter_reduce")
PUT_AT_INDEX = ("aten::index_put", "aten::_index_put_impl", "aten::_unsafe_index_put")
COPY = ("aten::clone", "aten::_to_copy", "aten::roll", "aten::flip", "aten::constant_pad_nd", "aten::index_select")
TAKE = (*COPY, "aten::index", "aten::gather", "aten::_unsafe_index")  # a slice of what they take from, for our purpose
SCALE = ("aten::mul", "aten::div", "aten::neg", "aten::masked_fill", "aten::rsub", "aten::tril", "aten::triu")
"""By anything: a factor that is no factor here."""


class Products:
    """The products that are still alive, and how many of their elements were summed."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._alive: Any = WeakTensorKeyDictionary()  # tensor → Followed
        self._taken: dict[Any, Any] = {}  # storage → the storage that its values were copied from

    def summed(self, operator: str, func: Any, args: tuple[Any, ...], result: Any) -> int:
        """Follow one operator that ran; the multiply-adds that it completes, mostly 0."""
        name = operator.removesuffix("_")
        if name in TAKE:
            self._take(args[0], result)
        if name == "aten::mul" and _is_tensor(args[1]):
            return self._multiplied(None, args[0], args[1], result)
        if name == "aten::addcmul":
            return self._multiplied(args[0], args[1], args[2], result)
        if name in ("aten::cat", "aten::stack"):
            self._join(args[0], args[1] if len(args) > 1 else 0, result, new=name == "aten::stack")
            return 0
        if name in ("aten::add", "aten::sub"):
            return self._add(self._get(args[0]), self._get(args[1]), result)
        if name in (*ADDED_AT_INDEX, *PUT_AT_INDEX):
            return self._add_at_index(name, args, result)
        if name in ("aten::where", "aten::copy"):
            both = [self._get(arg) for arg in args[1:3]]
            self._set(result, *(each for each in both if each is not None))
            return 0
        source: Any = args[0] if args else None
        followed = self._get(source)
        if followed is None or source.numel() == 0:
            return 0
        if operator in SUM or name in POOL:
            return self._sum(name, followed, args, result)
        if name in (*TAKE, *SCALE):
            self._set(result, followed)
        elif func.is_view or operator == "aten::_unsafe_view":
            self._view(followed, func, args, result)
        elif func._schema.is_mutable:  # something else was written over it
            del self._alive[source]
        return 0

    def _get(self, tensor: Any) -> Followed | None:
        return self._alive.get(tensor) if _is_tensor(tensor) else None

    def _set(self, result: "Tensor", *followed: Followed) -> None:
        """What is alive in a result, which may have been written into place."""
        self._alive.pop(result, None)
        terms = merged(term for each in followed for term in each.into(result.shape).terms)
        if terms:
            self._alive[result] = Followed(terms, len(followed) == 1 and followed[0].pure)

    def _take(self, source: "Tensor", result: "Tensor") -> None:
        """Remember where values were copied from: copies count as slices of one tensor."""
        if (storage := _storage(source)) is not None and (copied := _storage(result)) is not None and copied != storage:
            self._taken[copied] = self._taken.get(storage, storage)

    def _factors(self, tensor: "Tensor", shape: Sequence[int]) -> tuple[Factor, ...]:
        """What a factor is made of, in the shape of the product; itself, where it is no product; one value is none."""
        import torch

        known = self._get(tensor)
        if known is not None and known.pure:
            return known.into(shape).terms[0].factors
        storage = _storage(tensor)
        if storage is None or tensor.numel() == 1:
            return ()
        layout = torch.empty_strided(tensor.shape, tensor.stride(), device="meta").expand(shape)
        origin = self._taken.get(storage, storage)
        return (Factor(layout=layout, storage=storage, start=int(tensor.storage_offset()), origin=origin),)

    def _multiplied(self, added_to: Any, left: "Tensor", right: "Tensor", result: "Tensor") -> int:
        """Two tensors were multiplied, and maybe added to a third."""
        import torch

        shape: Sequence[int] = torch.broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
        factors = () if left is right else self._factors(left, shape) + self._factors(right, shape)
        scaled = [known for side in (left, right) if (known := self._get(side)) is not None]
        if len(factors) > 1:
            product: Followed | None = Followed((Term(factors, prod(shape)),))
        else:  # by one value alone, or of one with itself
            product = scaled[0] if len(scaled) == 1 and left is not right else None
        if added_to is not None:
            return self._add(self._get(added_to), product, result)
        self._set(result, *(() if product is None else (product,)))
        return 0

    def _add(self, left: Followed | None, right: Followed | None, result: Any) -> int:
        """Two tensors were added: a sum of products where theirs are slices of the same tensors."""
        both = [each for each in (left, right) if each is not None]
        if not both:
            if _is_tensor(result):
                self._alive.pop(result, None)
            return 0
        count = 0
        if left is not None and right is not None and left is not right:
            for one in left.terms:
                for other in right.terms:
                    if slices_of_the_same(one, other):
                        count += taken_from(one) + taken_from(other)
        self._set(result, *both)
        if (followed := self._get(result)) is not None:
            self._alive[result] = replace(followed, pure=False)
        return count

    def _sum(self, name: str, followed: Followed, args: tuple[Any, ...], result: "Tensor") -> int:
        """A sum or a mean, running or of everything along some dimensions, or over places."""
        rank = args[0].dim()
        if name in POOL:
            dims = list(range(rank - POOL[name], rank)) if result.shape != args[0].shape else []
        else:
            given = args[1] if len(args) > 1 else None
            dims = [given] if isinstance(given, int) else [dim % rank for dim in given or range(rank)]
        count, left = _contracted(followed, dims)
        if name in POOL or name == "aten::cumsum":
            self._set(result, left)
            return count
        terms = []
        for term in left.terms:
            layouts = [factor.layout for factor in term.factors]
            for dim in dims:
                layouts = [layout.narrow(dim, 0, 1) for layout in layouts]
            if result.dim() < rank:
                layouts = [layout.squeeze(dims) for layout in layouts]
            terms.append(term.shaped(layouts))
        self._set(result, replace(left, terms=tuple(terms)))
        return count

    def _add_at_index(self, name: str, args: tuple[Any, ...], result: "Tensor") -> int:
        """Values were added into a tensor, at places along one dimension, or anywhere."""
        values = args[3] if name in ADDED_AT_INDEX else args[2]
        added = args[3:4] == (True,) if name in PUT_AT_INDEX else args[4:5] not in (("prod",), ("amax",), ("amin",))
        followed, into = self._get(values), self._get(args[0])
        if followed is None:
            return 0
        dims = [args[1]] if name in ADDED_AT_INDEX else range(values.dim())
        count, left = _contracted(followed, dims) if added else (0, followed)
        self._set(result, *(each for each in (into, left) if each is not None))
        return count

    def _join(self, tensors: "Sequence[Tensor]", dim: int, result: "Tensor", *, new: bool) -> None:
        """Tensors became one, along a dimension of theirs or a new one."""
        known = [followed for tensor in tensors if (followed := self._get(tensor)) is not None]
        if not known:
            return
        dim %= result.dim()
        terms = [term for followed in known for term in followed.terms]
        if new:
            terms = [term.shaped([factor.layout.unsqueeze(dim) for factor in term.factors]) for term in terms]
        if len(terms) == len(known) and len({len(term.factors) for term in terms}) == 1:
            terms = [joined(terms, dim, result.shape)]
        self._set(result, Followed(tuple(terms), len(known) == len(tensors) and len(terms) == 1))

    def _view(self, followed: Followed, func: Any, args: tuple[Any, ...], result: Any) -> None:
        """A view was taken: the same one of every factor, where one can be taken of what repeats itself."""
        views = result if isinstance(result, list | tuple) else [result]
        terms: list[list[Term]] = [[] for _ in views]
        for term in followed.terms:
            taken = [_viewed(factor, func, args, views) for factor in term.factors]
            for found, layouts in zip(terms, zip(*taken, strict=True), strict=True):
                found.append(term.shaped(layouts, part=True))
        for view, found in zip(views, terms, strict=True):
            self._set(view, replace(followed, terms=tuple(found)))


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _storage(tensor: "Tensor") -> Any:
    """What two tensors share when one is a view of the other; None where there is no such thing."""
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef

    if tensor.layout != torch.strided:
        return None
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _viewed(factor: Factor, func: Any, args: tuple[Any, ...], views: "Sequence[Tensor]") -> "list[Tensor]":
    """A factor's part in each view. Where dimensions that it repeats were merged with others, it varies along all."""
    try:
        if func._schema.name not in (
            "aten::as_strided",
            "aten::_reshape_alias",
        ):  # these go by the strides of the whole
            taken = func(factor.layout, *args[1:])
            return list(taken) if isinstance(taken, list | tuple) else [taken]
    except RuntimeError:
        pass
    return [laid(view.shape, [True] * view.dim()) for view in views]


def _contracted(followed: Followed, dims: Iterable[int]) -> tuple[int, Followed]:
    """The products that a sum contracts, and those that it leaves alive."""
    dims = list(dims)
    contracted = [term for term in followed.terms if term.contracted(dims)]
    left = tuple(term for term in followed.terms if term not in contracted)
    return sum(map(taken_from, contracted)), replace(followed, terms=left)
