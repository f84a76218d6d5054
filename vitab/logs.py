"""`vitab logs`: what the Slurm jobs of a study wrote, all of it or of one row, now or as it comes."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UserError, nearest
from bench.store import Store
from reports.plain import plain_lines
from vitab import jobs
from vitab.jobs import Job, Queue
from vitab.sent import name_of, named, variations

EVERY_S = 1.0
SLURM_EVERY_S = 10.0


@dataclass(kw_only=True)
class Reader:
    """Logs that grow: what was printed of each, and whose turn it was last."""

    row: str | None  # study/row, of one seed or of all: only lines that name it, and errors of jobs that began it
    read: dict[Path, int] = field(default_factory=dict)
    last: Path | None = None
    named: set[str] = field(default_factory=set)  # jobs whose output names the row

    def show(self, mine: Sequence[Job]) -> None:
        """Print what was written since the last time."""
        for job in mine:
            for path in job.logs():
                self._show(job, path)

    def _show(self, job: Job, path: Path) -> None:
        errors = path.suffix == ".err"
        if errors and self.row is not None and job.name not in self.named:
            return
        with path.open("rb") as file:
            file.seek(self.read.get(path, 0))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read[path] = self.read.get(path, 0) + len(whole)
        lines = [line for line in whole.decode(errors="replace").splitlines() if errors or self._names_it(line)]
        if not lines:
            return
        self.named.add(job.name)
        if path != self.last:
            print(f"==> job {job.name}, {'errors' if errors else 'output'} <==")
            self.last = path
        print(plain_lines("\n".join(lines)), flush=True)

    def _names_it(self, line: str) -> bool:
        return self.row is None or re.search(rf"(^|\s){re.escape(self.row)}(:seed\d+)?(\s|$)", line) is not None


def main(options: argparse.Namespace) -> int:
    """Print logs, the jobs in the order in which they were sent. The exit code: 130 where Ctrl-C ended it."""
    store = Store(options.store)
    study, row = _asked(options.study, options.row, store)
    name = name_of(study, store)
    mine = jobs.must_look(store).of_study(name)
    if not mine.jobs:
        raise UserError(f"{name} was not sent to Slurm; the workers' own logs are in {store.path / 'logs'}")
    reader = Reader(row=None if row is None else _row(row, name, mine.jobs))
    try:
        _read(reader, mine, store, name, follow=options.follow)
    except KeyboardInterrupt:
        if not options.follow:
            raise
        return 130
    if reader.read and reader.last is None:
        sys.stderr.write("nothing of it in any log yet\n")
    return 0


def _read(reader: Reader, mine: Queue, store: Store, name: str, *, follow: bool) -> None:
    """What there is; then what comes, until no job is left. A Slurm that does not answer ends nothing."""
    reader.show(mine.jobs)
    if not reader.read:
        sys.stderr.write("no job has written anything yet\n")
        sys.stderr.flush()
    looked = time.monotonic()
    while follow and mine.living:
        time.sleep(EVERY_S)
        if time.monotonic() - looked > SLURM_EVERY_S:
            queue, looked = jobs.look(store), time.monotonic()
            mine = mine if queue is None else queue.of_study(name)
        reader.show(mine.jobs)


def _asked(study: str, row: str | None, store: Store) -> tuple[str, str | None]:
    """A study and a row: also where they are typed as `vitab status` writes them, study/row:seed0."""
    name, slash, rest = study.partition("/")
    calls = variations(store)
    if slash and rest and row is None and not named(study, calls) and named(name, calls):
        return name, rest
    return study, row


def _row(row: str, study: str, mine: Sequence[Job]) -> str:
    """study/row, with its seed where one was named. Raises UserError for a row that no job had."""
    labels = {work.label for job in mine for work in job.works if work.label.startswith(f"{study}/")}
    rows = {label.rpartition(":seed")[0] or label for label in labels}
    if f"{study}/{row}" in labels | rows:
        return f"{study}/{row}"
    known = sorted(label.partition("/")[2] for label in rows)
    match = nearest(row, known)
    raise UserError(
        f"no row {row!r} was sent; " + (f"nearest: {match!r}" if match else f"sent: {', '.join(known[:12])}")
    )
