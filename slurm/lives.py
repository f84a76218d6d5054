"""Lives of jobs: what each began, so that a trial which takes its whole job with it is known for it.

Slurm ends a job whose memory is used up with SIGKILL, all of it: nobody is left to say so, and the next job would take
the same trial up and end as well. So a job writes down in its send what it begins (`lives/JOB.RESTART.jsonl`), and that
it left in order. What was begun by a job that neither left in order nor was ended for reasons of Slurm's own (a
preemption, a lost node, a time limit, its user), and has no record, counts as a death; the second one becomes the
trial's record, with what Slurm says of the job's steps.
"""

import os
import subprocess
from collections import Counter
from pathlib import Path

import msgspec

from bench import lease
from bench.local import DEATHS
from bench.record import Failure, Record
from bench.store import Snapshot, Store, now
from bench.trial import Frozen
from bench.work import Work
from slurm import sending

BLAMED = {"FAILED", "OUT_OF_MEMORY", "COMPLETED"}
"""States of jobs that ended by what ran in them."""

ASKING_S = 30.0


class Began(Frozen):
    """A line of a life: an attempt, or, without one, that the job left in order."""

    key: str = ""
    attempt: str = ""


class Life:
    """The file of this job, from one start of it to its end."""

    def __init__(self, folder: Path) -> None:
        job, restart = os.environ.get("SLURM_JOB_ID", "0"), os.environ.get("SLURM_RESTART_COUNT", "0")
        self.path = folder / "lives" / f"{job}.{restart}.jsonl"
        self.path.parent.mkdir(exist_ok=True)

    def began(self, key: str, attempt: str) -> None:
        """Write down what is begun."""
        self._write(Began(key=key, attempt=attempt))

    def left(self) -> None:
        """Write down that whatever has no record is to be done again."""
        self._write(Began())

    def _write(self, line: Began) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def settle(folder: Path, store: Store) -> None:
    """Record what has ended so many jobs, of this send or of earlier ones, that it is not tried again."""
    lost = _lost(folder.parent, store.read())
    if not lost:
        return
    said = _states([job for job, _ in lost])
    blamed = [(job, began) for job, began in lost if said.get(job, {"UNKNOWN"}) & BLAMED]
    deaths = Counter(began.key for _, began in blamed)
    works = {work.key: work for work in sending.manifest(folder)}
    for key, count in deaths.items():
        if count >= DEATHS and key in works:
            job, began = [one for one in blamed if one[1].key == key][-1]
            _record(works[key], store, began.attempt, _failure(job, said[job]))


def _lost(root: Path, snapshot: Snapshot) -> list[tuple[str, Began]]:
    """What the last life of each job began and said no more of, with the job; records are none of it."""
    last: dict[str, Path] = {}
    for path in sorted(root.glob("*/lives/*.jsonl"), key=lambda path: path.stat().st_mtime):
        last[path.name.partition(".")[0]] = path
    found = []
    for job, path in last.items():
        lines = [msgspec.json.decode(line, type=Began) for line in path.read_bytes().splitlines()]
        if lines and lines[-1].attempt and job != os.environ.get("SLURM_JOB_ID"):
            attempts = {line.key: line for line in lines if line.key not in snapshot.records}
            found += [(job, line) for line in attempts.values()]
    return found


def _failure(job: str, said: set[str]) -> Failure:
    if "OUT_OF_MEMORY" in said:
        return Failure(kind="out_of_memory", reason=f"it used up the memory of its job twice, lastly of job {job}")
    return Failure(kind="killed", reason=f"its whole job was killed twice, lastly job {job}")


def _record(work: Work, store: Store, attempt: str, failure: Failure) -> None:
    """Unless somebody works on it, or did while we were thinking."""
    mine = lease.acquire(store, work.key)
    if mine is None:
        return
    try:
        if work.key not in store.read().records:
            store.append(
                Record(
                    key=work.key,
                    measure=work.measure,
                    version=work.version,
                    attempt=attempt,
                    time=now(),
                    trial=work.trial,
                    failure=failure,  # where it was tried and for how long, nobody is left to say
                )
            )
    finally:
        lease.release(mine)


def _states(jobs: list[str]) -> dict[str, set[str]]:
    """Slurm's words for jobs and their steps, where accounting knows them."""
    command = ["sacct", "--noheader", "--parsable2", f"--jobs={','.join(jobs)}", "--format=JobIDRaw,State"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ASKING_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, set[str]] = {}
    for line in ran.stdout.splitlines():
        name, _, state = line.partition("|")
        found.setdefault(name.partition(".")[0], set()).add(state.partition(" ")[0])
    return found
