"""A table: rows × columns of cells, each of which says what it is and where it came from.

Plain data: `reports/cells.py` fills it, the files `reports/markdown.py`, `latex.py`, `csv.py`, `json.py` print it.
Values are in base units everywhere (parameters, multiply-adds, percent as 0-100, images/s, bytes, seconds).
"""

from typing import Literal

from bench.trial import Frozen

State = Literal[
    "measured",
    "pending",
    "running",
    "failed",
    "invalid",
    "needs",
    "not_applicable",
    "conflict",
    "imported",  # measured elsewhere: a value, and in `reason` where it comes from
]
Verdict = Literal[
    "reproduced",
    "close",
    "explained",
    "deviates",
    "within_noise",
    "not_comparable",
    "pending",
    "failed",
]


class ClaimCell(Frozen):
    """One reported number beside what was measured."""

    printed: str  # as the paper prints it
    source: str  # "Table 1, ICCV 2021"; which paper, which table
    verdict: Verdict
    deviation: float | None = None  # (measured − nearest end of the printed interval) / that end; 0 inside
    note: str | None = None  # footnote: why it deviates, what explains it


class Difference(Frozen):
    """The difference to the base row: paired over seeds, with its 95 % interval (half width) where n ≥ 2."""

    value: float
    half_width: float | None = None


class Cell(Frozen):
    """One number or the reason why there is none."""

    state: State
    value: float | None = None  # mean over seeds
    std: float | None = None  # sample standard deviation over seeds, n ≥ 2
    n: int | None = None  # seeds measured; absent where the seed has no influence
    samples: tuple[float, ...] = ()  # one a seed, in the order of the seeds
    unit: str | None = None
    reason: str | None = None  # one line: why there is no number, or what is odd about it
    chosen: str | None = None  # best_of: the level that the selection split chose
    bold: bool = False  # best mean, or not distinguishable from it (reports/statistics.py)
    difference: Difference | None = None
    claims: tuple[ClaimCell, ...] = ()
    keys: tuple[str, ...] = ()  # record keys behind it, one a seed


class Column(Frozen):
    """One column of cells."""

    name: str
    label: str  # "FLOPs", "top-1"
    unit: str | None = None  # of a field only "px": pixels a side
    better: Literal["higher", "lower"] | None = None
    kind: Literal["quantity", "field"] = "quantity"  # field: shows what the row sets, measures nothing
    heads: tuple[str, ...] = ()  # spanning heads above the label, outermost first
    quantity: str | None = None
    show_difference: bool = False


class Row(Frozen):
    """One row; `fields` holds the text of the field columns."""

    row: str  # id
    label: str
    group: str | None = None
    factors: dict[str, str] = {}  # factor → level, as text
    fields: dict[str, str] = {}  # column name → text
    cells: dict[str, Cell] = {}
    notes: tuple[str, ...] = ()


class Table(Frozen):
    """What is printed. `caption` says data, seeds, protocol and what ± and bold mean; `notes` stand under the table."""

    study: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    base: str | None = None  # row id of the base
    stub: str = "row"  # head of the label column: the factor's name, "method", …
    caption: str = ""
    notes: tuple[str, ...] = ()
    setting: str | None = None
    source: str | None = None  # the paper, where the table is one
