"""Submission: what was prepared to Slurm, array after array, through submitit's writer of batch scripts.

Nothing is pickled, and nothing that a spec says is read by a shell unquoted. An answer that was lost is looked up by
the name of the array, which no other has: an array is sent once, however often Slurm is asked.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import Needs, UserError
from slurm import environment, states
from slurm.request import site
from slurm.sending import Send, Sent, called, with_ids

NEVER = "Requested node configuration is not available"
"""What Slurm says of jobs that no node could ever take, and of those that a node could which is down or drained."""

IN_SERVICE = {"idle", "mixed", "allocated", "completing", "planned"}
"""States of nodes that take jobs, now or when their jobs have ended."""

UNREACHABLE = (
    "unable to contact slurm controller",
    "timed out",
    "connection refused",
    "connection reset",
    "connect failure",
    "communications error",
    "communication connection failure",
    "zero bytes were transmitted",
    "standby mode",
)
PATIENCE_S = 120.0
"""How long a controller that does not answer is asked again: it restarts in seconds."""

SETTLED_S = 5.0
"""What was asked of a controller that then hung may be done after it has answered something else: ask twice."""


class Unsettled(UserError):
    """Slurm may have taken jobs, and does not say so: what they work from has to stay."""


def submit(sent: Sent, *, hold: bool = False) -> Sent:
    """Send what was prepared, array after array; each id is written down as soon as it is known.

    What a submitter that died has sent already is found again by its name. Raises UserError with Slurm's own words
    where it refuses, Unsettled where it does not answer; what was sent before stays sent, and is said.
    """
    for program in ("sbatch", "srun"):
        if shutil.which(program) is None:
            raise Needs(f"Slurm's {program}, which is not on this machine's PATH")
    deadline = time.monotonic() + PATIENCE_S
    while (found := recovered(sent)) is None:
        if time.monotonic() > deadline:
            raise UserError("squeue: Slurm's controller does not answer")
        time.sleep(1)
    sent = with_ids(found, {})
    if all(array.id is None for array in sent.send.arrays):
        _try(sent)
    for number, array in enumerate(sent.send.arrays):
        if array.id is None:
            try:
                sent = with_ids(sent, {array.name: _submit(sent, number, hold=hold)})
            except UserError as problem:
                raise type(problem)(f"{problem}{_so_far(sent)}") from problem
    return sent


def _try(sent: Sent) -> None:
    """Raises UserError for jobs that no node could ever take: many sites let them wait for ever."""
    try:
        with environment.of_sending(sent.send.request):
            tried = subprocess.run(
                ["sbatch", "--test-only"],
                input=script(sent, 0),
                capture_output=True,
                text=True,
                check=False,
                timeout=states.TIMEOUT_S,
            )
    except (OSError, subprocess.TimeoutExpired):
        return  # it is asked in earnest next
    if tried.returncode and NEVER in tried.stderr and _all_in_service(sent.send.request.partition):
        raise UserError(f"sbatch: {NEVER}: no node has what a job asks for (see --dry-run)")


def _all_in_service(partition: str | None) -> bool:
    """Whether no node of a partition is out of service, or is not known to be."""
    only = [] if partition is None else [f"--partition={partition}"]
    said = states.ask("sinfo", "--noheader", *only, "--format=%T")
    return said is not None and {line.rstrip("*~#!%$@^-+") for line in said.split()} <= IN_SERVICE


def _so_far(sent: Sent) -> str:
    """What was sent before a refusal, as the end of a sentence; nothing where nothing was."""
    taken = [array for array in sent.send.arrays if array.id is not None]
    if not taken:
        return ""
    noun, ids = "array" if len(taken) == 1 else "arrays", ", ".join(str(array.id) for array in taken)
    jobs = sum(len(array.own) for array in taken)
    return f"; {jobs} of {sent.jobs} jobs were sent before that ({noun} {ids}), and the same command sends the rest"


def recovered(sent: Sent) -> Sent | None:
    """With the ids of arrays that arrived, though nobody wrote it down; None when Slurm does not answer.

    Nothing is written: who only looks must not overwrite what the submitter has learnt since.
    """
    names = [array.name for array in sent.send.arrays if array.id is None]
    if not names:
        return sent
    found = _arrived(names, sent.send.time)
    return None if found is None else called(sent, found)


def _arrived(names: Sequence[str], since: str) -> dict[str, str] | None:
    """The ids of arrays with these names, of the queue or else of accounting; None when the queue does not answer."""
    queued = states.arrays_called(names)
    if queued is None:
        return None
    left = [name for name in names if name not in queued]
    return {**(states.arrays_accounted(left, since) if left else {}), **queued}


def _submit(sent: Sent, number: int, *, hold: bool) -> str:
    """The id of an array. When Slurm does not answer it is asked again, once it is clear that nothing arrived."""
    array, deadline = sent.send.arrays[number], time.monotonic() + PATIENCE_S
    while True:
        try:
            return _sbatch(sent, number, hold=hold)
        except ConnectionError as problem:
            absent = 0
            while absent < 2:
                if time.monotonic() > deadline:
                    raise Unsettled(
                        f"sbatch: {problem}; what has arrived is found when this is tried again"
                    ) from problem
                time.sleep(SETTLED_S)
                known = _arrived([array.name], sent.send.time)
                if known:
                    return known[array.name]
                absent = 0 if known is None else absent + 1


def _sbatch(sent: Sent, number: int, *, hold: bool) -> str:
    """One try. Raises UserError where Slurm refuses, ConnectionError where it may or may not have heard."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor(sent, number, hold=hold)
    # submitit says on stderr what it raises
    with environment.of_sending(sent.send.request), contextlib.redirect_stderr(io.StringIO()):
        try:
            return str(executor._submit_command(command(sent, number)).job_id)
        except FailedSubmissionError as problem:  # sent, and its id not understood
            raise ConnectionError(_refusal(str(problem))) from problem
        except FailedJobError as problem:
            said = _refusal(str(problem))
            if any(sign in said.lower() for sign in UNREACHABLE):
                raise ConnectionError(said) from problem
            raise UserError(f"sbatch: {said}") from problem


