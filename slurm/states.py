"""The queue: what Slurm says of our jobs, in two calls however many they are. States are read, never guessed."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from slurm import environment

Life = Literal["waiting", "running", "ended", "unknown"]

WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING", "RESV_DEL_HOLD"}
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
ENDED = {
    "COMPLETED": "",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "TIMEOUT": "ran into its time limit",
    "NODE_FAIL": "its node was lost",
    "PREEMPTED": "preempted",
    "OUT_OF_MEMORY": "out of memory",
    "BOOT_FAIL": "its node did not boot",
    "DEADLINE": "missed its deadline",
    "REVOKED": "revoked",
    "FORGOTTEN": "gone from the queue; accounting has not said how",  # our word: Slurm has none for it
}

TIMEOUT_S = 30.0

CLOCKS = timedelta(hours=1)
"""By how much this machine's clock and accounting's may differ; names tell jobs apart."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """One job of an array."""

    array: str  # Slurm's id
    index: int
    state: str  # Slurm's word
    reason: str = ""

    @property
    def life(self) -> Life:
        """Whether it is still to be expected."""
        if self.state in WAITING:
            return "waiting"
        if self.state in RUNNING:
            return "running"
        return "ended" if self.state in ENDED else "unknown"


def states(ids: Sequence[str]) -> dict[tuple[str, int], JobState] | None:
    """What becomes of arrays of jobs, by id and index; None when Slurm does not answer.

    The queue knows what lives and what ended in the last minutes, accounting what ended before; where there is no
    accounting, what neither knows is absent.
    """
    if not ids:
        return {}
    # Of the user, not of the ids: one that the queue has forgotten would make it refuse the others
    queued = ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--states=all", "--format=%F|%K|%T|%r")
    accounted = ask("sacct", "--noheader", "--parsable2", f"--jobs={','.join(ids)}", "--format=JobID,State")
    if queued is None and accounted is None:
        return None
    known = read_squeue(queued or "", set(ids))
    found = read_sacct(accounted or "")
    if queued is not None:  # accounting is late, or never heard of the end
        found = {
            place: one if one.life == "ended" or place in known else replace(one, state="FORGOTTEN")
            for place, one in found.items()
        }
    # Both know how it ended: accounting knows it of the steps too
    return found | {
        place: one
        for place, one in known.items()
        if not (one.life == "ended" and place in found and found[place].life == "ended")
    }


def read_squeue(text: str, ids: set[str]) -> dict[tuple[str, int], JobState]:
    """Lines of array|index|state|reason, of arrays with one of these ids."""
    found = {}
    for line in text.splitlines():
        array, _, rest = line.strip().partition("|")
        indices, _, rest = rest.partition("|")
        state, _, reason = rest.partition("|")
        if array in ids and state:
            for index in _indices(indices):
                found[array, index] = JobState(array=array, index=index, state=state, reason=reason)
    return found


def read_sacct(text: str) -> dict[tuple[str, int], JobState]:
    """Lines of job|state, of jobs and their steps. Out of memory is said of the step alone; its job has FAILED."""
    found: dict[tuple[str, int], JobState] = {}
    for line in text.splitlines():
        name, _, said = line.strip().partition("|")
        array, _, rest = name.partition("_")
        indices, _, step = (rest, "", "") if rest.startswith("[") else rest.partition(".")
        words = said.split()  # "CANCELLED by 1000"
        for index in _indices(indices) if words else ():
            before = found.get((array, index))
            if not step:
                found[array, index] = JobState(array=array, index=index, state=words[0])
            elif words[0] == "OUT_OF_MEMORY" and before is not None and before.life == "ended":
                found[array, index] = replace(before, state=words[0])
    return found


def _indices(text: str) -> Iterable[int]:
    """4 or [3,5-7,10-20:2%4] as numbers; what a list leaves out (…) it does not have."""
    for part in text.strip("[]").partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), int(last or first) + 1, int(step) if step.isdigit() else 1)


def arrays_called(names: Sequence[str]) -> dict[str, str] | None:
    """The ids of arrays whose jobs have these names, where the queue knows them; None when it does not answer."""
    said = ask("squeue", "--noheader", f"--user={os.getuid()}", "--states=all", "--format=%F|%j")
    if said is None:
        return None
    found = {}
    for line in said.splitlines():
        array, _, name = line.strip().partition("|")
        if name in names:
            found[name] = array
    return found


def arrays_accounted(names: Sequence[str], since: str) -> dict[str, str]:
    """The same of accounting, of jobs from a moment on (ISO 8601); empty where there is none."""
    begin = datetime.fromisoformat(since).astimezone() - CLOCKS  # sacct reads local time, and no zone behind it
    said = ask(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        f"--name={','.join(names)}",
        f"--starttime={begin:%Y-%m-%dT%H:%M:%S}",
        "--format=JobID,JobName",
    )
    lines = [line.partition("|") for line in (said or "").splitlines()]
    return {name: job.partition("_")[0] for job, _, name in lines if name in names}


def cancel(ids: Sequence[str]) -> str:
    """Ask Slurm to end arrays, whether they wait or run; what it says against it, nothing where it does as asked.

    Of arrays that ended in the meantime it may say so: whether any lives is to be looked up.
    """
    try:
        ran = _answer("scancel", *ids)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"scancel: {problem}"
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    return "" if ran.returncode == 0 else lines[-1] if lines else f"scancel: exit code {ran.returncode}"


def ask(*command: str) -> str | None:
    """What Slurm says; None when it does not answer, or refuses."""
    try:
        ran = _answer(*command)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None


def _answer(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment.of_questions(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=TIMEOUT_S,
    )
