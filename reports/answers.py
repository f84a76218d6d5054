"""What a store says about the works of a cell: what was measured, what failed, what is still to come."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ablations.grid_cell import Candidate
from bench import plan
from bench.record import Failure, Record
from bench.store import Snapshot
from bench.work import Work
from reports.plain import plain

KINDS = {
    "crashed": "crashed",
    "out_of_memory": "out of memory",
    "diverged": "diverged",
    "timed_out": "timed out",
    "killed": "killed",
    "malformed": "malformed",
    "invalid": "cannot be built",
    "needs": "needs",
    "upstream": "no weights",
}
"""Failures as a reader of a table calls them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a store says about the works of one cell, seed by seed."""

    records: tuple[Record | None, ...]  # measured, in the order of the works
    failures: tuple[Record, ...]
    pending: int
    running: int

    @property
    def complete(self) -> bool:
        """Nothing is still to come."""
        return not self.pending and not self.running

    @property
    def lack(self) -> Failure | None:
        """What could not be tried for want of data, weights or a package: it may be here another day."""
        failures = (record.failure for record in self.failures)
        return next((failure for failure in failures if failure is not None and failure.kind == "needs"), None)


def answer(works: Iterable[Work], snapshot: Snapshot, running: frozenset[str]) -> Answer:
    """What a store says about some works."""
    records: list[Record | None] = []
    failures: list[Record] = []
    pending = busy = 0
    for work in works:
        record = plan.serving(work, snapshot)
        records.append(record)
        if record is not None:
            continue
        failed = plan.failed(work, snapshot) or plan.lacking(work, snapshot) or _failed_before(work, snapshot)
        if running & {work.key, *work.after}:
            busy += 1
        elif failed is not None:
            failures.append(failed)
        else:
            pending += 1
    return Answer(records=tuple(records), failures=tuple(failures), pending=pending, running=busy)


def _failed_before(work: Work, snapshot: Snapshot) -> Record | None:
    """The failed training that keeps a measurement from being tried at all."""
    for key in work.after:
        record = snapshot.records.get(key)
        if record is not None and record.failure is not None:
            return record
    return None


def failure_text(failure: Failure) -> str:
    """A failure in one line: what happened, then why."""
    kind, reason = KINDS[failure.kind], plain(failure.reason).strip()
    if failure.kind == "diverged":
        value = "" if failure.value is None else f", last loss {failure.value:.4g}"
        return f"diverged at step {failure.step}{value}"
    if failure.kind == "upstream" and reason:
        return reason
    return f"{kind}: {reason}" if reason else kind


def choose(candidates: Iterable[Candidate], quantity: str, snapshot: Snapshot) -> Candidate | None:
    """The level that fares best on the selection split; None while one is still to be measured, or lacks something."""
    best: tuple[float, Candidate] | None = None
    for candidate in candidates:
        said = answer(candidate.selection, snapshot, frozenset())
        if said.pending or said.lack is not None:
            return None
        samples = [
            record.quantities[quantity]
            for record in said.records
            if record is not None and quantity in record.quantities
        ]
        if said.failures or not samples:
            continue  # a level that fails for a seed is no choice
        sign = -1 if samples[0].better == "lower" else 1
        mean = sign * math.fsum(sample.samples[0] for sample in samples) / len(samples)
        if best is None or mean > best[0]:
            best = mean, candidate
    return None if best is None else best[1]
