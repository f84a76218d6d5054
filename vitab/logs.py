"""`vitab logs`: what the Slurm jobs of a study wrote, all of it or of one row, now or as it comes."""

import argparse
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UserError, nearest
from bench.store import Store
from reports.plain import plain_lines
from vitab import jobs
from vitab.jobs import Job
from vitab.sent import name_of

EVERY_S = 1.0
SLURM_EVERY_S = 10.0


@dataclass(kw_only=True)
class Reader:
    """Logs that grow: what was printed of each, and whose turn it was last."""

    row: str | None  # study/row: only lines that name it, and the whole log of a job that says nothing but errors
    read: dict[Path, int] = field(default_factory=dict)
    last: Path | None = None

    def show(self, mine: list[Job]) -> None:
        """Print what was written since the last time."""
        for job in mine:
            for path in job.logs():
                self._show(job, path)

    def _show(self, job: Job, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self.read.get(path, 0))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read[path] = self.read.get(path, 0) + len(whole)
        lines = [line for line in whole.decode(errors="replace").splitlines() if self._wanted(line)]
        if not lines:
            return
        if path != self.last:
            kind = "errors" if path.suffix == ".err" else "output"
            print(f"==> job {job.name}, {kind} <==")
            self.last = path
        print(plain_lines("\n".join(lines)), flush=True)

    def _wanted(self, line: str) -> bool:
        return self.row is None or re.search(rf"(^|\s){re.escape(self.row)}(:seed\d+)?(\s|$)", line) is not None


def main(options: argparse.Namespace) -> int:
    """Print logs, the jobs in the order in which they were sent."""
    store = Store(options.store)
    name = name_of(options.study, store)
    mine = jobs.must_look(store).of_study(name)
    if not mine.jobs:
        raise UserError(f"{name} was not sent to Slurm; the workers' own logs are in {store.path / 'logs'}")
    reader = Reader(row=None if options.row is None else _row(options.row, name, list(mine.jobs)))
    reader.show(list(mine.jobs))
    looked = time.monotonic()
    while options.follow and mine.living:
        time.sleep(EVERY_S)
        if time.monotonic() - looked > SLURM_EVERY_S:
            mine, looked = jobs.must_look(store).of_study(name), time.monotonic()
        reader.show(list(mine.jobs))
    if not reader.read:
        sys.stderr.write("no job has written anything yet\n")
    elif reader.last is None:
        sys.stderr.write("nothing of it in any log yet\n")
    return 0


def _row(row: str, study: str, mine: list[Job]) -> str:
    """study/row. Raises UserError for a row that no job had."""
    labels = {work.label.rpartition(":seed")[0] or work.label for job in mine for work in job.works}
    if f"{study}/{row}" in labels:
        return f"{study}/{row}"
    rows = sorted(label.partition("/")[2] for label in labels if label.startswith(f"{study}/"))
    match = nearest(row, rows)
    raise UserError(
        f"no row {row!r} was sent; " + (f"nearest: {match!r}" if match else f"sent: {', '.join(rows[:12])}")
    )
