"""Claims: numbers that somebody reported, as printed, with where they stand and what they meant.

A spec's row says `reported: {params: "29M", flops: ["4.5G", "4.49G"], top1: "81.3"}`. Where what is printed is not what
counting gives, `explain:` names the computation that does give it: other fields of the trial (`set`), another quantity,
or the other table that it was copied from. Prose alone explains nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ablations.printed import Printed, PrintedBy, parse
from bench.errors import UserError
from bench.trial import Frozen


class Source(Frozen):
    """Where a number is printed."""

    paper: str  # "Swin, ICCV 2021"
    table: str | None = None  # "Table 1"
    cell: str | None = None  # the row, where the paper names it otherwise

    def __str__(self) -> str:
        return ", ".join(part for part in (self.paper, self.table, self.cell) if part)


class Explain(Frozen):
    """A second computation that yields what is printed. Exactly one of: a changed trial, another quantity, a copy."""

    note: str  # what is computed: "ViT-L/32", "without the classifier head"
    set: dict[str, Any] = {}  # dotted trial fields → values: measured like any trial
    quantity: str | None = None  # of that trial; None: the claim's own
    copied: str | None = None  # as printed in the other place, which `note` names


class Claim(Frozen):
    """One reported number."""

    quantity: str
    printed: str
    source: Source
    printed_by: PrintedBy = "rounding"
    protocol: dict[str, Any] = {}  # what the number meant: {"image": 224, "hardware": "V100", "batch": 64}
    note: str | None = None
    explain: Explain | None = None

    @property
    def numbers(self) -> tuple[Printed, ...]:
        """What is printed, each number as an interval; empty where the paper prints none."""
        return parse(self.printed, self.printed_by)

    @property
    def copied(self) -> float | None:
        """The value that the claim was copied from, in base units, where that is what explains it."""
        if self.explain is None or self.explain.copied is None:
            return None
        return parse(self.explain.copied)[0].value


def claims(
    reported: Mapping[str, str | Sequence[str]],
    source: Source,
    *,
    explain: Mapping[str, Explain] | None = None,
    notes: Mapping[str, str] | None = None,
    protocol: Mapping[str, Mapping[str, Any]] | None = None,
    truncated: Sequence[str] = (),
) -> dict[str, tuple[Claim, ...]]:
    """The claims of one row by quantity; every text is read once here, so that a bad one is told before anything runs.

    `explain`, `notes` and `protocol` go by quantity; `truncated` names the quantities that the paper cuts off instead
    of rounding them. Raises UserError for a text that is no number, or an explanation of what is not reported.
    """
    explain, notes, protocol = explain or {}, notes or {}, protocol or {}
    for quantity in (*explain, *notes):
        if quantity not in reported:
            raise UserError(f"{quantity!r} is explained but not reported; reported: {', '.join(reported) or 'nothing'}")
    for quantity, how in explain.items():
        _check_explanation(quantity, how)
    made = {}
    for quantity, texts in reported.items():
        made[quantity] = tuple(
            Claim(
                quantity=quantity,
                printed=text,
                source=source,
                printed_by="truncation" if quantity in truncated else "rounding",
                protocol=dict(protocol.get(quantity, {})),
                note=notes.get(quantity),
                explain=explain.get(quantity),
            )
            for text in ([texts] if isinstance(texts, str) else texts)
        )
        for claim in made[quantity]:
            _ = claim.numbers
    return made


def _check_explanation(quantity: str, explain: Explain) -> None:
    """One computation, and one that there is."""
    computed = bool(explain.set) or explain.quantity is not None
    if computed == (explain.copied is not None):
        raise UserError(
            f"the explanation of {quantity!r} must name one computation: 'set' and 'quantity', or 'copied'; "
            "a note alone explains nothing"
        )
    if explain.copied is not None and not parse(explain.copied):
        raise UserError(f"the explanation of {quantity!r} copies no number: {explain.copied!r}")