def _executor(sent: Sent, number: int, *, hold: bool) -> Any:
    import submitit

    executor = submitit.SlurmExecutor(folder=sent.folder / "jobs")
    executor.update_parameters(**parameters(sent, number, hold=hold))
    executor.parameters["map_count"] = len(sent.send.arrays[number].own)
    return executor


def script(sent: Sent, number: int, *, hold: bool = False) -> str:
    """The batch script of an array, as it is or would be sent."""
    return str(_executor(sent, number, hold=hold)._make_submission_file_text(command(sent, number), uid=""))


def parameters(sent: Sent, number: int, *, hold: bool) -> dict[str, Any]:
    """As submitit calls them, for one array."""
    array, request = sent.send.arrays[number], sent.send.request
    parallel, before = _turn(sent.send, number)
    exports = {"VITAB_COMMIT": sent.send.commit or "", "VITAB_DATA": str(_data())}
    said = request.parameters() | {
        "job_name": array.name,
        "array_parallelism": parallel,
        "setup": [
            *site().setup,
            f'export PYTHONPATH={shlex.quote(str(sent.folder / "code"))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
            *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        ],
        "additional_parameters": {"requeue": True, **({"hold": True} if hold else {})},
    }
    if ids := [str(sent.send.arrays[one].id) for one in (*array.after, *before)]:
        said["dependency"] = "afterany:" + ":".join(ids)
    return said


def _turn(send: Send, number: int) -> tuple[int, list[int]]:
    """How many jobs of an array may run at once, and the array of its wave that it waits for.

    Slurm caps each array alone: those of a wave share the cap, and where it is smaller than their number take turns.
    """
    array = send.arrays[number]
    parallel = send.request.parallel
    if parallel is None:
        return len(array.own), []
    wave = [other for other, one in enumerate(send.arrays) if one.after == array.after]
    place, lanes = wave.index(number), min(parallel, len(wave))
    share = parallel // lanes + (place % lanes < parallel % lanes)
    return share, [wave[place - lanes]] if place >= lanes else []


def command(sent: Sent, number: int) -> str:
    """What a job runs; every word is quoted, none comes from a spec."""
    words = [sys.executable, "-P", "-u", "-m", "slurm.job", str(sent.folder), str(number)]
    return " ".join(shlex.quote(word) for word in words)


def _data() -> Path:
    return Path(os.environ.get("VITAB_DATA", "data")).absolute()


def _refusal(said: str) -> str:
    """Slurm's own words in one line, of what submitit says over several."""
    found = re.findall(r"(?:fatal|error): (.+)", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(found[-3:])) or (lines[-1] if lines else "no reason was given")
