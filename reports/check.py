"""Gates: claims against records, or a store against another, and whether a CI may pass."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args
from xml.etree import ElementTree

from bench.errors import UserError, unknown
from bench.trial import Frozen
from reports.scale import alone
from reports.table import Cell, ClaimCell, Table, Verdict

COMPARED: tuple[Verdict, ...] = ("reproduced", "close", "explained", "deviates", "within_noise")
"""Verdicts that come from comparing two numbers."""


class Change(Frozen):
    """A gate on a quantity's change against another store: throughput:-5%."""

    quantity: str
    percent: float  # negative: lower than this trips; positive: higher


class Gate(Frozen):
    """What fails a check."""

    verdicts: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


class Finding(Frozen):
    """One claim, or one cell of another store, with what came of it."""

    study: str
    row: str
    label: str
    column: str
    verdict: str
    printed: str  # what was reported, or what the other store holds
    measured: str | None = None
    source: str | None = None
    note: str | None = None
    deviation: float | None = None
    tripped: bool = False

    @property
    def sentence(self) -> str:
        """One line."""
        off = "" if not self.deviation else f", {self.deviation:+.1%}".replace("-", "−").replace("%", " %")
        against = f"{self.printed} ({self.source})" if self.source else self.printed
        ours = self.measured or "no number"
        note = f": {self.note}" if self.note else ""
        return f"{self.study} {self.row} {self.column}: {ours} against {against}: {words(self.verdict)}{off}{note}"


def words(verdict: str) -> str:
    """A verdict as people write it."""
    return verdict.replace("_", " ")


def gate(text: str) -> Gate:
    """`deviates,failed` or `throughput:-5%`. Raises UserError with the nearest verdict."""
    verdicts, changes = [], []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        if ":" in part:
            quantity, _, size = part.partition(":")
            match = re.fullmatch(r"([+-]\d+(?:\.\d+)?)%?", size.strip())
            if match is None:
                raise UserError(f"gate {part!r}: a change is QUANTITY:-5% or QUANTITY:+5%")
            changes.append(Change(quantity=quantity.strip(), percent=float(match[1])))
            continue
        verdict = part.replace(" ", "_").replace("-", "_")
        if verdict not in (*get_args(Verdict), "changed"):
            raise UserError(unknown("verdict", part, (*get_args(Verdict), "changed")))
        verdicts.append(verdict)
    return Gate(verdicts=tuple(verdicts), changes=tuple(changes))


def claims(table: Table, gated: Gate, columns: Sequence[str] | None = None) -> list[Finding]:
    """Every claim of a table with its verdict."""
    found = []
    for row in table.rows:
        for column in table.columns:
            cell = row.cells.get(column.name)
            if cell is None or (columns is not None and column.name not in columns):
                continue
            for claim in cell.claims:
                found.append(
                    Finding(
                        study=table.study,
                        row=row.row,
                        label=row.label,
                        column=column.name,
                        verdict=claim.verdict,
                        printed=claim.printed,
                        measured=_number(cell),
                        source=claim.source,
                        note=_note(claim, cell),
                        deviation=claim.deviation,
                        tripped=claim.verdict in gated.verdicts,
                    )
                )
    return found


def changes(now: Table, then: Table, gated: Gate, columns: Sequence[str] | None = None) -> list[Finding]:
    """Every cell that both stores have a number for, and those that only the other one has."""
    before = {row.row: row for row in then.rows}
    found = []
    for row in now.rows:
        for column in now.columns:
            cell = row.cells.get(column.name)
            old = before[row.row].cells.get(column.name) if row.row in before else None
            if cell is None or old is None or old.value is None or (columns is not None and column.name not in columns):
                continue
            found.append(_change(now.study, row.row, row.label, column.name, (cell, old), gated, column.quantity))
    return found


