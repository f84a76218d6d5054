"""The store: a folder that anyone can read, copy and merge, and that executes nothing.

    records/HOST-PID-START.jsonl   one file a process life, only ever appended to (format: bench/record.py)
    leases/KEY                     who works on a key right now (bench/lease.py)
    weights/KEY/                   checkpoints, curve, predictions; `done.json` says that they are complete
    scores/                        what was kept of predictions that came from elsewhere
    studies/NAME/                  what was sent

Reading changes nothing here, and needs no index: 10,000 records are read, typed, in about 0.2 s.
"""

import gc
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import machine, weights
from bench.errors import UserError
from bench.record import FORMAT, Record, Start

DEEPEST = 64  # values inside each other: a record has seven

_LINE = msgspec.json.Decoder(Start | Record)
_STRING = re.compile(rb'"(?:[^"\\]|\\.?)*(?:"|$)')  # to the line's end where nothing closes it: looked at once
_BRACKET = re.compile(rb"[\[{\]}]")


class Position(NamedTuple):
    """How far a records file was read: whole lines only."""

    bytes: int
    lines: int


START = Position(0, 0)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a store held when it was read."""

    attempts: dict[str, tuple[Record, ...]] = field(default_factory=dict)  # key → every record, the earliest first
    records: dict[str, Record] = field(default_factory=dict)  # key → the best of them
    starts: tuple[Start, ...] = ()
    broken: tuple[str, ...] = ()  # lines that say nothing to this reader, one line of explanation each
    torn: tuple[str, ...] = ()  # last lines without their end: a process that died while writing, or writes just now
    positions: dict[str, Position] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)  # the store that was read
    trained: dict[str, weights.Done | None] = field(default_factory=dict, compare=False)  # asked by bench/here.py
    found: dict[tuple[str, ...], Any] = field(default_factory=dict, compare=False)  # by the same, with no store

    @property
    def problems(self) -> tuple[str, ...]:
        """What was skipped, one line each."""
        return (*self.broken, *self.torn)


@dataclass(frozen=True)
class Store:
    """A store at a path; a folder that does not exist reads as empty and is made by the first writer."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).absolute())

    def folder(self, *names: str) -> Path:
        """A folder of the store, made where it is missing. Raises UserError where it cannot be."""
        folder = self.path.joinpath(*names)
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def weights_folder(self, key: str) -> Path:
        """Where the weights of a key lie, or would."""
        return self.path / "weights" / key

    def weights_ready(self, key: str) -> bool:
        """Whether the weights of a key are there and complete."""
        return weights.done(self.weights_folder(key)) is not None

    def append(self, line: Start | Record) -> None:
        """Append one line to this process's own file, and return when the disk has it. Raises UserError."""
        data = msgspec.json.encode(line) + b"\n"
        path = self.folder("records") / f"{machine.host()}-{os.getpid()}-{machine.start_time(os.getpid())}.jsonl"
        with writing(self.path):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a full disk cut the line before this one
                    data = b"\n" + data
                written = os.write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if size == 0:
                _sync_folder(path.parent)
        if written != len(data):
            raise UserError(f"store {str(self.path)!r} is full: a record was cut after {written} of {len(data)} bytes")

    def read(self, since: Snapshot | None = None) -> Snapshot:
        """Every record and start. With an earlier snapshot only what was appended to the files since then."""
        records = self.path / "records"
        sizes = _sizes(records)
        known = since or Snapshot()
        if any(sizes.get(name, -1) < read.bytes for name, read in known.positions.items()):
            known = Snapshot()  # a file was replaced: nothing of what was read before need be true any more
        grown = [name for name, size in sizes.items() if size > known.positions.get(name, START).bytes]
        if not grown:
            return known
        with _without_collection():
            parts = {name: _read_file(records / name, known.positions.get(name, START)) for name in grown}
        ends = [record for part in parts.values() for record in part.ends]
        attempts = _merge(known.attempts, ends)
        return Snapshot(
            attempts=attempts,
            records=known.records | {key: best(attempts[key]) for key in dict.fromkeys(record.key for record in ends)},
            # A merged store may hold one file under two names.
            starts=tuple(dict.fromkeys((*known.starts, *(start for part in parts.values() for start in part.starts)))),
            broken=(*known.broken, *(line for part in parts.values() for line in part.broken)),
            torn=tuple(part.torn for part in parts.values() if part.torn is not None),
            positions=known.positions | {name: part.position for name, part in parts.items()},
            folder=self.path,
        )


