"""Gates: claims against records, or a store against another, and whether a CI may pass."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args
from xml.etree import ElementTree

from bench.errors import UserError, unknown
from bench.trial import Frozen
from reports.against import GONE, TIMES, differing, reference, timed
from reports.scale import alone
from reports.table import Cell, ClaimCell, Table, Verdict
from reports.verdicts import PERCENT

BASELINE = "baseline"
"""The source of what another store holds."""

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
    measured: str | None = None  # as a table shows it
    value: float | None = None  # the same in base units
    unit: str | None = None
    source: str | None = None
    note: str | None = None
    deviation: float | None = None
    tripped: bool = False

    @property
    def sentence(self) -> str:
        """One line."""
        percent = f"{100 * (self.deviation or 0):+.1f}"
        off = "" if float(percent) == 0 else f", {percent} %".replace("-", "−")
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
    if not verdicts and not changes:
        raise UserError(f"gate {text!r} names nothing, and a check that cannot fail is none; such as deviates,failed")
    return Gate(verdicts=tuple(verdicts), changes=tuple(changes))


def check_quantities(gated: Gate, names: Iterable[str | None]) -> None:
    """Raise UserError for a gate on a change of what is not among the names of the columns and quantities compared."""
    known = {name for name in names if name is not None}
    for change in gated.changes:
        if change.quantity not in known:
            raise UserError(
                f"gate {change.quantity}:{change.percent:+g}%: {unknown('quantity', change.quantity, known)}"
            )


def claims(table: Table, gated: Gate, columns: Sequence[str] | None = None) -> list[Finding]:
    """Every claim of a table with its verdict. Raises UserError for a gate on changes: claims have no earlier value."""
    if gated.changes:
        one = gated.changes[0]
        raise UserError(
            f"gate {one.quantity}:{one.percent:+g}%: a change is seen against another store only (--against)"
        )
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
                        value=cell.value,
                        unit=cell.unit,
                        source=claim.source,
                        note=_note(claim, cell),
                        deviation=claim.deviation,
                        tripped=claim.verdict in gated.verdicts,
                    )
                )
    return found


def changes(now: Table, then: Table, gated: Gate, columns: Sequence[str] | None = None) -> list[Finding]:
    """Every cell that the other store has a number for, in the order of the other table; what is gone, is failed.

    Times compare as ratios to their column's reference row, so that another machine is no change.
    """
    rows = {row.row: row for row in now.rows}
    found = []
    references = {column.name: reference(column.name, now, then) for column in then.columns}
    for row in then.rows:
        for column in then.columns:
            old = row.cells.get(column.name)
            if old is None or old.value is None or (columns is not None and column.name not in columns):
                continue
            cell = rows[row.row].cells.get(column.name, GONE) if row.row in rows else GONE
            if old.unit in TIMES and cell.value is not None:
                verdict, relative, note = timed(cell, old, references[column.name], row.row)
            else:
                verdict, relative, note = differing(cell, old)
            tripping = _tripping(relative, (column.name, column.quantity), gated)
            printed, measured = _apart(old, cell)
            found.append(
                Finding(
                    study=now.study,
                    row=row.row,
                    label=row.label,
                    column=column.name,
                    verdict=verdict,
                    printed=printed or "",
                    measured=measured,
                    value=cell.value,
                    unit=cell.unit,
                    source=BASELINE,
                    note=tripping or note,
                    deviation=relative if relative is not None and math.isfinite(relative) and relative else None,
                    tripped=tripping is not None or not _gated_verdicts(verdict).isdisjoint(gated.verdicts),
                )
            )
    return found


def _gated_verdicts(verdict: str) -> frozenset[str]:
    """The verdicts of a gate that mean this one: what changed deviates from what it was."""
    return frozenset({verdict, "deviates"} if verdict == "changed" else {verdict})


def _tripping(relative: float | None, names: tuple[str | None, ...], gated: Gate) -> str | None:
    """The gate that a change trips, in one line."""
    if relative is None:
        return None
    percent = 100 * relative
    for change in gated.changes:
        if change.quantity in names and (percent < change.percent < 0 or percent > change.percent > 0):
            return f"changed by {percent:+.1f} %, gate {change.percent:+g} %"
    return None


def _number(cell: Cell) -> str | None:
    if cell.value is None:
        return None
    spread = "" if cell.std is None else f" ± {cell.std:.2g}"
    return alone(cell.value, cell.unit) + spread


def _apart(old: Cell, cell: Cell) -> tuple[str | None, str | None]:
    """Both numbers as tables show them, or in full where they differ and would look alike."""
    then, now = _number(old), _number(cell)
    if then == now and old.value != cell.value and old.value is not None and cell.value is not None:
        return f"{old.value:,.12g}", f"{cell.value:,.12g}"
    return then, now


def _note(claim: ClaimCell, cell: Cell) -> str | None:
    return claim.note or (cell.reason if cell.state != "measured" else None)


def compared(findings: Iterable[Finding]) -> int:
    """How many findings come from comparing two numbers."""
    return sum(finding.verdict in (*COMPARED, "changed") for finding in findings)


def tally(findings: Sequence[Finding]) -> str:
    """The last line: compared, each verdict, what is pending and not comparable."""
    counts = Counter(finding.verdict for finding in findings)
    order = ("reproduced", "within_noise", "close", "explained", "changed", "deviates", "failed")
    parts = [f"{counts[verdict]} {words(verdict)}{_prose(findings, verdict)}" for verdict in order if counts[verdict]]
    rest = [f"{counts[verdict]} {words(verdict)}" for verdict in ("pending", "not_comparable") if counts[verdict]]
    noun = "value" if findings and all(finding.source == BASELINE for finding in findings) else "claim"
    noun += "" if len(findings) == 1 else "s"
    return " · ".join([f"compared {compared(findings)} of {len(findings)} {noun}", *parts, *rest])


def _prose(findings: Iterable[Finding], verdict: str) -> str:
    """How many counts deviate with words beside them: what a second computation gives is explained."""
    noted = [one for one in findings if one.verdict == verdict == "deviates" and one.note and one.unit not in PERCENT]
    return f" ({len(noted)} with prose alone)" if noted else ""


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
    for element in suites.iter():
        element.attrib = {name: _printable(text) for name, text in element.attrib.items()}
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def _skipped(finding: Finding) -> bool:
    return not finding.tripped and finding.verdict in ("pending", "not_comparable", "failed")


def _printable(text: str) -> str:
    """Text that XML 1.0 can hold: of control characters it has the tab and the ends of lines only."""
    return "".join(letter if letter in "\t\n\r" or _is_character(ord(letter)) else "\ufffd" for letter in text)


def _is_character(code: int) -> bool:
    return 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code >= 0x10000
