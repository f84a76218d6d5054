"""A claim: a number that somebody reported, as printed, with where it stands.

`explain` in a spec names the computation that gives what is printed where counting does not: other fields of the trial,
another quantity, or the other table that it was copied from. Prose alone explains nothing.
"""

from ablations.printed import Printed, PrintedBy, parse
from bench.trial import Frozen


class Source(Frozen):
    """Where a number is printed."""

    paper: str  # "Swin, ICCV 2021"
    table: str | None = None  # "Table 1"

    def __str__(self) -> str:
        return ", ".join(part for part in (self.paper, self.table) if part)


class Explain(Frozen):
    """A second computation that yields what is printed, or the place that it was copied from."""

    note: str  # what is computed: "ViT-L/32", "without the classifier head"; of a copy, where it stands
    copied: str | None = None  # as printed in that place


class Claim(Frozen):
    """One reported number."""

    printed: str
    source: Source
    printed_by: PrintedBy = "rounding"
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
