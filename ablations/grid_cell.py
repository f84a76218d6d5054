"""One cell of a grid: what has to be measured for it, or why nothing is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ablations.schema import ReportedClaim
from bench.work import Work


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One level of a nuisance axis: how it fares on the selection split, and what it yields."""

    label: str
    selection: tuple[Work, ...]
    works: tuple[Work, ...]


@dataclass(frozen=True, kw_only=True)
class SecondComputation:
    """What may explain a printed number."""

    note: str  # what is computed
    quantity: str | None = None
    works: tuple[Work, ...] = ()
    said: str = ""  # which fields it changes
    copied: str | None = None  # the printed number that the claim was copied from: nothing to compute


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One cell: what has to be measured for it, or why nothing is."""

    quantity: str
    unit: str | None
    works: tuple[Work, ...] = ()  # one a seed; one alone where seeds do not matter
    seeds_matter: bool = False
    invalid: str | None = None  # which rule
    needs: str | None = None
    candidates: tuple[Candidate, ...] = ()  # best_of: instead of works
    selected_by: str | None = None  # the quantity that chooses among them
    claims: tuple[ReportedClaim, ...] = ()
    explanation: SecondComputation | None = None
    note: str | None = None


def content(cell: GridCell) -> tuple[Any, ...]:
    """What a cell holds, whatever its work is called: equal where two cells show the same."""
    choices = tuple((keys(candidate.selection), keys(candidate.works)) for candidate in cell.candidates)
    return cell.invalid, cell.needs, keys(cell.works), choices


def keys(works: Iterable[Work]) -> tuple[str, ...]:
    """What identifies work: two rows that ask for the same have labels of their own."""
    return tuple(work.key for work in works)
