"""The plan: which work is missing in a store, in an order in which it can be done, and how long it may take."""

import statistics
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import msgspec

from bench import here, machine, registry
from bench.errors import UserError
from bench.record import TRAIN, Record
from bench.store import Snapshot, best
from bench.trial import Trial
from bench.work import Work


def missing(
    works: Iterable[Work],
    snapshot: Snapshot,
    *,
    weights_ready: Callable[[str], bool],
    retry_failed: bool = False,
) -> list[Work]:
    """What has to be done, weights before what needs them; equal keys once, otherwise in the order given.

    Left out: what has a record that serves, what failed before (unless it is to be tried again; what lacked something
    always is), and trainings whose weights are complete or that nothing missing needs. Raises UserError for trainings
    that wait for each other.
    """
    unique: dict[str, Work] = {}
    for work in works:
        unique.setdefault(work.key, work)
    ready = cache(weights_ready)
    planned: dict[str, Work] = {}
    waiting: list[str] = []  # trainings whose own needs are being planned

    def blocked(work: Work) -> bool:
        """Whether a failure on record keeps work from being tried: its own, or that of weights that it needs."""
        failure = None if retry_failed else failed(work, snapshot)
        if failure is None or failure.failure is None:
            return False
        return failure.failure.kind != "upstream" or any(
            not ready(key) and (key not in unique or blocked(unique[key])) for key in work.after
        )

    def add(work: Work) -> None:
        if work.key in waiting:
            circle = [*waiting[waiting.index(work.key) :], work.key]
            raise UserError("weights need themselves: " + " → ".join(unique[key].label or key for key in circle))
        waiting.append(work.key)
        for key in work.after:
            if not ready(key) and key not in planned and key in unique and not blocked(unique[key]):
                add(unique[key])
        waiting.pop()
        planned[work.key] = _replacing(work, snapshot)

    for work in unique.values():
        if work.measure != TRAIN and serving(work, snapshot) is None and not blocked(work):
            add(work)
    return list(planned.values())


def serving(work: Work, snapshot: Snapshot) -> Record | None:
    """The measured record that answers a piece of work; None: there is none whose bound facts still hold here."""
    measured = [record for record in standing(work, snapshot) if record.failure is None]
    return best(measured) if measured else None


def failed(work: Work, snapshot: Snapshot) -> Record | None:
    """The failure on record of a piece of work that nothing serves, or None. What only lacked something is none."""
    record = _last(work, snapshot)
    return record if record is not None and not _is_lack(record) else None


def lacking(work: Work, snapshot: Snapshot) -> Record | None:
    """The record of a piece of work that lacked data, weights or a package when it was tried: it may be here by now."""
    record = _last(work, snapshot)
    return record if record is not None and _is_lack(record) else None


def _last(work: Work, snapshot: Snapshot) -> Record | None:
    records = standing(work, snapshot)
    return records[-1] if records and all(record.failure is not None for record in records) else None


def _is_lack(record: Record) -> bool:
    return record.failure is not None and record.failure.kind == "needs"


def answer(work: Work, snapshot: Snapshot) -> Record | None:
    """The record of a piece of work that was made since it was planned, whoever made it."""
    made = [record for record in snapshot.attempts.get(work.key, ()) if record.attempt not in work.replaces]
    return best(made) if made else None


def estimate(works: Iterable[Work], snapshot: Snapshot) -> float | None:
    """Seconds of work on one worker; None where the store knows too little to say. See `estimator`."""
    of = estimator(snapshot)
    total = 0.0
    for work in works:
        seconds = of(work)
        if seconds is None:
            return None
        total += seconds
    return total


def estimator(snapshot: Snapshot) -> Callable[[Work], float | None]:
    """A function: seconds that a piece of work takes one worker, from the medians of what the store holds, or None.

    Work like it is the same measure of a model, data and training of the same size; of a measurement also the same
    measure of the same model, or of any model. A training of another size says nothing.
    """
    alike: dict[tuple[Any, ...], list[float]] = {}
    for record in snapshot.records.values():
        if record.failure is None and record.seconds is not None:
            for likeness in _likenesses(record.measure, record.trial):
                alike.setdefault(likeness, []).append(record.seconds)
    typical = {likeness: statistics.median(seconds) for likeness, seconds in alike.items()}

    def seconds(work: Work) -> float | None:
        return next((typical[one] for one in _likenesses(work.measure, work.trial) if one in typical), None)

    return seconds


def _likenesses(measure: str, trial: Trial) -> list[tuple[Any, ...]]:
    """What work must have in common to take about as long, the closest first."""
    knobs = tuple((name, str(value)) for name, value in sorted(trial.model.knobs.items()) if isinstance(value, int))
    data = None if trial.data is None else (trial.data.name, trial.data.subset)
    train = None if trial.train is None else (trial.train.image, trial.train.epochs, trial.train.batch)
    if trial.command is not None:
        knobs = tuple((name, str(value)) for name, value in sorted(trial.command.arguments.items()))
    size = (measure, trial.model.name, knobs, trial.input.image, data, train if measure == TRAIN else None)
    return [size] if measure == TRAIN else [size, (measure, trial.model.name), (measure,)]


def standing(work: Work, snapshot: Snapshot) -> list[Record]:
    """Records of a key that say something here and now, the earliest first: what they were made of is no other here."""
    attempts = snapshot.attempts.get(work.key, ())
    if not attempts or work.measure == TRAIN:
        return list(attempts)
    libraries: tuple[str, ...] = getattr(registry.load("measures", work.measure), "REMEASURE_IF_CHANGED", ())
    found = [
        record
        for record in reversed(attempts)  # the latest knows best whether what is kept of a digest is out of date
        if not any(_changed(record, library) for library in libraries)
        and here.contradiction(work, record, snapshot) is None
    ]
    return found[::-1]


def _changed(record: Record, library: str) -> bool:
    """Whether a library is known to have had another version; what either side does not know contradicts nothing."""
    then, now = record.bound.get(library), machine.version(library)
    return then is not None and now is not None and then != now


def _replacing(work: Work, snapshot: Snapshot) -> Work:
    """Work that says which attempts do not answer it."""
    known = tuple(record.attempt for record in snapshot.attempts.get(work.key, ()))
    return msgspec.structs.replace(work, replaces=known) if known else work
