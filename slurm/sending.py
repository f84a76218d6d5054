"""Sending: packed work to Slurm, as arrays, through submitit's writer of batch scripts.

Nothing is pickled. A send has a folder beside the store, readable by its user alone: what is to be done
(`manifest.jsonl`), how it is packed (`send.json`), a copy of our packages as they are now (`code/`), scripts and logs.
Each job is `python -m slurm.job FOLDER ARRAY`, and its index in the array says which list is its own.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import machine
from bench.errors import Needs, UserError
from bench.files import publish
from bench.store import Store, now
from bench.trial import Frozen
from bench.work import Work
from slurm import states
from slurm.limits import limits as limits
from slurm.packing import Job
from slurm.request import Request, site

FORMAT = 1
PACKAGES = ("ablations", "bench", "reports", "slurm", "vitab")
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

OF_A_JOB = ("SLURM_", "SLURMD_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
OF_THE_SITE = ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS")


class Array(Frozen):
    """One array of jobs: lines of the manifest that each job does first."""

    name: str  # of its jobs, and no other's: found again by it when the answer to `sbatch` was lost
    own: tuple[tuple[int, ...], ...]
    after: tuple[int, ...] = ()  # arrays that make weights which these need
    id: str | None = None  # Slurm's, once it is known


class Send(Frozen):
    """What was sent."""

    store: str
    study: str
    time: str
    commit: str | None
    request: Request
    arrays: tuple[Array, ...]
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A send and its folder."""

    folder: Path
    send: Send

    @property
    def jobs(self) -> int:
        """How many."""
        return sum(len(array.own) for array in self.send.arrays)


def root(store: Store) -> Path:
    """Where folders of sends lie: beside the store, because nodes see both or neither. Each user has one."""
    shared = store.path.with_name(f"{store.path.name}.jobs")
    if shared.exists() and shared.stat().st_uid != os.getuid():
        return shared.with_name(f"{shared.name}.{os.getuid()}")
    return shared


def prepare(waves: Sequence[Sequence[Job]], store: Store, request: Request, *, study: str, max_array_size: int) -> Sent:
    """Write all that the jobs will need; nothing is sent yet. Raises UserError where that cannot be."""
    moment = now()
    stamp = "".join(character for character in moment if character.isdigit())[:17]
    mark = f"{stamp}-{re.sub(r'[^A-Za-z0-9_.-]', '-', study)[:60]}-{os.getpid()}"
    folder = _folder(store, mark)
    works = [work for wave in waves for job in wave for work in job.works]
    lines = {work.key: number for number, work in enumerate(works)}
    arrays: list[Array] = []
    before: tuple[int, ...] = ()
    for number, wave in enumerate(waves):
        own = [tuple(lines[work.key] for work in job.works) for job in wave]
        chunks = [own[start : start + max_array_size] for start in range(0, len(own), max_array_size)]
        first = len(arrays)
        for part, chunk in enumerate(chunks):
            name = f"vitab-{mark}-{number}.{part}"
            arrays.append(Array(name=name, own=tuple(chunk), after=before))
        before = tuple(range(first, len(arrays)))
    send = Send(
        store=str(store.path),
        study=study,
        time=moment,
        commit=machine.environment().get("commit"),
        request=request,
        arrays=tuple(arrays),
    )
    publish(folder / "manifest.jsonl", b"".join(msgspec.json.encode(work) + b"\n" for work in works))
    _snapshot(folder / "code")
    _keep(folder, send)
    return Sent(folder=folder, send=send)


def _folder(store: Store, name: str) -> Path:
    """A new one, that nobody else can read or write. Raises UserError."""
    folder = root(store) / name
    if bad := sorted({letter for letter in str(folder) if letter in "%\\:" or not letter.isprintable()}):
        said = " ".join(repr(letter) for letter in bad)
        raise UserError(f"store {str(store.path)!r}: Slurm jobs need a path without {said}")
    store.folder("records")
    try:
        root(store).mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = root(store).stat()
        if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
            raise UserError(f"{root(store)}: others may write it, and jobs run what lies there; chmod go-w it")
        folder.mkdir(mode=0o700)
        (folder / "jobs").mkdir()
    except OSError as problem:
        raise UserError(f"{folder}: {(problem.strerror or str(problem)).lower()}") from problem
    return folder