def best(attempts: Iterable[Record]) -> Record:
    """The record that stands for a key: measured beats failed, then the later."""
    return max(attempts, key=lambda record: (record.failure is None, record.time))


def now() -> str:
    """This moment as records write it."""
    return iso(time.time())


def iso(seconds: float) -> str:
    """A moment, in seconds since 1970, as records write it: ISO 8601, UTC, milliseconds; later ones sort later."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into one line."""
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"store {str(path)!r} cannot be written: {(problem.strerror or str(problem)).lower()}"
        ) from problem


class _Part(NamedTuple):
    """What was read of one file."""

    starts: list[Start]
    ends: list[Record]
    broken: list[str]
    torn: str | None
    position: Position


def _read_file(path: Path, position: Position) -> _Part:
    """A records file from a position to its end."""
    with path.open("rb") as file:
        file.seek(position.bytes)
        *lines, rest = file.read().split(b"\n")
    starts, ends, broken = [], [], []
    for number, line in enumerate(lines, position.lines + 1):
        try:
            read = _LINE.decode(_shallow(line))
        except msgspec.DecodeError as problem:
            if line:
                broken.append(f"records/{path.name}:{number}: {_complaint(line, problem)}; skipped")
            continue
        if read.format != FORMAT:
            broken.append(f"records/{path.name}:{number}: {_unknown_format(read.format)}; skipped")
        elif isinstance(read, Start):
            starts.append(read)
        else:
            ends.append(read)
    torn = f"records/{path.name}: its last line is torn after {len(rest)} bytes; skipped" if rest else None
    whole = Position(position.bytes + sum(map(len, lines)) + len(lines), position.lines + len(lines))
    return _Part(starts, ends, broken, torn, whole)


def _shallow(line: bytes) -> bytes:
    """A line whose values can be walked. Raises DecodeError for one that is nested deeper than any record is."""
    if line.count(b"[") + line.count(b"{") > DEEPEST:
        depth = 0
        for bracket in _BRACKET.findall(_STRING.sub(b"", line)):
            depth += 1 if bracket in b"[{" else -1
            if depth > DEEPEST:
                raise msgspec.DecodeError(f"more than {DEEPEST} values inside each other")
    return line


class _Head(msgspec.Struct):
    """What every format has said and will say."""

    format: int


def _complaint(line: bytes, problem: msgspec.DecodeError) -> str:
    """Why a line says nothing: written by a newer program, or damaged."""
    try:
        head = msgspec.json.decode(_shallow(line), type=_Head)
    except msgspec.DecodeError:
        return "broken line"
    return f"broken line ({problem})" if head.format == FORMAT else _unknown_format(head.format)


def _unknown_format(format_: int) -> str:
    return f"format {format_} is unknown here (known: {FORMAT})"


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every records file, in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: entry.stat().st_size
                for entry in sorted(entries, key=lambda entry: entry.name)
                if entry.name.endswith(".jsonl")
            }
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise UserError(f"store {str(folder.parent)!r} cannot be read: {(problem.strerror or '').lower()}") from problem


def _merge(known: dict[str, tuple[Record, ...]], ends: list[Record]) -> dict[str, tuple[Record, ...]]:
    """Attempts by key in the order of their times; a record that stands in two files counts once."""
    added: dict[str, list[Record]] = {}
    for record in ends:
        added.setdefault(record.key, []).append(record)
    merged = dict(known)
    for key, records in added.items():
        once = {(record.attempt, record.time): record for record in (*known.get(key, ()), *records)}
        merged[key] = tuple(sorted(once.values(), key=lambda record: record.time))
    return merged


def _sync_folder(folder: Path) -> None:
    """A new file's name survives a power cut only when its folder was synced too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage collection while many objects are made and none dropped: reading takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
