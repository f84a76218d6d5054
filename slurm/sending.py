"""Sending: packed work to Slurm, as arrays, through submitit's writer of batch scripts.

Nothing is pickled. A send has a folder beside the store, readable by its user alone: what is to be done
(`manifest.jsonl`), how it is packed (`send.json`), a copy of our packages as they are now (`code/`), scripts and logs.
Each job is `python -m slurm.job FOLDER ARRAY`, and its index in the array says which list is its own.
"""

import contextlib
import getpass
import os
import re
import shlex
import shutil
import subprocess
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
from slurm.packing import Job
from slurm.request import Request, site

FORMAT = 1
PACKAGES = ("ablations", "bench", "reports", "slurm", "vitab")
UNREACHABLE = ("unable to contact slurm controller", "socket timed out", "connection refused", "communications error")
PATIENCE_S = 120.0
"""How long a controller that does not answer is asked again: it restarts in seconds."""


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
    """Where folders of sends lie: beside the store, because nodes see both or neither."""
    return store.path.with_name(f"{store.path.name}.jobs")


def prepare(waves: Sequence[Sequence[Job]], store: Store, request: Request, *, study: str, max_array_size: int) -> Sent:
    """Write all that the jobs will need; nothing is sent yet. Raises UserError where that cannot be."""
    moment = now()
    stamp = "".join(character for character in moment if character.isdigit())[:17]
    folder = root(store) / f"{stamp}-{study}-{os.getpid()}"
    store.folder("records")
    try:
        root(store).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        (folder / "jobs").mkdir()
    except OSError as problem:
        raise UserError(f"{folder}: {(problem.strerror or str(problem)).lower()}") from problem
    works = [work for wave in waves for job in wave for work in job.works]
    lines = {work.key: number for number, work in enumerate(works)}
    arrays: list[Array] = []
    before: tuple[int, ...] = ()
    for number, wave in enumerate(waves):
        own = [tuple(lines[work.key] for work in job.works) for job in wave]
        chunks = [own[start : start + max_array_size] for start in range(0, len(own), max_array_size)]
        first = len(arrays)
        for part, chunk in enumerate(chunks):
            name = f"vitab-{study}-{stamp}-{os.getpid()}-{number}.{part}"
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


def _snapshot(folder: Path) -> None:
    """A copy of our packages: later edits of the checkout do not change what was sent."""
    ours = Path(__file__).resolve().parents[1]
    for package in PACKAGES:
        shutil.copytree(
            ours / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), symlinks=False
        )


def _keep(folder: Path, send: Send) -> None:
    publish(folder / "send.json", msgspec.json.format(msgspec.json.encode(send), indent=1))


def submit(sent: Sent, *, hold: bool = False) -> Sent:
    """Send what was prepared, array after array; each id is written down as soon as it is known.

    Raises UserError with Slurm's own words where it refuses; what was sent before stays sent.
    """
    if shutil.which("sbatch") is None:
        raise Needs("Slurm's sbatch, which is not on this machine's PATH")
    for number, array in enumerate(sent.send.arrays):
        if array.id is None:
            known = {before: str(sent.send.arrays[before].id) for before in array.after}
            job = _submit(sent, number, tuple(known.values()), hold=hold)
            arrays = list(sent.send.arrays)
            arrays[number] = msgspec.structs.replace(array, id=job)
            sent = Sent(folder=sent.folder, send=msgspec.structs.replace(sent.send, arrays=tuple(arrays)))
            _keep(sent.folder, sent.send)
    return sent


def _submit(sent: Sent, number: int, after: Sequence[str], *, hold: bool) -> str:
    import submitit
    from submitit.core.utils import FailedJobError

    array = sent.send.arrays[number]
    with _outside_of_jobs():
        executor = submitit.SlurmExecutor(folder=sent.folder / "jobs")
        executor.update_parameters(**parameters(sent, number, after, hold=hold))
        executor.parameters["map_count"] = len(array.own)
        deadline = time.monotonic() + PATIENCE_S
        pause = 1.0
        while True:
            try:
                return str(executor._submit_command(command(sent, number)).job_id)
            except FailedJobError as problem:
                said = _refusal(str(problem))
                if not any(sign in said.lower() for sign in UNREACHABLE) or time.monotonic() > deadline:
                    raise UserError(f"sbatch: {said}") from problem
            time.sleep(pause)
            pause = min(2 * pause, 15)
            if known := states.array_called(array.name):  # it had arrived: only the answer was lost
                return known


def parameters(sent: Sent, number: int, after: Sequence[str], *, hold: bool) -> dict[str, Any]:
    """As submitit calls them, for one array."""
    exports = {"PYTHONPATH": sent.folder / "code", "VITAB_COMMIT": sent.send.commit or "", "VITAB_DATA": _data()}
    said = sent.send.request.parameters() | {
        "job_name": sent.send.arrays[number].name,
        "setup": [*site().setup, *(f"export {name}={shlex.quote(str(value))}" for name, value in exports.items())],
        "additional_parameters": {"requeue": True, **({"hold": True} if hold else {})},
    }
    if after:
        said["dependency"] = "afterany:" + ":".join(after)
    return said


def command(sent: Sent, number: int) -> str:
    """What a job runs; every word is quoted, none comes from a spec."""
    words = [sys.executable, "-P", "-u", "-m", "slurm.job", str(sent.folder), str(number)]
    return " ".join(shlex.quote(word) for word in words)


def _data() -> Path:
    return Path(os.environ.get("VITAB_DATA", "data")).absolute()


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """A job that sends jobs would give them its own settings; where Slurm is stays known."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SLURM_") and name != "SLURM_CONF"}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _refusal(said: str) -> str:
    """Slurm's own words, of what submitit says over several lines."""
    found = re.findall(r"(?:sbatch: )?(?:fatal|error): (.+)", said)
    lines = [line for line in said.splitlines() if line.strip()]
    return str(found[-1]) if found else lines[-1] if lines else "no reason was given"


def limits() -> tuple[int, int | None]:
    """The site's largest array, and how many jobs this user may have in the queue (None: no limit is known)."""
    config = _ask("scontrol", "show", "config")
    if config is None:
        raise Needs("Slurm: `scontrol show config` does not answer here")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    largest = int(found[1]) if found else 1001
    user = getpass.getuser()
    said = _ask("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=maxsubmitjobs")
    numbers = [int(line) for line in (said or "").splitlines() if line.strip().isdigit()]
    return max(1, largest), min(numbers) if numbers else None


def _ask(*command: str) -> str | None:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None


def sends(store: Store) -> list[Sent]:
    """Everything that was sent of a store, the earliest first."""
    found = []
    for path in sorted(root(store).glob("*/send.json")):
        with contextlib.suppress(msgspec.DecodeError, OSError):
            found.append(Sent(folder=path.parent, send=msgspec.json.decode(path.read_bytes(), type=Send)))
    return found


def manifest(folder: Path) -> list[Work]:
    """What is to be done, by line."""
    return [msgspec.json.decode(line, type=Work) for line in (folder / "manifest.jsonl").read_bytes().splitlines()]