def _snapshot(folder: Path) -> None:
    """A copy of our packages: later edits of the checkout do not change what was sent."""
    ours = Path(__file__).resolve().parents[1]
    for package in PACKAGES:
        shutil.copytree(ours / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))


def _keep(folder: Path, send: Send) -> None:
    publish(folder / "send.json", msgspec.json.format(msgspec.json.encode(send), indent=1))


def submit(sent: Sent, *, hold: bool = False) -> Sent:
    """Send what was prepared, array after array; each id is written down as soon as it is known.

    What a submitter that died has sent already is found again by its name. Raises UserError with Slurm's own words
    where it refuses; what was sent before stays sent.
    """
    for program in ("sbatch", "srun"):
        if shutil.which(program) is None:
            raise Needs(f"Slurm's {program}, which is not on this machine's PATH")
    deadline = time.monotonic() + PATIENCE_S
    while (found := recovered(sent)) is None:
        if time.monotonic() > deadline:
            raise UserError("squeue: Slurm's controller does not answer")
        time.sleep(1)
    sent = found
    for number, array in enumerate(sent.send.arrays):
        if array.id is None:
            sent = _with_ids(sent, {array.name: _submit(sent, number, hold=hold)})
    return sent


def recovered(sent: Sent) -> Sent | None:
    """With the ids of arrays that arrived, though nobody wrote it down; None when Slurm does not answer."""
    names = [array.name for array in sent.send.arrays if array.id is None]
    if not names:
        return sent
    found = _arrived(names, sent.send.time)
    return None if found is None else _with_ids(sent, found) if found else sent


def _arrived(names: Sequence[str], since: str) -> dict[str, str] | None:
    """The ids of arrays with these names, of the queue or else of accounting; None when the queue does not answer."""
    queued = states.arrays_called(names)
    if queued is None:
        return None
    left = [name for name in names if name not in queued]
    return {**(states.arrays_accounted(left, since) if left else {}), **queued}


def _with_ids(sent: Sent, ids: dict[str, str]) -> Sent:
    arrays = tuple(msgspec.structs.replace(array, id=ids.get(array.name, array.id)) for array in sent.send.arrays)
    sent = Sent(folder=sent.folder, send=msgspec.structs.replace(sent.send, arrays=arrays))
    _keep(sent.folder, sent.send)
    return sent


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
                    raise UserError(f"sbatch: {problem}") from problem
                time.sleep(SETTLED_S)
                known = _arrived([array.name], sent.send.time)
                if known:
                    return known[array.name]
                absent = 0 if known is None else absent + 1


def _sbatch(sent: Sent, number: int, *, hold: bool) -> str:
    """One try. Raises UserError where Slurm refuses, ConnectionError where it may or may not have heard."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor(sent, number, hold=hold)
    with _outside_of_jobs(), contextlib.redirect_stderr(io.StringIO()):  # submitit says there what it raises
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


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """A job that sends jobs would give them its own settings; where Slurm is stays known."""
    inside = "SLURM_JOB_ID" in os.environ
    kept = {
        name: value
        for name, value in os.environ.items()
        if inside and name.startswith(OF_A_JOB) and name not in OF_THE_SITE
    }
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _refusal(said: str) -> str:
    """Slurm's own words in one line, of what submitit says over several."""
    found = re.findall(r"(?:fatal|error): (.+)", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(found[-3:])) or (lines[-1] if lines else "no reason was given")


def sends(store: Store) -> list[Sent]:
    """Everything that was sent of a store, the earliest first."""
    found = []
    for path in sorted(root(store).glob("*/send.json")):
        with contextlib.suppress(msgspec.DecodeError, OSError):
            if path.stat().st_uid != os.getuid():  # what others put there is not ours to cancel or to run
                continue
            found.append(Sent(folder=path.parent, send=msgspec.json.decode(path.read_bytes(), type=Send)))
    return found


def manifest(folder: Path) -> list[Work]:
    """What is to be done, by line."""
    return [msgspec.json.decode(line, type=Work) for line in (folder / "manifest.jsonl").read_bytes().splitlines()]
