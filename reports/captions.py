"""What stands around a table: which data and protocol, what ± and bold mean, what could have been seen."""

from collections.abc import Iterable, Mapping

from ablations.grid import Grid
from ablations.schema import Paper
from bench import registry
from bench.trial import Trial
from reports.claims import Source
from reports.scale import alone
from reports.significance import EXPLANATION, Comparison
from reports.table import Cell

Rows = Mapping[str, Mapping[str, Cell]]

MOST_NAMED = 3
"""Values that are named one by one; of more, how many there are."""


def caption(grid: Grid, rows: Rows, comparisons: Mapping[str, Comparison]) -> str:
    """One paragraph: the question, the data, the protocol, what ± and bold mean, how things were counted."""
    spec = grid.study.spec
    parts = [spec.question, _only_quantity(grid), _protocol(_evaluated(grid))]
    seeded = [cell.n for cells in rows.values() for cell in cells.values() if cell.n]
    if seeded and max(seeded) > 1:
        parts.append(f"±: sample standard deviation over {max(seeded)} seeds")
    if any(compared.bold for compared in comparisons.values()):
        parts.append(f"{EXPLANATION}; seed noise only, all rows see the same test images")
    parts += [*_conventions(grid), spec.protocol]
    said = [part[:1].upper() + part[1:] for part in parts if part]
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in said)


def notes(grid: Grid, comparisons: Mapping[str, Comparison]) -> tuple[str, ...]:
    """Lines under the table: the smallest difference that each noisy column could have shown, then the spec's own."""
    found = []
    for column in grid.columns:
        compared = comparisons.get(column.name)
        if compared is None or compared.detectable is None or column.quantity is None:
            continue
        unit = "points" if column.quantity.unit == "%" else column.quantity.unit
        said = (
            f"{column.label}: a difference of {alone(compared.detectable, unit)} would be seen in 80 % of such tables"
        )
        if compared.bold == frozenset(compared.pool):
            said = f"{column.label}: no difference between the rows is seen; {said.partition(': ')[2]}"
        found.append(said)
    return (*found, *grid.study.spec.notes)


def source(paper: Paper | None) -> str | None:
    """Where a table was published, in one line."""
    if paper is None:
        return None
    arxiv = f"arXiv:{paper.arxiv}" if paper.arxiv else None
    return ", ".join(part for part in (paper.title, _venue(paper), paper.table, arxiv) if part)


def claim_source(paper: Paper | None) -> Source:
    """Where a claim stands that says nothing of its own."""
    if paper is None:
        return Source(paper="the spec")
    return Source(paper=_venue(paper) or paper.title, table=paper.table)


def _venue(paper: Paper) -> str:
    return " ".join(str(part) for part in (paper.venue, paper.year) if part)


def _only_quantity(grid: Grid) -> str | None:
    """What all columns show, where they show one quantity and their heads do not name it."""
    quantities = [column.quantity for column in grid.columns if column.quantity is not None]
    if len(quantities) < 2 or len({quantity.name for quantity in quantities}) > 1:
        return None
    unit = {"%": " in percent", None: ""}.get(quantities[0].unit, f" in {quantities[0].unit}")
    others = {cell.quantity for _, _, cell in grid.cells()} - {quantities[0].name}
    return f"numbers are {quantities[0].label}{unit}{', unless a row says otherwise' if others else ''}"


def _evaluated(grid: Grid) -> list[Trial]:
    """Trials that some cell evaluates."""
    works = [work for _, _, cell in grid.cells() for work in cell.works]
    return [work.trial for work in works if work.trial.evaluate is not None]


def _protocol(trials: list[Trial]) -> str | None:
    """Data and evaluation, as far as the rows share them."""
    if not trials:
        return None
    said = [f"data: {_named(trial.data.name for trial in trials if trial.data)}"]
    evaluations = [trial.evaluate for trial in trials if trial.evaluate is not None]
    sizes = _named(f"{evaluation.image} px" for evaluation in evaluations)
    splits = _named("held-out" if evaluation.split == "report" else "selection" for evaluation in evaluations)
    said.append(f"accuracy on {splits} images at {sizes}")
    crops = {evaluation.crop for evaluation in evaluations}
    if crops != {1.0}:
        said.append(f"centre crop {_named(f'{crop:g}' for crop in sorted(crops))}")
    return ", ".join(said)


def _named(values: Iterable[str]) -> str:
    """a, b and c; or how many."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > MOST_NAMED:
        return f"{len(distinct)} different ones"
    return " and ".join([", ".join(distinct[:-1]), distinct[-1]]) if len(distinct) > 1 else "".join(distinct)


def _conventions(grid: Grid) -> list[str]:
    """What counted quantities mean, as their measures say it."""
    measures = [column.quantity.measure for column in grid.columns if column.quantity and column.quantity.measure]
    said = [getattr(registry.load("measures", measure), "CONVENTION", None) for measure in dict.fromkeys(measures)]
    return [convention for convention in said if convention]
