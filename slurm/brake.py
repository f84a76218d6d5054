"""The brake: what crashes in one place again and again stops all jobs of its send, those that wait and those that work.

The job that sees one crash too many says so in the send (`stopped.json`); the others look there before they begin on
anything, and with whatever they hear of their work. Trainings in hand save their checkpoints.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from bench import crashes
from bench.crashes import Repeated
from bench.files import publish
from bench.record import Failure
from bench.store import Store
from bench.trial import Frozen
from bench.work import Work
from bench.worker import Event

NAME = "stopped.json"


class Stopped(Frozen):
    """Why a send was stopped."""

    failure: Failure
    count: int


def look(folder: Path) -> None:
    """Raises Repeated where a job of the send has stopped it."""
    try:
        said = msgspec.json.decode((folder / NAME).read_bytes(), type=Stopped)
    except FileNotFoundError:
        return
    raise Repeated(said.failure, said.count)


def watched(folder: Path, works: Iterable[Work], store: Store, most: int) -> Callable[[Event], None]:
    """A listener that raises Repeated when this job, or another one of the send, has seen one crash too many."""
    hear = crashes.watched(works, store, most)

    def listen(event: Event) -> None:
        look(folder)
        try:
            hear(event)
        except Repeated as stopped:
            publish(folder / NAME, msgspec.json.encode(Stopped(failure=stopped.failure, count=stopped.count)))
            raise

    return listen
