"""The queue: what Slurm says of our jobs, in one or two calls however many they are. States are read, never guessed."""

import getpass
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

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
}

TIMEOUT_S = 30.0


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
    queued = _ask("squeue", "--noheader", "--array", f"--jobs={','.join(ids)}", "--states=all", "--format=%F|%K|%T|%r")
    if queued is None:  # it refuses the whole list when it has forgotten one of them
        queued = _ask(
            "squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--states=all", "--format=%F|%K|%T|%r"
        )
    accounted = _ask(
        "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(ids)}", "--format=JobID,State"
    )
    if queued is None and accounted is None:
        return None
    found: dict[tuple[str, int], JobState] = {}
    for line in (accounted or "").splitlines():
        name, _, said = line.partition("|")
        array, _, index = name.partition("_")
        if index.isdigit():
            found[array, int(index)] = JobState(array=array, index=int(index), state=said.split()[0] if said else "")
        elif index.startswith("["):
            for number in _indices(index):
                found[array, number] = JobState(array=array, index=number, state=said.split()[0])
    for line in (queued or "").splitlines():
        array, index, state, reason = line.split("|", 3)
        if index.isdigit() and array in ids:
            found[array, int(index)] = JobState(array=array, index=int(index), state=state, reason=reason)
    return found


def _indices(text: str) -> Iterable[int]:
    """[3,5-7%4] as numbers."""
    for part in text.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last or first) + 1)


def array_called(name: str) -> str | None:
    """The id of the array whose jobs have a name, where the queue or accounting knows it."""
    for command in (
        ("squeue", "--noheader", f"--name={name}", "--format=%F"),
        ("sacct", "--noheader", "--parsable2", "--allocations", f"--name={name}", "--format=JobID"),
    ):
        for line in (_ask(*command) or "").splitlines():
            return line.strip().partition("_")[0]
    return None


def cancel(ids: Sequence[str]) -> None:
    """Ask Slurm to end arrays, whether they wait or run."""
    _ask("scancel", *ids)


def _ask(*command: str) -> str | None:
    """What Slurm says; None when it does not answer or refuses."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None
