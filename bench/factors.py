"""Factors of products that are followed to a sum: where each varies, and which tensor it is a slice of.

Layouts are tensors on meta, shape and strides alone: a factor has stride 0 where it repeats itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """A factor of a product, in the shape of whatever the product has become."""

    layout: "Tensor"  # on meta: stride 0 where the factor repeats itself
    storage: Any  # of the factor itself; compared, not kept alive
    start: int  # of the factor in it
    origin: Any  # the storage that its values were taken from, by slices and copies
    divides: bool = False

    def varies(self, dim: int) -> bool:
        """Whether it does not repeat itself along a dimension."""
        return self.layout.shape[dim] > 1 and self.layout.stride(dim) != 0

    def same(self, other: "Factor") -> bool:
        """Whether two factors are the same values."""
        return self.storage == other.storage and self._place == other._place

    @property
    def _place(self) -> tuple[int, tuple[int, ...]]:
        return self.start + int(self.layout.storage_offset()), tuple(self.layout.stride())


@dataclass(eq=False)
class Term:
    """Products that are alive in a tensor, and how many element-wise products it took that no sum has counted yet."""

    factors: tuple[Factor, ...]
    multiplied: int
    doubted: int = 0  # of those products, how many may have been summed unseen

    @property
    def values(self) -> int:
        """How many different products there are."""
        shape = self.factors[0].layout.shape
        return prod(size for dim, size in enumerate(shape) if any(factor.varies(dim) for factor in self.factors))

    def contracted(self, dims: Iterable[int], *, divisors: bool = False) -> bool:
        """Whether a sum along these dimensions runs along one in which two factors vary."""
        factors = [factor for factor in self.factors if divisors or not factor.divides]
        return any(sum(factor.varies(dim) for factor in factors) > 1 for dim in dims)

    def shaped(self, layouts: "Sequence[Tensor]", *, part: bool = False) -> "Term":
        """The same products in another shape. `part`: those that are left of them."""
        factors = tuple(replace(factor, layout=layout) for factor, layout in zip(self.factors, layouts, strict=True))
        term = replace(self, factors=factors)
        if part:
            term.multiplied = self.multiplied * term.values // max(1, self.values)
            term.doubted = self.doubted * term.values // max(1, self.values)
        return term


@dataclass(frozen=True)
class Followed:
    """What is alive in a tensor. `pure`: it is one product and nothing else."""

    terms: tuple[Term, ...]
    pure: bool = True
    added: int = 1  # products that were added to each other one by one

    def into(self, shape: Sequence[int]) -> "Followed":
        """In the shape of something that it was broadcast, scaled or moved into."""
        return replace(self, terms=tuple(term.shaped([like(f, shape) for f in term.factors]) for term in self.terms))


def like(factor: Factor, shape: Sequence[int]) -> "Tensor":
    """The layout of a factor in another shape: broadcast, or as long as it was along other places."""
    layout = factor.layout
    if tuple(layout.shape) == tuple(shape):
        return layout
    try:
        return layout.expand(shape)
    except RuntimeError:
        if layout.dim() != len(shape):
            return laid(shape, [True] * len(shape))
        return laid(shape, [factor.varies(dim) for dim in range(layout.dim())])


def laid(shape: Sequence[int], varying: Iterable[bool]) -> "Tensor":
    import torch

    return torch.empty([n if varies else 1 for n, varies in zip(shape, varying, strict=True)], device="meta").expand(
        tuple(shape)
    )


def joined(terms: Sequence[Term], dim: int, shape: Sequence[int]) -> Term:
    """Terms side by side: along the dimension where they meet a factor varies unless it is the same in all."""
    factors = []
    for together in zip(*(term.factors for term in terms), strict=True):
        varying = [any(factor.varies(place) for factor in together) for place in range(len(shape))]
        varying[dim] = varying[dim] or not all(factor.same(together[0]) for factor in together)
        factors.append(replace(together[0], layout=laid(shape, varying)))
    return _together(terms, tuple(factors))


def _together(terms: Sequence[Term], factors: tuple[Factor, ...]) -> Term:
    return Term(factors, sum(term.multiplied for term in terms), sum(term.doubted for term in terms))


def merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms whose factors vary alike become one: a residual stream collects one from every layer."""
    merged: dict[Any, Term] = {}
    for term in terms:
        rank = term.factors[0].layout.dim()
        alike = tuple(sorted((f.divides, *(f.varies(dim) for dim in range(rank))) for f in term.factors))
        merged[alike] = _together([merged[alike], term], term.factors) if alike in merged else term
    return tuple(merged.values())


def slices_of_the_same(one: Term, other: Term) -> bool:
    """Whether two factors or more of one term are other slices of what the other term's are, and the rest the same."""
    rest, slices = list(other.factors), 0
    differing = []
    for factor in one.factors:
        match = next((candidate for candidate in rest if factor.same(candidate)), None)
        if match is None:
            differing.append(factor)
        else:
            rest.remove(match)
    for factor in differing:
        match = next((candidate for candidate in rest if factor.origin == candidate.origin), None)
        if match is None:
            return False
        rest.remove(match)
        slices += 1
    return slices > 1 and not rest