def _change(
    study: str, row: str, label: str, column: str, pair: tuple[Cell, Cell], gated: Gate, quantity: str | None
) -> Finding:
    cell, old = pair
    assert old.value is not None
    verdict, ratio, note = _compared(cell, old)
    tripped = verdict in gated.verdicts or (verdict == "failed" and "failed" in gated.verdicts)
    for change in gated.changes:
        if change.quantity in (quantity, column) and ratio is not None:
            percent = 100 * (ratio - 1)
            if percent < change.percent < 0 or percent > change.percent > 0:
                tripped, note = True, f"changed by {percent:+.1f} %, gate {change.percent:+g} %"
    return Finding(
        study=study,
        row=row,
        label=label,
        column=column,
        verdict=verdict,
        printed=_number(old) or "",
        measured=_number(cell),
        source="baseline",
        note=note,
        deviation=None if ratio is None or ratio == 1 else ratio - 1,
        tripped=tripped,
    )


def _compared(cell: Cell, old: Cell) -> tuple[str, float | None, str | None]:
    """The same, within noise, changed, or no number any more."""
    assert old.value is not None
    if cell.value is None:
        state = "failed" if cell.state in ("failed", "invalid", "conflict") else "pending"
        return state, None, cell.reason
    ratio = cell.value / old.value if old.value else None
    if cell.value == old.value:
        return "reproduced", 1.0, None
    spread = [one.std / one.n**0.5 for one in (cell, old) if one.std is not None and one.n]
    noise = 2 * sum(std**2 for std in spread) ** 0.5
    if spread and abs(cell.value - old.value) <= noise:
        return "within_noise", ratio, None
    return "changed", ratio, None


def _number(cell: Cell) -> str | None:
    if cell.value is None:
        return None
    spread = "" if cell.std is None else f" ± {cell.std:.2g}"
    return alone(cell.value, cell.unit) + spread


def _note(claim: ClaimCell, cell: Cell) -> str | None:
    return claim.note or (cell.reason if cell.state != "measured" else None)


def compared(findings: Iterable[Finding]) -> int:
    """How many findings come from comparing two numbers."""
    return sum(finding.verdict in (*COMPARED, "changed") for finding in findings)


def tally(findings: Sequence[Finding]) -> str:
    """The last line: compared, each verdict, what is pending and not comparable."""
    counts = Counter(finding.verdict for finding in findings)
    order = ("reproduced", "within_noise", "close", "explained", "changed", "deviates", "failed")
    parts = [f"{counts[verdict]} {words(verdict)}" for verdict in order if counts[verdict]]
    rest = [f"{counts[verdict]} {words(verdict)}" for verdict in ("pending", "not_comparable") if counts[verdict]]
    noun = "claim" if len(findings) == 1 else "claims"
    return " · ".join([f"compared {compared(findings)} of {len(findings)} {noun}", *parts, *rest])


def junit(findings: Sequence[Finding]) -> bytes:
    """JUnit XML: a test case a finding; tripped ones fail, those without a number are skipped."""
    suites = ElementTree.Element("testsuites", name="vitab check")
    by_study: dict[str, list[Finding]] = {}
    for finding in findings:
        by_study.setdefault(finding.study, []).append(finding)
    for study, mine in by_study.items():
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=study,
            tests=str(len(mine)),
            failures=str(sum(finding.tripped for finding in mine)),
            skipped=str(sum(_skipped(finding) for finding in mine)),
        )
        for finding in mine:
            case = ElementTree.SubElement(
                suite, "testcase", classname=study, name=f"{finding.row} {finding.column} {finding.printed}"
            )
            if finding.tripped:
                ElementTree.SubElement(case, "failure", message=finding.sentence, type=finding.verdict)
            elif _skipped(finding):
                ElementTree.SubElement(case, "skipped", message=finding.note or words(finding.verdict))
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def _skipped(finding: Finding) -> bool:
    return not finding.tripped and finding.verdict in ("pending", "not_comparable", "failed")
