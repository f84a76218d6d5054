"""Idle lives: a job that is put back into the queue again and again, and nothing ever comes of it, must come to an end.

That is told from what every one of its lives wrote down (`lives/JOB.RESTART.jsonl`): when it opened, and what it began.
A life brought something when there is a record, or a checkpoint, that is younger than its opening; of several lives in
a row it is enough that one did. Who ended them, Slurm or we ourselves, does not matter.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.record import Failure
from bench.store import Store
from bench.work import Work
from slurm import lives
from slurm.lives import Began

MOST = 5
"""Lives in a row of which nothing came, after which a job is not put back. A training that began has saved something
when it is told to go, so that this many preemptions in the moments before are rare."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Lives of this job, the last ones, of which nothing came."""

    lives: int
    last: tuple[Began, ...]  # what was in hand in each of them, as the last one began it

    def __str__(self) -> str:
        spent = "all its time" if self.lives == 1 else f"{self.lives} lives of this job in a row"
        return f"nothing came of {spent}, not even a checkpoint"


def idle(folder: Path, store: Store, *, most: int = MOST, begun: bool = True) -> Idle | None:
    """What is said of the last `most` lives of this job, with the one that has `begun`; None where something came."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0) + begun
    paths = [lives.path(folder, number) for number in range(restarts)]
    files = [found for path in paths if path.exists() and (found := list(lives.lines(path)))][-most:]
    if len(files) < most:
        return None
    began = [{line.key: line for line in lines if line.attempt} for lines in files]
    if _moved({key for one in began for key in one}, files[0][0].time, store):
        return None
    in_hand = tuple(line for key, line in began[-1].items() if all(key in one for one in began))
    return Idle(lives=most, last=in_hand)


def settle(found: Idle, works: list[Work], store: Store) -> None:
    """Record what was in hand in all of those lives: it is what ended them, or what they could not bring forward."""
    listed = {work.key: work for work in works}
    for began in found.last:
        if began.key in listed:
            failure = Failure(kind="killed", reason=f"{found}, lastly of job {lives.this_job()}")
            lives.record(listed[began.key], store, began.attempt, failure)


def _moved(keys: set[str], since: str, store: Store) -> bool:
    """Whether one of these has a checkpoint or a record from a moment on (ISO 8601, UTC)."""
    folders = [store.weights_folder(key) for key in keys]
    saved = [path for folder in folders for path in (folder / "checkpoint.pt", *(folder / "checkpoints").glob("*"))]
    moment = datetime.fromisoformat(since).timestamp()
    if any(path.exists() and path.stat().st_mtime >= moment for path in saved):
        return True
    attempts = store.read().attempts
    return any(record.time >= since for key in keys for record in attempts.get(key, ()))
