"""The nuisance axis of a design: settings that no row is about, the best of which stands for all in every cell."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablations.columns import QuantityFacts, StudyColumn, quantity_facts
from ablations.design import MOST_ROWS, PlannedRow
from ablations.factors import Context, Factor, factors
from ablations.fields import dotted
from ablations.schema import BestOf
from ablations.study import Study
from bench import registry
from bench.errors import few


@dataclass(frozen=True, kw_only=True)
class NuisanceAxis:
    """Levels that a table does not show: the best on the selection split stands for all."""

    factors: tuple[Factor, ...]
    by: QuantityFacts  # what chooses


def nuisance_axis(study: Study, context: Context, best_of: BestOf | None) -> NuisanceAxis | None:
    """The nuisance axis of a design. Raises UserError for a quantity that no selection split knows."""
    if best_of is None:
        return None
    place = (*context.place, "best_of", "by")
    by = quantity_facts(study, best_of.by, context.document, place)
    if by.measure is None or "evaluate" not in registry.load("measures", by.measure).DEPENDS_ON:
        known = {name: measure for name, measure in registry.quantities().items() if _evaluates(measure)}
        first = {measure: name for name, measure in reversed(known.items())}.values()
        listed = few([*sorted(first), *(name for name in known if name not in first)], len(first))
        raise context.document.error(place, f"{by.name} is not measured on a selection split; allowed: {listed}")
    if not best_of.over:
        raise context.error(("best_of", "over"), "over is empty: it names what the best is of, as {FIELD: [VALUE, …]}")
    return NuisanceAxis(factors=tuple(factors(context, best_of.over, ("best_of", "over"))), by=by)


def check_apart(axis: NuisanceAxis, rows: Sequence[PlannedRow], columns: Iterable[StudyColumn]) -> None:
    """Raise UserError where a row or a column sets what the axis varies, or where there are more trials than sense."""
    owners = {change.path: one.name for one in axis.factors for level in one.levels for change in level.changes}
    for change in itertools.chain(*(row.changes for row in rows), *(column.changes for column in columns)):
        if (owner := owners.get(change.path)) is not None:
            raise change.origin.error(f"{dotted(change.path)} is set here, and best_of sets it again ({owner})")
    size = len(rows) * math.prod(len(one.levels) for one in axis.factors)
    if size > MOST_ROWS:
        raise rows[0].error(f"best_of makes {size:,} trials of {len(rows):,} rows; at most {MOST_ROWS:,}")


def _evaluates(measure: str) -> bool:
    return "evaluate" in registry.load("measures", measure).DEPENDS_ON
