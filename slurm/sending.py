"""Sending: packed work becomes a folder that jobs can work from.

Nothing is pickled. A send has a folder beside the store, readable by its user alone: what is to be done
(`manifest.jsonl`), how it is packed (`send.json`), a copy of our packages as they are now (`code/`), scripts and logs.
Each job is `python -m slurm.job FOLDER ARRAY`, and its index in the array says which list is its own.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import crashes, machine, trust
from bench.errors import UserError
from bench.files import publish
from bench.store import Store, now
from bench.trial import Frozen
from bench.work import Work
from slurm import snapshot
from slurm.packing import Job
from slurm.request import Request

FORMAT = 1


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
    stop_after: int = crashes.MOST  # crashes in one place; 0: never
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


def prepare(
    waves: Sequence[Sequence[Job]],
    store: Store,
    request: Request,
    *,
    study: str,
    max_array_size: int,
    stop_after: int = crashes.MOST,
) -> Sent:
    """Write all that the jobs will need; nothing is sent yet. Raises UserError where that cannot be."""
    moment = now()
    mark = _mark(study, moment)
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
        stop_after=stop_after,
    )
    publish(folder / "manifest.jsonl", b"".join(msgspec.json.encode(work) + b"\n" for work in works))
    snapshot.take(folder / "code")
    _keep(folder, send)
    return Sent(folder=folder, send=send)


def _mark(study: str, moment: str) -> str:
    """The name of a send, no part of which means anything to a shell, to a path or to Slurm."""
    stamp = "".join(character for character in moment if character.isdigit())[:17]
    return f"{stamp}-{re.sub(r'[^A-Za-z0-9_.-]', '-', study)[:60]}-{os.getpid()}"


def made_root(store: Store) -> Path:
    """The same, there, and such that nobody else changes what jobs run. Raises UserError where that cannot be."""
    folder = root(store)
    if bad := sorted({letter for letter in str(folder) if letter in "%\\:" or not letter.isprintable()}):
        said = " ".join(repr(letter) for letter in bad)
        raise UserError(f"store {str(store.path)!r}: Slurm jobs need a path without {said}")
    store.folder("records")
    trust.check(folder, "jobs run what lies there")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as problem:
        raise UserError(f"{folder}: {(problem.strerror or str(problem)).lower()}") from problem
    trust.check(folder, "jobs run what lies there")  # somebody else may have made it in between
    return folder


@contextlib.contextmanager
def alone(store: Store) -> Iterator[None]:
    """One sender of a user's at a time, so that the next finds in the queue what the one before has sent.

    Where a file system keeps no locks they do not wait for each other: leases see to it that nothing runs twice.
    """
    with (made_root(store) / ".lock").open("ab") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder(store: Store, name: str) -> Path:
    """A new one, that nobody else can read or write. Raises UserError."""
    folder = made_root(store) / name
    try:
        folder.mkdir(mode=0o700)
        (folder / "jobs").mkdir()
    except OSError as problem:
        raise UserError(f"{folder}: {(problem.strerror or str(problem)).lower()}") from problem
    return folder


def _keep(folder: Path, send: Send) -> None:
    publish(folder / "send.json", msgspec.json.format(msgspec.json.encode(send), indent=1))


def with_ids(sent: Sent, ids: dict[str, str]) -> Sent:
    """The same with what Slurm calls its arrays, by their names; written down."""
    sent = called(sent, ids)
    _keep(sent.folder, sent.send)
    return sent


def called(sent: Sent, ids: dict[str, str]) -> Sent:
    """The same with what Slurm calls its arrays, by their names."""
    arrays = tuple(msgspec.structs.replace(array, id=ids.get(array.name, array.id)) for array in sent.send.arrays)
    return Sent(folder=sent.folder, send=msgspec.structs.replace(sent.send, arrays=arrays))


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
