"""`vitab check`: reported against measured, or now against then; the exit code is the verdict."""

import argparse
import sys

import msgspec

from ablations import shipped
from bench import lease
from bench.errors import UserError
from bench.files import publish
from bench.store import Store
from reports import check
from reports.cells import fill
from reports.check import Finding
from vitab.works import Selection, select, selections

FORMAT = 1


def main(options: argparse.Namespace) -> int:
    """The exit code: 1 when a gate tripped or too little was compared."""
    gated = check.gate(options.gate)
    chosen = _all(options) if options.all else selections(options)
    if not chosen:
        raise UserError("check what? name a study, or --all")
    store = Store(options.store)
    if options.against is not None and not (options.against / "records").is_dir():
        raise UserError(f"--against {options.against}: no store is there")
    findings: list[Finding] = []
    snapshot, running = store.read(), frozenset(lease.running(store))
    earlier = None if options.against is None else Store(options.against).read()
    for one in chosen:
        table = fill(one.grid, snapshot, running=running)
        if earlier is None:
            findings += check.claims(table, gated, one.columns)
        else:
            findings += check.changes(table, fill(one.grid, earlier), gated, one.columns)
    _tell(findings, options)
    tripped = sum(finding.tripped for finding in findings)
    too_few = check.compared(findings) < options.require
    if too_few and not options.as_json:
        said = "nothing was compared" if not check.compared(findings) else f"fewer than --require {options.require}"
        sys.stderr.write(f"{said}: `vitab plan {chosen[0].name}` says what is missing\n")
    return 1 if tripped or too_few else 0


def _all(options: argparse.Namespace) -> list[Selection]:
    """Every shipped study that reports something, and those named."""
    names = list(dict.fromkeys([*options.study, *shipped.names()]))
    found = []
    for name in names:
        one = select(name, setting=options.setting if name in options.study else None)
        reporting = [column for _, column, cell in one.grid.cells() if cell.claims]
        if not reporting and options.against is None:
            continue
        if options.columns is not None:  # a study without these columns has nothing to say about them
            known = {
                column.name
                for column in one.grid.columns
                if column.quantity is not None and {column.name, column.quantity.name} & set(options.columns)
            }
            if not known:
                continue
            one = Selection(grid=one.grid, columns=tuple(known), rows=None)
        found.append(one)
    return found


def _tell(findings: list[Finding], options: argparse.Namespace) -> None:
    """What tripped, what deviates, then the tally."""
    if options.junit is not None:
        try:
            publish(options.junit, check.junit(findings))
        except OSError as problem:
            raise UserError(f"{options.junit}: {(problem.strerror or str(problem)).lower()}") from problem
    if options.as_json:
        print(msgspec.json.encode({"format": FORMAT, "claims": findings}).decode())
        return
    for finding in findings:
        if finding.tripped or finding.verdict in ("deviates", "failed", "changed"):
            print(finding.sentence + (" · gate" if finding.tripped else ""))
    print(check.tally(findings))
