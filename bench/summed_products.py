"""Products that are summed: attention written as an element-wise product and a sum, found by following tensors.

Attention over a window of neighbours, over sampled points or over branches is often `(query * keys).sum(-1)`: no matrix
product runs, and yet each element is one multiply-add. What tells it from a scaled sum is that two factors vary along
a dimension that is summed; what tells it from a norm is that they are two tensors and not one squared.

Each factor is followed as its shape and strides alone, 0 where it repeats itself, through whatever moves, scales, joins
or is added to the product on the way to the sum. Products that are added one by one are a sum where the factors of one
are other slices of the tensors that the other's factors are slices of: `sum(p[:, i] * q[:, i] for i in …)`. Two
products of four tensors are none, or every gate and every rotation of queries and keys would be one.

What cannot be followed is doubted, product by product: those written into parts of another tensor (`scores[:, i] = q *
k`) or moved in ways that are not followed, three or more that are added one by one although their factors were computed
apart from each other, scans among them, and quotients that are summed. A count of which they would be more than a
hundredth is no count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from bench.factors import Factor, Followed, Term, joined, laid, merged, slices_of_the_same

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

_LOST = """
    block_diag channel_shuffle col2im diagonal_scatter im2col masked_scatter masked_select pixel_shuffle pixel_unshuffle
    reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d
    replication_pad3d rot90 scatter select_scatter slice_scatter sort take unfold_copy
"""
LOST = frozenset(f"aten::{name}" for name in _LOST.split())
"""Moves that products are not followed through."""

GATE = 2  # products of tensors of their own that may be added: a gate, a blend, a rotation


class Products:
    """The products that are still alive, and how many of their elements were summed.

    `doubted`: by module, how many products may have been summed unseen. `scopes`: modules that run, the innermost last.
    """

    def __init__(self, scopes: Sequence[str]) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self.doubted: Counter[str] = Counter()
        self._scopes = scopes
        self._alive: Any = WeakTensorKeyDictionary()  # tensor → Followed
        self._taken: dict[Any, Any] = {}  # storage → the storage that its values were copied from

    def summed(self, operator: str, func: Any, args: tuple[Any, ...], result: Any) -> int:
        """Follow one operator that ran; the multiply-adds that it completes, mostly 0."""
        name = operator.removesuffix("_")
        if name in TAKE:
            self._take(args[0], result)
        if name in ("aten::mul", "aten::div") and _is_tensor(args[1]):
            self._multiply(args[0], args[1], result, quotient=name == "aten::div")
            return 0
        if name in ("aten::addcmul", "aten::addcdiv"):
            added_to = self._get(args[0])
            self._multiply(args[1], args[2], result, quotient=name == "aten::addcdiv")
            return self._add(added_to, self._get(result), result)
        if name in LOST:
            self._doubt(term for arg in args if (lost := self._get(arg)) is not None for term in lost.terms)
            return 0
        if name in ("aten::cat", "aten::stack"):
            self._join(args[0], args[1] if len(args) > 1 else 0, result, new=name == "aten::stack")
            return 0
        if name in ("aten::add", "aten::sub"):
            return self._add(self._get(args[0]), self._get(args[1]), result)
        if name in (*ADDED_AT_INDEX, *PUT_AT_INDEX):
            return self._add_at_index(name, args, result)
        if name in ("aten::where", "aten::copy"):
            both = [each for arg in args[1:3] if (each := self._get(arg)) is not None]
            self._set(result, *both)
            if name == "aten::copy" and _is_part(result):  # the whole may be summed
                self._doubt(term for each in both for term in each.terms)
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
            pure = len(followed) == 1 and followed[0].pure
            self._alive[result] = Followed(terms, pure, sum(each.added for each in followed))

    def _doubt(self, terms: Iterable[Term]) -> None:
        """Products may have been summed unseen; where they are seen to be at last, they are counted instead."""
        for term in terms:
            self.doubted[self._scopes[-1]] += term.multiplied - term.doubted
            term.doubted = term.multiplied

    def _taken_from(self, term: Term) -> int:
        """What a term's products come to; they are counted, or counted elsewhere, from now on."""
        self.doubted[self._scopes[-1]] -= term.doubted
        count, term.multiplied, term.doubted = term.multiplied, 0, 0
        return count

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

    def _multiply(self, left: "Tensor", right: "Tensor", result: "Tensor", *, quotient: bool) -> None:
        """One tensor was multiplied by another, or divided."""
        import torch

        shape: Sequence[int] = torch.broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
        own, others = self._factors(left, shape), self._factors(right, shape)
        factors = own + (tuple(replace(factor, divides=True) for factor in others) if quotient else others)
        scaled = [known for side in (left, right) if (known := self._get(side)) is not None]
        if len(factors) > 1 and left is not right:
            added = max((known.added for known in scaled), default=1)  # a sum that is scaled goes on: a scan
            self._set(result, Followed((Term(factors, prod(shape)),), added=added))
        else:  # by one value alone, or of one with itself
            self._set(result, *(scaled if len(scaled) == 1 and left is not right else ()))

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
                        count += self._taken_from(one) + self._taken_from(other)
        self._set(result, *both)
        if (followed := self._get(result)) is not None:
            added = max(each.added for each in both) if _one_factor_for_all(both) else followed.added
            self._alive[result] = replace(followed, pure=False, added=added)
            if added > GATE:
                self._doubt(followed.terms)
        return count

    def _sum(self, name: str, followed: Followed, args: tuple[Any, ...], result: "Tensor") -> int:
        """A sum or a mean, running or of everything along some dimensions, or over places."""
        rank = args[0].dim()
        if name in POOL:
            dims = list(range(rank - POOL[name], rank)) if result.shape != args[0].shape else []
        else:
            given = args[1] if len(args) > 1 else None
            dims = [given] if isinstance(given, int) else [dim % rank for dim in given or range(rank)]
        count, left = self._contracted(followed, dims)
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

    def _contracted(self, followed: Followed, dims: Iterable[int]) -> tuple[int, Followed]:
        """The products that a sum contracts, and what it leaves alive."""
        dims = list(dims)
        contracted = [term for term in followed.terms if term.contracted(dims)]
        left = [term for term in followed.terms if term not in contracted]
        self._doubt(term for term in left if term.contracted(dims, divisors=True))
        return sum(map(self._taken_from, contracted)), replace(followed, terms=tuple(left))

    def _add_at_index(self, name: str, args: tuple[Any, ...], result: "Tensor") -> int:
        """Values were added into a tensor, at places along one dimension, or anywhere."""
        values = args[3] if name in ADDED_AT_INDEX else args[2]
        added = args[3:4] == (True,) if name in PUT_AT_INDEX else args[4:5] not in (("prod",), ("amax",), ("amin",))
        followed, into = self._get(values), self._get(args[0])
        if followed is None:
            return 0
        dims = [args[1]] if name in ADDED_AT_INDEX else range(values.dim())
        count, left = self._contracted(followed, dims) if added else (0, followed)
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


def _one_factor_for_all(followed: Sequence[Followed]) -> bool:
    """Whether all that is added has a factor in common: a sum that is scaled, summand by summand."""
    first, *rest = [term.factors for each in followed for term in each.terms]
    return any(all(any(factor.same(other) for other in factors) for factors in rest) for factor in first)


def _is_part(tensor: "Tensor") -> bool:
    """Whether a tensor is a part of a larger one."""
    return _storage(tensor) is not None and tensor.untyped_storage().nbytes() > tensor.nbytes


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
