"""`vitab check`: reported against measured, or now against then; the exit code is the verdict."""

import argparse
import sys
from collections.abc import Iterator

import msgspec

from bench import lease
from bench.errors import UserError
from bench.store import Store
from reports import check
from reports.cells import fill
from reports.check import Finding
from reports.plain import plain
from vitab import tables
from vitab.works import Selection, selections

FORMAT = 1


def main(options: argparse.Namespace) -> int:
    """The exit code: 1 when a gate tripped or too little was compared."""
    gated = check.gate(options.gate)
    chosen = selections(options)
    store = Store(options.store)
    if options.against is not None and not (options.against / "records").is_dir():
        raise UserError(f"--against {options.against}: no store is there")
    if options.against is not None:
        check.check_quantities(gated, _names(chosen))
    findings: list[Finding] = []
    silent: list[Selection] = []  # named, and nothing of them was compared
    snapshot, running = store.read(), frozenset(lease.running(store))
    earlier = None if options.against is None else Store(options.against).read()
    for one in chosen:
        table = fill(one.grid, snapshot, running=running)
        if earlier is None:
            found = check.claims(table, gated, one.columns)
        else:
            found = check.changes(table, fill(one.grid, earlier), gated, one.columns)
        findings += found
        if one.given in options.study and not check.compared(found):
            silent.append(one)
    _tell(findings, options)
    tripped = sum(finding.tripped for finding in findings)
    too_few = check.compared(findings) < options.require
    if too_few:
        sys.stderr.write(_too_few(findings, chosen, options) + "\n")
    elif silent:
        sys.stderr.write(f"nothing of {', '.join(one.name for one in silent)} was compared\n")
    return 1 if tripped or too_few or silent else 0


def _names(chosen: list[Selection]) -> Iterator[str | None]:
    """What a gate on a change may name: the columns that are compared, and their quantities."""
    for one in chosen:
        for column in one.grid.columns:
            if column.quantity is not None and (one.columns is None or column.name in one.columns):
                yield from (column.name, column.source, column.quantity.name)


def _too_few(findings: list[Finding], chosen: list[Selection], options: argparse.Namespace) -> str:
    """Why a check that compared too little is no success."""
    compared = check.compared(findings)
    said = f"{compared} compared, and --require asks for {options.require}" if compared else "nothing was compared"
    if findings:
        return f"{said}: `vitab plan {chosen[0].given}` says what is missing"
    if options.against is not None:
        return f"{said}: {options.against} has no number for any of these cells"
    return f"{said}: {', '.join(one.name for one in chosen)} reports no number; `vitab list tables` names those that do"


def _tell(findings: list[Finding], options: argparse.Namespace) -> None:
    """What tripped, what deviates, what is apart and was not compared, then the tally."""
    if options.junit is not None:
        tables.write(options.junit, check.junit(findings).decode())
    if options.as_json:
        print(msgspec.json.encode({"format": FORMAT, "claims": findings}).decode())
        return
    for finding in findings:
        apart = finding.verdict == "not_comparable" and finding.deviation
        if finding.tripped or apart or finding.verdict in ("deviates", "failed", "changed"):
            print(plain(finding.sentence) + (" · gate" if finding.tripped else ""))
    print(check.tally(findings))
