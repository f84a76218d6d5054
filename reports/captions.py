"""What stands around a table: which data and protocol, what ± and bold mean, what could have been seen."""

from collections.abc import Mapping

from ablations.grid import Grid
from ablations.schema import Paper
from bench import registry
from bench.store import Snapshot
from bench.trial import Trial
from reports.claims import Source
from reports.scale import alone
from reports.significance import EXPLANATION, Comparison
from reports.table import Cell

Rows = Mapping[str, Mapping[str, Cell]]


def caption(grid: Grid, snapshot: Snapshot, rows: Rows, comparisons: Mapping[str, Comparison]) -> str:
    """One paragraph: the question, the data, the seeds, the protocol, ± and bold."""
    spec = grid.study.spec
    parts = [spec.question or ""]
    trained = _one_trial(grid, snapshot)
    if trained is not None:
        parts.append(_protocol(trained))
    seeded = [cell.n for cells in rows.values() for cell in cells.values() if cell.n]
    if seeded and max(seeded) > 1:
        parts.append(f"± is the sample standard deviation over {max(seeded)} seeds.")
    if any(compared.bold for compared in comparisons.values()):
        parts.append(f"{EXPLANATION[:1].upper()}{EXPLANATION[1:]}. Seed noise only: all rows see the same test images.")
    parts += [text for text in (_convention(grid), spec.protocol) if text]
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def notes(grid: Grid, rows: Rows, comparisons: Mapping[str, Comparison]) -> tuple[str, ...]:
    """Lines under the table: the smallest difference that each noisy column could have shown, then the spec's own."""
    found = []
    for column in grid.columns:
        compared = comparisons.get(column.name)
        if compared is None or compared.detectable is None or column.quantity is None:
            continue
        size = alone(compared.detectable, "points" if column.quantity.unit == "%" else column.quantity.unit)
        said = f"{column.label}: with this noise and {len(grid.seeds)} seeds a difference of {size} would be seen in 80 % of cases"
        if compared.pool and compared.bold == frozenset(compared.pool):
            said += "; no difference between the rows is seen"
        found.append(said)
    return (*found, *grid.study.spec.notes)


def source(paper: Paper | None) -> str | None:
    """Where a table was published, in one line."""
    if paper is None:
        return None
    where = " ".join(part for part in (paper.venue, str(paper.year or "")) if part)
    arxiv = f"arXiv:{paper.arxiv}" if paper.arxiv else ""
    return ", ".join(part for part in (paper.title, where, paper.table, arxiv) if part)


def claim_source(paper: Paper | None) -> Source:
    """Where a claim stands that says nothing of its own."""
    if paper is None:
        return Source(paper="the spec")
    where = " ".join(part for part in (paper.venue, str(paper.year or "")) if part)
    return Source(paper=where or paper.title, table=paper.table)


def _one_trial(grid: Grid, snapshot: Snapshot) -> Trial | None:
    """A trained trial of the grid, to say what all have in common."""
    for _, _, cell in grid.cells():
        for work in cell.works:
            if work.trial.train is not None or work.trial.evaluate is not None:
                return work.trial
    return None


def _protocol(trial: Trial) -> str:
    """Data and evaluation, as far as rows share them."""
    said = []
    if trial.data is not None:
        said.append(trial.data.name)
    if trial.evaluate is not None:
        split = "held-out images" if trial.evaluate.split == "report" else "selection images"
        crop = f", centre crop {trial.evaluate.crop:g}" if trial.evaluate.crop < 1 else ""
        said.append(f"accuracy on {split} at {trial.evaluate.image} px{crop}")
    return f"Data: {', '.join(said)}" if said else ""


def _convention(grid: Grid) -> str | None:
    """What the counted quantities mean, as their measures say it."""
    said = []
    for column in grid.columns:
        measured = column.quantity is not None and column.quantity.measure
        if measured and any(name == column.name for row in grid.rows for name in row.cells):
            note = getattr(registry.load("measures", str(measured)), "CONVENTION", None)
            if note and note not in said:
                said.append(note)
    return " ".join(said) or None
