"""What a cell's claims come to: every claim of the grid beside what the cell holds, and the verdict on both."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ablations.grid import Grid
from ablations.grid_cell import GridCell
from bench import plan
from bench.record import STD_OVER_IMAGES
from bench.store import Snapshot
from reports import captions
from reports.claims import Claim, Explain, Source
from reports.significance import summary
from reports.table import Cell, ClaimCell
from reports.verdicts import Measured, verdict


def judged(cell: GridCell, filled: Cell, grid: Grid, snapshot: Snapshot) -> tuple[ClaimCell, ...]:
    """The verdicts on a cell's claims."""
    if not cell.claims:
        return ()
    paper = grid.study.spec.paper
    second = _second(cell, snapshot)
    found = []
    for reported in cell.claims:
        source = Source(paper=reported.source) if reported.source else captions.claim_source(paper)
        claim = Claim(
            printed=reported.printed,
            source=source,
            printed_by=reported.printed_by or "rounding",
            note=_joined(reported.note, cell.note),
            explain=_explain(cell),
        )
        found.append(
            verdict(
                claim,
                Measured(
                    unit=filled.unit or "",
                    state=filled.state,
                    samples=filled.samples,
                    seeded=cell.seeds_matter,
                    images=_images(filled, snapshot),
                    std_over_images=_over_images(cell.quantity, filled, snapshot),
                    second=second,
                    differs=reported.comparable,
                ),
            )
        )
    return tuple(found)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _explain(cell: GridCell) -> Explain | None:
    said = cell.explanation
    return None if said is None else Explain(note=said.note, copied=said.copied)


def _second(cell: GridCell, snapshot: Snapshot) -> float | None:
    """What a cell's second computation yields, once it is measured."""
    said = cell.explanation
    if said is None or said.quantity is None:
        return None
    records = [plan.serving(work, snapshot) for work in said.works]
    having = [record for record in records if record is not None and said.quantity in record.quantities]
    samples = [record.quantities[said.quantity].samples for record in having]
    complete = len(samples) == len(said.works) and samples
    return summary([math.fsum(sample) / len(sample) for sample in samples]).mean if complete else None


def _images(cell: Cell, snapshot: Snapshot) -> int | None:
    """Images of the test set that the cell is a share of, as the records bound them."""
    for bound in _bound(cell, snapshot):
        if isinstance(bound.get("images"), int) and STD_OVER_IMAGES not in bound:
            return int(bound["images"])
    return None


def _over_images(quantity: str, cell: Cell, snapshot: Snapshot) -> float | None:
    """The standard deviation over test sets, of what is no share of images: the mean of what the records found."""
    found = [bound[STD_OVER_IMAGES].get(quantity) for bound in _bound(cell, snapshot) if STD_OVER_IMAGES in bound]
    known = [std for std in found if std is not None]
    return math.fsum(known) / len(known) if known else None


def _bound(cell: Cell, snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
    """What was found when the numbers of a cell were measured."""
    return (record.bound for key in cell.keys if (record := snapshot.records.get(key)) is not None)
