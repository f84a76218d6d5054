"""Watching work that jobs do: the store is read for what they finish, Slurm asked now and then whether they live."""

import time
from collections.abc import Collection, Sequence

from bench import lease, plan
from bench.store import Snapshot, Store
from bench.work import Work
from bench.worker import Event
from vitab import jobs
from vitab.jobs import Queue
from vitab.progress import Progress, watching

STORE_EVERY_S = 1.0
SLURM_EVERY_S = 10.0
"""Slurm answers thousands of people: a sweep of any size asks it twice every ten seconds, and no more."""


def follow(works: Sequence[Work], store: Store, snapshot: Snapshot, *, name: str) -> Snapshot:
    """Watch until all has a record, or nobody is left who would do it. Ctrl-C ends the watching and nothing else."""
    queue, keys = jobs.look(store), {work.key for work in works}
    said = f"the jobs go on; `vitab status {name}` tells how far they are, `vitab cancel {name}` ends them"
    count = len(queue.living) if queue is not None else 0
    with watching(works, snapshot, workers=max(1, count), noun="job", stopped=said) as progress:
        waits = _waits(queue, keys)
        alone = False  # whether nobody was there at the last look: what they did is read once more
        while progress.todo:
            looked = time.monotonic()
            while progress.todo and time.monotonic() - looked < SLURM_EVERY_S:
                snapshot = _hear(progress, store, snapshot, waits)
                if not progress.todo or alone:
                    break
                time.sleep(STORE_EVERY_S)
            if alone:
                break
            queue = jobs.look(store)
            waits = _waits(queue, keys)
            held = lease.running(store).keys() & progress.todo.keys()
            alone = queue is not None and not queue.living and not held
            progress.workers = max(1, len(queue.living)) if queue is not None else progress.workers
    return snapshot


def _waits(queue: Queue | None, keys: Collection[str]) -> str:
    """What to say while nobody works on any of it: the jobs, in Slurm's words."""
    if queue is None:
        return "Slurm does not answer"
    return next(iter(jobs.sentences(queue.of(keys), keys)), "")


def _hear(progress: Progress, store: Store, snapshot: Snapshot, waits: str) -> Snapshot:
    """Tell of what has a record since it was sent, and of what is being done."""
    snapshot = store.read(snapshot)
    for work in list(progress.todo.values()):
        record = plan.answer(work, snapshot)
        if record is not None:
            done = Event(event="done", key=work.key, failure=record.failure, seconds=record.seconds)
            progress.hear(done, work)
    held = lease.running(store).keys()
    progress.running = {
        key: f"{progress.name(work)} {work.measure}" for key, work in progress.todo.items() if key in held
    } or ({"": waits} if waits and progress.todo else {})
    progress.show()
    return snapshot
