"""Leases: one key is worked on by one process at a time, across machines that share nothing but a folder.

`leases/KEY` is made whole under another name and then linked to its own, which fails where the name exists: exclusive
on every POSIX file system, NFS included. Its holder touches it every few seconds. A holder that died is succeeded by
whoever links `leases/KEY~ATTEMPT`, with the attempt of the dead one: exactly one process can, so there is no moment
in which a dead lease is removed and two find the place empty. The holder is the end of that chain. A holder lets go
by becoming its own successor first (so that nobody else can), and then removes the chain from its root.

Whoever has acquired a lease reads the store again for the key before working: it may have been done meanwhile.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import machine
from bench.store import Store, now, writing
from bench.trial import Frozen

HEARTBEAT_S = 5.0
DEAD_AFTER_S = 60.0  # twelve missed heartbeats


class Holder(Frozen):
    """Who holds a key."""

    host: str
    boot: str  # one boot of one kernel, seen from one container
    pid: int
    start_time: int  # of that process, in clock ticks since boot
    attempt: str
    time: str


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A key held by this process. `chain` ends with our own file; the ones before it are of holders that died."""

    key: str
    attempt: str
    chain: tuple[Path, ...]

    @property
    def successor(self) -> Path:
        """The file that takes this lease over."""
        return _successor(self.chain[0], self.attempt)


def acquire(store: Store, key: str) -> Lease | None:
    """The lease of a key, or None while another process holds it. Raises UserError where the store is read-only."""
    root = store.folder("leases") / key
    attempt = secrets.token_hex(6)
    with _written(root.parent, attempt) as temporary, writing(store.path):
        clock = temporary.stat().st_mtime  # the file server's own time, which is all that mtimes compare with
        chain = None
        while chain is None:
            chain = _claim(root, temporary, clock)
    if not chain:
        return None
    _keep_alive(chain[-1], attempt)
    return Lease(key=key, attempt=attempt, chain=tuple(chain))


def release(lease: Lease) -> None:
    """Let go of a lease. One that was taken over (we were thought dead) belongs to its new holder and stays."""
    _let_die(lease.chain[-1])
    with _written(lease.chain[0].parent, f"{lease.attempt}-released") as temporary:
        if not _link(temporary, lease.successor):
            return
    if not _is_of(lease.chain[-1], lease.attempt):  # whoever took it over has let go of it, and others hold the key
        lease.successor.unlink(missing_ok=True)
        return
    for path in (*lease.chain, lease.successor):  # from the root: nobody who walks the chain sees us gone before it is
        path.unlink(missing_ok=True)


def still_mine(lease: Lease) -> bool:
    """Whether nobody has taken a lease over: asked before a checkpoint replaces a newer one."""
    return _is_of(lease.chain[-1], lease.attempt) and not lease.successor.exists()


def holder(store: Store, key: str) -> Holder | None:
    """Who holds a key, judged by this machine's clock; nothing is written."""
    *_, last = (None, *_walk(store.path / "leases" / key))
    return last.holder if last is not None and _alive(last, time.time()) else None


def running(store: Store) -> dict[str, Holder]:
    """Every key that is being worked on, and by whom."""
    try:
        names = sorted(path.name for path in (store.path / "leases").iterdir())
    except FileNotFoundError:
        return {}
    roots = [name for name in names if "~" not in name and not name.startswith(".")]
    return {key: found for key in roots if (found := holder(store, key)) is not None}


class _Seen(NamedTuple):
    """A lease file as it was found."""

    path: Path
    holder: Holder
    touched: float  # its mtime, in seconds


def _claim(root: Path, temporary: Path, clock: float) -> list[Path] | None:
    """Walk the chain and become its end: the chain, or [] while its holder lives, or None to look again."""
    chain = [root]
    while not _link(temporary, chain[-1]):
        seen = _look(chain[-1])
        if seen is None:  # let go at this moment
            return None
        successor = _successor(root, seen.holder.attempt)
        if not successor.exists() and _alive(seen, clock):
            return []
        chain.append(successor)
    if len(chain) > 1 and [seen.path for seen in _walk(root)] != chain:
        # The holder before us let go while we were walking: our file hangs on nothing.
        chain[-1].unlink()
        return None
    return chain


def _walk(root: Path) -> Iterator[_Seen]:
    """The chain of a key from its root to its holder."""
    seen = _look(root)
    while seen is not None:
        yield seen
        seen = _look(_successor(root, seen.holder.attempt))


def _look(path: Path) -> _Seen | None:
    """A lease file, or None where there is none. Opening it is what makes an NFS client ask for its real mtime."""
    try:
        with path.open("rb") as file:
            text, touched = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(text, type=Holder)
    except msgspec.DecodeError:  # damaged: nobody on this machine; it dies of age
        found = Holder(host="", boot="", pid=0, start_time=0, attempt=f"damaged-{path.name}", time="")
    return _Seen(path, found, touched)


def _is_of(path: Path, attempt: str) -> bool:
    """Whether a lease file is the one that an attempt wrote: its name may have been let go and taken again."""
    seen = _look(path)
    return seen is not None and seen.holder.attempt == attempt


def _alive(seen: _Seen, clock: float) -> bool:
    found = seen.holder
    if found.boot == machine.boot() and machine.start_time(found.pid) != found.start_time:
        return False
    return abs(clock - seen.touched) < DEAD_AFTER_S  # a file from the future was touched by a clock that was wrong


def _successor(root: Path, attempt: str) -> Path:
    return root.with_name(f"{root.name.partition('~')[0]}~{attempt}")


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An NFS server may have done it and lost its answer; the repeated request then finds the name taken.
        return temporary.stat().st_nlink == 2
    return True


@contextlib.contextmanager
def _written(folder: Path, attempt: str) -> Iterator[Path]:
    """A lease of this process under a name that nobody looks at, on disk as a whole; gone afterwards."""
    pid = os.getpid()
    mine = Holder(
        host=machine.host(),
        boot=machine.boot(),
        pid=pid,
        start_time=machine.start_time(pid) or 0,
        attempt=attempt,
        time=now(),
    )
    temporary = folder / f".{attempt}"
    try:
        with writing(folder.parent), temporary.open("wb") as file:
            file.write(msgspec.json.encode(mine))  # not synced: what a power cut leaves of it dies of age
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


_held: dict[Path, str] = {}  # lease files of this process and the attempts that wrote them
_lock = threading.Lock()


def _keep_alive(path: Path, attempt: str) -> None:
    """Touch a lease until it is let go, from one thread a process."""
    with _lock:
        _held[path] = attempt
        if not any(thread.name == "leases" for thread in threading.enumerate()):
            threading.Thread(target=_beat, name="leases", daemon=True).start()


def _let_die(path: Path) -> None:
    with _lock:
        _held.pop(path, None)


def _beat() -> None:
    while True:
        time.sleep(HEARTBEAT_S)
        with _lock:
            held = tuple(_held.items())
        for path, attempt in held:
            with contextlib.suppress(OSError):  # gone, or the server is away for a moment: the next beat tries again
                if _is_of(path, attempt):
                    os.utime(path)
