"""Jobs of a store's sends, as Slurm tells of them: one look however many trials and jobs there are."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench import plan
from bench.errors import UserError
from bench.store import Snapshot, Store
from bench.work import Work
from slurm import ends, lives, sending, states, submission
from slurm.sending import Sent
from slurm.states import ENDED, JobState
from vitab.works import Selection

LATER = "what a selection decides is known when its jobs are done: the same command sends what is left then"

REMEDIES = {
    "OUT_OF_MEMORY": "`--slurm memory_gb=N` gives a job more memory",
    "TIMEOUT": "`--slurm timeout_min=N` gives a job more time",
}


SLURMS_OWN = {"PREEMPTED", *lives.NODE_LOST}
"""Ends that are no fault of what ran, and that nobody asked for."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of a send."""

    sent: Sent
    array: int  # of the send
    index: int  # in the array
    state: JobState | None  # None: Slurm has forgotten it

    @property
    def name(self) -> str:
        """As Slurm calls it: 12_3."""
        return f"{self.sent.send.arrays[self.array].id}_{self.index}"

    @property
    def lives(self) -> bool:
        """Whether it is still to be expected; a state that nobody knows the meaning of is no end."""
        return self.state is not None and self.state.life != "ended"

    @property
    def works(self) -> tuple[Work, ...]:
        """Its own list."""
        lines = _manifest(self.sent.folder)
        return tuple(lines[line] for line in self.sent.send.arrays[self.array].own[self.index])

    def logs(self) -> list[Path]:
        """What it has written, as far as it has begun."""
        return ends.logs(self.sent.folder, self.name)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Every job that was ever sent of a store."""

    jobs: tuple[Job, ...]

    @property
    def living(self) -> list[Job]:
        """Those that wait or run."""
        return [job for job in self.jobs if job.lives]

    def of(self, keys: Collection[str]) -> "Queue":
        """The jobs of sends in which some of these keys are."""
        return self._where(lambda work: work.key in keys)

    def of_study(self, name: str) -> "Queue":
        """The jobs of sends that have work of a study."""
        return self._where(lambda work: work.label.startswith(f"{name}/"))

    def _where(self, holds: Callable[[Work], bool]) -> "Queue":
        folders = {job.sent.folder for job in self.jobs}
        mine = {folder for folder in folders if any(map(holds, _manifest(folder)))}
        return Queue(jobs=tuple(job for job in self.jobs if job.sent.folder in mine))


def look(store: Store) -> Queue | None:
    """The jobs of a store's sends; None when Slurm does not answer. Nobody is asked where nothing was sent."""
    sends = [submission.recovered(sent) or sent for sent in sending.sends(store)]  # a sender may have died between
    said = states.states([array.id for sent in sends for array in sent.send.arrays if array.id is not None])
    return None if said is None else Queue(jobs=tuple(_jobs(sends, said)))


def must_look(store: Store) -> Queue:
    """The same. Raises UserError when Slurm does not answer."""
    queue = look(store)
    if queue is None:
        raise UserError("Slurm does not answer: neither squeue nor sacct says what became of the jobs; try again later")
    return queue


def _jobs(sends: list[Sent], said: dict[tuple[str, int], JobState]) -> Iterator[Job]:
    for sent in sends:
        for number, array in enumerate(sent.send.arrays):
            if array.id is not None:
                for index in range(len(array.own)):
                    yield Job(sent=sent, array=number, index=index, state=said.get((array.id, index)))


def in_queue() -> int:
    """How many jobs this user has in the queue, of whatever kind. Raises UserError when Slurm does not answer."""
    said = states.ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i")
    if said is None:
        raise UserError("squeue: Slurm's controller does not answer; try again later")
    return len(said.splitlines())


def queued(queue: Queue, snapshot: Snapshot) -> set[str]:
    """Keys that living jobs will still do, whoever sent them: of their arrays and of those before."""
    reached: dict[Path, tuple[Sent, int]] = {}
    for job in queue.living:
        _, before = reached.get(job.sent.folder, (job.sent, 0))
        reached[job.sent.folder] = job.sent, max(before, job.array)
    found: set[str] = set()
    for folder, (sent, last) in reached.items():
        lines = _manifest(folder)
        listed = (lines[line] for array in sent.send.arrays[: last + 1] for own in array.own for line in own)
        found |= {work.key for work in listed if plan.answer(work, snapshot) is None}
    return found


def ended_badly(queue: Queue, left: Collection[str]) -> list[tuple[Job, str]]:
    """Jobs that ended otherwise than well while work of theirs is left, and why."""
    found = []
    for job in queue.jobs:
        badly = job.state is not None and job.state.life == "ended" and ENDED.get(job.state.state)
        if badly and any(work.key in left for work in job.works):
            found.append((job, why(job)))
    return found


def taken(store: Store, left: Collection[Work]) -> set[str]:
    """Names of jobs that Slurm ended for itself, or that their work took with it, while work of theirs is left.

    Another try may fare better; not of what was cancelled, had no time or could not work where it was.
    """
    keys = {work.key for work in left}
    ended = {job.name for job, _ in ended_badly(must_look(store), keys) if job.state and job.state.state in SLURMS_OWN}
    lost = lives.lost(sending.root(store), left, store)
    return ended | {one.job for one in lost if one.blamed or one.state in SLURMS_OWN}


def why(job: Job) -> str:
    """Why a job ended, in a word or two."""
    state = job.state.state if job.state is not None else ""
    if state == "FAILED" and ends.ran_out_of_memory(job.sent.folder, job.name):
        return ENDED["OUT_OF_MEMORY"]
    return ENDED.get(state, state.lower())


def sentences(queue: Queue, left: Collection[str]) -> list[str]:
    """What to say of jobs: how many run, wait and why, ended badly and why."""
    running = [job for job in queue.living if job.state is not None and job.state.life == "running"]
    waiting = [job for job in queue.living if job.state is not None and job.state.life != "running"]
    parts = []
    if running:
        parts.append(f"{len(running)} running")
    if waiting:
        reasons = Counter(job.state.reason or job.state.state for job in waiting if job.state is not None)
        parts.append(f"{len(waiting)} waiting ({listed(reasons)})")
    bad = ended_badly(queue, left)
    if bad:
        parts.append(f"{len(bad)} ended badly ({listed(Counter(reason for _, reason in bad))})")
    lines = ["jobs: " + ", ".join(parts)] if parts else []
    reasons_why = {reason for _, reason in bad}
    lines += [said for state, said in REMEDIES.items() if ENDED[state] in reasons_why]
    silent = [job for job, reason in bad if reason == ENDED["FAILED"] and not job.logs()]
    if silent:
        folder = silent[0].sent.folder.parent
        lines.append(f"{silent[0].name} wrote no log: its node does not see {folder}, which must be on a shared disk")
    return lines


def later(one: Selection, snapshot: Snapshot) -> bool:
    """Whether a study has work that nobody knows yet: of the level that a selection is still to choose."""
    return any(
        plan.missing(candidate.selection, snapshot, weights_ready=lambda key: True)
        for _, _, cell in one.grid.cells(columns=one.columns, rows=one.rows)
        for candidate in cell.candidates
    )


def listed(counts: Counter[str]) -> str:
    """3 × Priority, 1 × Resources."""
    return ", ".join(f"{count} × {reason}" for reason, count in counts.most_common())


@lru_cache(maxsize=64)
def _manifest(folder: Path) -> list[Work]:
    """What was sent: written once and never changed."""
    return sending.manifest(folder)
