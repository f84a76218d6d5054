"""Lives of jobs: what each began, so that a trial which takes its whole job with it is known for it.

Slurm ends a job whose memory is used up with SIGKILL, all of it: nobody is left to say so, and the next job would take
the same trial up and end as well. So a job writes down in its send what it begins (`lives/JOB.RESTART.jsonl`), and that
it left in order. What was begun by a job that neither left in order nor was ended for reasons of Slurm's own (a
preemption, a lost node, a time limit, its user), and has no record, counts as a death; the second one becomes the
trial's record, with what Slurm says of the job. A training that may be split goes on in smaller parts instead.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import lease, micro_batches, plan
from bench.local import DEATHS
from bench.record import Failure, Record
from bench.store import Snapshot, Store, now
from bench.trial import Frozen
from bench.work import Work
from slurm import ends, states

BLAMED = {"FAILED", "OUT_OF_MEMORY", "COMPLETED"}
"""States of jobs that ended by what ran in them."""

NODE_LOST = {"NODE_FAIL", "BOOT_FAIL"}


class Began(Frozen):
    """A line of a life: an attempt, or, without one, that nothing is in hand: at its opening, and where it left."""

    key: str = ""
    attempt: str = ""
    time: str = ""  # ISO 8601, UTC
    node: str = ""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What a job began, and said no more of."""

    began: Began
    job: str  # as Slurm calls it: 12_3
    state: str  # Slurm's word for how it ended; nothing where it lives, or Slurm does not say

    @property
    def blamed(self) -> bool:
        """Whether the job ended by what ran in it."""
        return self.state in BLAMED


class Life:
    """The file of this job, from one start of it to its end."""

    def __init__(self, folder: Path) -> None:
        self.path = path(folder, int(os.environ.get("SLURM_RESTART_COUNT") or 0))
        self.path.parent.mkdir(exist_ok=True)
        self._write(Began(time=now()))

    def began(self, key: str, attempt: str) -> None:
        """Write down what is begun."""
        self._write(Began(key=key, attempt=attempt, time=now(), node=os.environ.get("SLURMD_NODENAME", "")))

    def left(self) -> None:
        """Write down that whatever has no record is to be done again."""
        self._write(Began())

    def _write(self, line: Began) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def path(folder: Path, restart: int) -> Path:
    """Of a life of this job: of its first start (0), or of a later one."""
    return folder / "lives" / f"{this_job()}.{restart}.jsonl"


def this_job() -> str:
    """The job that this process is in, as Slurm calls it: the number alone would mean a whole array."""
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("SLURM_JOB_ID", ""))
    return f"{job}_{task}" if task else job


def lost(root: Path, works: Iterable[Work], store: Store) -> list[Lost]:
    """What jobs, of any send, began and left to nobody, the earliest first; nothing is recorded of it."""
    snapshot = store.read()
    return _lost(root, {work.key: work for work in works if plan.answer(work, snapshot) is None}, snapshot)


def settle(root: Path, works: Iterable[Work], store: Store) -> list[Lost]:
    """Record what has ended so many jobs, of any send, that it is not tried again; what was lost and is to be.

    A death by want of memory of a training that may be split is none: it is noted for the next attempt.
    """
    snapshot = store.read()
    wanted = {work.key: work for work in works if plan.answer(work, snapshot) is None}
    open_again: list[Lost] = []
    deaths: dict[str, list[Lost]] = {}
    for one in _lost(root, wanted, snapshot):
        if one.blamed:
            deaths.setdefault(one.began.key, []).append(one)
        elif one.state in NODE_LOST:
            open_again.append(one)
    for key, ended in deaths.items():
        work = wanted[key]
        left = [one for one in ended if not (_memory(one) and micro_batches.split(work, store, one.began.attempt))]
        if len(left) >= DEATHS:
            record(work, store, left[-1].began.attempt, _failure(left))
        else:
            open_again += ended
    return open_again


def _lost(root: Path, wanted: dict[str, Work], snapshot: Snapshot) -> list[Lost]:
    """What the last life of each job began and said no more of, the earliest first, and how the job ended.

    What was tried before a record that no longer answers the work is forgiven it.
    """
    last: dict[str, Path] = {}
    for life in sorted(root.glob("*/lives/*.jsonl"), key=lambda life: life.stat().st_mtime):
        last[life.name.partition(".")[0]] = life
    last.pop(this_job(), None)
    since = {key: max((one.time for one in snapshot.attempts.get(key, ())), default="") for key in wanted}
    found: list[tuple[str, Path, Began]] = []
    for job, life in last.items():
        begun = list(lines(life))
        if begun and begun[-1].attempt:
            attempts = {line.key: line for line in begun if line.key in wanted and line.time > since[line.key]}
            found += [(job, life.parents[1], line) for line in attempts.values()]
    said = states.states(sorted({job.partition("_")[0] for job, _, _ in found})) or {}
    return [
        Lost(began=began, job=job, state=_state(folder, job, said))
        for job, folder, began in sorted(found, key=lambda one: one[2].time)
    ]


def lines(life: Path) -> Iterable[Began]:
    """A life, as far as it was written: its job may have been ended within a line."""
    for line in life.read_bytes().splitlines():
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=Began)


def _state(folder: Path, job: str, said: dict[tuple[str, int], states.JobState]) -> str:
    """How a job ended: by Slurm's word, or by what it wrote into the job's log and says or knows no more."""
    array, _, index = job.partition("_")
    known = said.get((array, int(index or 0)))
    if known is not None and known.life != "ended":
        return ""
    state = "" if known is None else known.state
    silent = state in ("", "FAILED", "CANCELLED", "FORGOTTEN")
    return "OUT_OF_MEMORY" if silent and ends.ran_out_of_memory(folder, job) else state


def _memory(one: Lost) -> bool:
    return one.state == "OUT_OF_MEMORY"


def _failure(deaths: list[Lost]) -> Failure:
    job = deaths[-1].job
    if _memory(deaths[-1]):
        return Failure(kind="out_of_memory", reason=f"it used up the memory of its job twice, lastly of job {job}")
    return Failure(kind="killed", reason=f"its whole job was killed twice, lastly job {job}")


def record(work: Work, store: Store, attempt: str, failure: Failure) -> None:
    """A failure of what ended its jobs, unless somebody works on it, or did while we were thinking."""
    mine = lease.acquire(store, work.key)
    if mine is None:
        return
    try:
        if plan.answer(work, store.read()) is None:
            store.append(
                Record(
                    key=work.key,
                    measure=work.measure,
                    version=work.version,
                    attempt=attempt,
                    time=now(),
                    trial=micro_batches.noted(work, store).trial,
                    failure=failure,  # where it was tried and for how long, nobody is left to say
                )
            )
    finally:
        lease.release(mine)
