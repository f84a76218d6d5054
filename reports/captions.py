"""What stands around a table: which data and protocol, what ± and bold mean, what could have been seen."""

from collections.abc import Iterable, Mapping

from ablations.grid import Grid
from ablations.schema import Paper
from bench import registry
from bench.trial import Trial
from reports.claims import Source
from reports.layout import MANY, usual_seeds
from reports.scale import LADDERS, alone
from reports.significance import EXPLANATION, FEWEST_SEEDS, Comparison
from reports.table import Cell

Rows = Mapping[str, Mapping[str, Cell]]

DENSE = ("detect", "segment")
"""Tasks whose images are made square to be seen, while what is said of them is scored at their own size."""

MOST_NAMED = 3
"""Values that are named one by one; of more, how many there are."""


def caption(grid: Grid, rows: Rows, comparisons: Mapping[str, Comparison]) -> str:
    """One paragraph: the question, the data, the protocol, what ± and bold mean, how things were counted."""
    spec = grid.study.spec
    parts = [spec.question, _many_alike(grid), _protocol(_evaluated(grid))]
    cells = [cell for by_column in rows.values() for cell in by_column.values()]
    if any(cell.std is not None for cell in cells):
        seeds = _named(map(str, _seeds(grid, rows)), "numbers of") or "a row's"
        parts.append(f"±: sample standard deviation over {seeds} seeds")
    parts.append(_too_few(grid, rows))
    if any(cell.difference is not None and cell.difference.half_width is not None for cell in cells):
        parts.append("Δ: mean difference to the base row, paired by seed, ± half of its 95 % interval (t distribution)")
    if any(compared.bold for compared in comparisons.values()):
        parts.append(f"{EXPLANATION}; seed noise only, all rows see the same test images")
    parts += [*_conventions(grid), spec.protocol]
    said = [part[:1].upper() + part[1:] for part in parts if part]
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in said)


def _too_few(grid: Grid, rows: Rows) -> str | None:
    """What a table of fewer seeds than a comparison takes says of itself; None where there is nothing to compare."""
    trained = [
        [cell.n for cells in rows.values() if (cell := cells.get(column.name)) is not None and cell.n is not None]
        for column in grid.columns
    ]
    compared = [most for of_column in trained if len(of_column) > 1 and (most := max(of_column)) < FEWEST_SEEDS]
    if not compared:
        return None
    return f"{'One seed' if max(compared) == 1 else 'Two seeds'} a row: no difference between rows supports a claim"


def _seeds(grid: Grid, rows: Rows) -> list[int]:
    """Seeds behind a ±, as the heads of the columns name them."""
    names = [column.name for column in grid.columns if column.quantity is not None]
    usual = {usual_seeds(cells[name] for cells in rows.values() if name in cells) for name in names}
    return sorted(n for n in usual if n is not None and n > 1)


def notes(grid: Grid, comparisons: Mapping[str, Comparison]) -> tuple[str, ...]:
    """Lines under the table: what each noisy column could have shown and what it leaves open, then the spec's own."""
    found = []
    labels = {row.id: row.label for row in grid.rows}
    for column in grid.columns:
        compared = comparisons.get(column.name)
        if compared is None or compared.detectable is None or column.quantity is None:
            continue
        unit = "points" if column.quantity.unit == "%" else column.quantity.unit
        said = []
        if compared.bold.union(compared.undecided) == frozenset(compared.pool):
            said.append("no difference between the rows is seen")
        if compared.detectable:  # without any noise in its samples, a table says nothing of what it could have seen
            said.append(f"a difference of {alone(compared.detectable, unit)} would be seen in 80 % of such tables")
        undecided = [labels[row] for row in compared.undecided if row in labels]  # rows that are not shown have none
        if undecided:
            said.append(f"undecided, by noise far above the others': {', '.join(undecided)}")
        found += [f"{column.label}: {'; '.join(said)}"] if said else []
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


def _many_alike(grid: Grid) -> str | None:
    """The quantity of many columns, whose heads do not name it."""
    quantities = [column.quantity for column in grid.columns if column.quantity is not None]
    for quantity in quantities:
        if sum(other.name == quantity.name for other in quantities) >= MANY:
            unit = {"%": " in percent", None: ""}.get(quantity.unit, f" in {quantity.unit}")
            unit = "" if quantity.unit in LADDERS else unit  # heads or cells say whether it is ms or s
            others = {cell.quantity for _, _, cell in grid.cells()} - {quantity.name}
            return f"numbers are {quantity.label}{unit}{', unless a head or a row says otherwise' if others else ''}"
    return None


def _evaluated(grid: Grid) -> list[Trial]:
    """Trials that some cell evaluates, or whose predictions it scores; the choice among candidates is none."""
    cells = [cell for _, _, cell in grid.cells()]
    works = [work for cell in cells for work in cell.works]
    works += [work for cell in cells for candidate in cell.candidates for work in candidate.works]
    return [work.trial for work in works if work.trial.evaluate is not None or work.trial.predictions is not None]


def _protocol(trials: list[Trial]) -> str | None:
    """Data and evaluation, as far as the rows share them."""
    if not trials:
        return None
    said = [f"data: {_named((trial.data.name for trial in trials if trial.data), 'data sets')}"]
    evaluations = [trial.evaluate for trial in trials if trial.evaluate is not None]
    if len(evaluations) < len(trials):
        said.append("predictions scored as they lie in files")
    if not evaluations:
        return ", ".join(said)
    sizes = _named((f"{evaluation.image} px" for evaluation in evaluations), "sizes")
    splits = _named(("held-out" if one.split == "report" else "selection" for one in evaluations), "kinds of")
    if any(trial.task in DENSE for trial in trials):
        said.append(f"scored on {splits} images at their own size, seen at {sizes}")
    else:
        said.append(f"accuracy on {splits} images at {sizes}")
    crops = {evaluation.crop for evaluation in evaluations}
    if crops != {1.0}:
        said.append(f"centre crop {_named((f'{crop:g}' for crop in sorted(crops)), 'shares')}")
    return ", ".join(said)


def _named(values: Iterable[str], nouns: str) -> str:
    """a, b and c; or how many."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > MOST_NAMED:
        return f"{len(distinct)} different {nouns}"
    return " and ".join([", ".join(distinct[:-1]), distinct[-1]]) if len(distinct) > 1 else "".join(distinct)


def _conventions(grid: Grid) -> list[str]:
    """What counted quantities mean, as their measures say it."""
    measures = [column.quantity.measure for column in grid.columns if column.quantity and column.quantity.measure]
    said = [getattr(registry.load("measures", measure), "CONVENTION", None) for measure in dict.fromkeys(measures)]
    return [convention for convention in said if convention]
