"""Crashes: the same traceback in many trials is one mistake, which the rest of a sweep would only repeat.

A record of a crash keeps where it was raised: every frame as `bench/train/loop.py:104 in _step: loss.backward()`, and
the exception last. Two are the same when their frames and the exception's type are; the message may name what differs
from trial to trial. A sweep stops at MOST of the same, counted over the works of one call, whoever did them.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.record import Failure
from bench.work import Work

if TYPE_CHECKING:
    from bench.store import Snapshot, Store
    from bench.worker import Event

MOST = 10
"""Crashes in one place after which a sweep stops, where the call says no other number; 0: never."""

MOST_FRAMES = 30
OURS = Path(__file__).resolve().parents[1]


class Repeated(Exception):
    """A sweep was stopped: so many pieces of work have crashed in the same place."""

    def __init__(self, failure: Failure, count: int) -> None:
        super().__init__(f"stopped: {count} × {failure.reason}")
        self.failure = failure
        self.count = count


def where(problem: BaseException) -> str:
    """The frames of an exception, the innermost last, in lines that are the same on every machine, and its name."""
    frames = traceback.extract_tb(problem.__traceback__)[-MOST_FRAMES:]
    lines = [
        f"{_place(frame.filename)}:{frame.lineno} in {frame.name}: {frame.line or ''}".rstrip() for frame in frames
    ]
    return "\n".join([*lines, type(problem).__qualname__])


def _place(filename: str) -> str:
    """A file's path in our packages, in an installed library, or from its last two folders on."""
    path = Path(filename)
    if path.is_relative_to(OURS):
        return str(path.relative_to(OURS))
    parts = path.parts
    if "site-packages" in parts:
        return "/".join(parts[parts.index("site-packages") + 1 :])
    return "/".join(parts[-3:])


def repeated(works: Iterable[Work], snapshot: "Snapshot", most: int) -> Repeated | None:
    """The crash that so many of these pieces of work have come to since they were planned; None: there is none."""
    from bench import plan  # a command line asks for MOST alone, and has no time to lose

    found: Counter[str] = Counter()
    for work in works:
        record = plan.answer(work, snapshot)
        if record is None or record.failure is None or record.failure.traceback is None:
            continue
        found[record.failure.traceback] += 1
        if 0 < most <= found[record.failure.traceback]:
            return Repeated(record.failure, found[record.failure.traceback])
    return None


def watched(works: Iterable[Work], store: "Store", most: int) -> "Callable[[Event], None]":
    """A listener that raises Repeated as soon as a crash is one too many."""
    works, snapshot = list(works), None

    def hear(event: "Event") -> None:
        nonlocal snapshot
        if event.event == "done" and event.failure is not None and event.failure.traceback is not None:
            snapshot = store.read(snapshot)
            if (stopped := repeated(works, snapshot, most)) is not None:
                raise stopped

    return hear
