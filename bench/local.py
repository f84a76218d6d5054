"""Running here: work spread over worker processes of this machine, one piece in flight each.

A worker that is killed costs one piece of work: that is tried once more, and then recorded as a failure while its
neighbours go on. Keys that another submitter works on are waited for, so that sixteen submitters of one study at once
end with the same finished store, in which everything was done once.
"""

import os
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import interruption, lease, machine, micro_batches, plan
from bench import slot as slots
from bench.errors import UserError
from bench.record import Failure, Record
from bench.slot import Slot
from bench.store import Snapshot, Store, now
from bench.train import processes
from bench.work import Work
from bench.worker import Event, Stop, perform

TICK_S = 0.5  # between looks at time limits, and at workers that ended without closing their pipe
POLL_S = 1.0  # between looks at what other submitters hold
GRACE_S = 3.0  # for a training to save its checkpoint
DEATHS = 2  # of processes by one piece of work: no third try
EARLY_DEATHS = 5  # in a row, of workers before they began on anything: they cannot

OnEvent = Callable[[Event, Work], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the work, by key."""

    measured: tuple[str, ...]
    failed: tuple[str, ...]
    elsewhere: tuple[str, ...]  # of both, what another submitter did


@dataclass(kw_only=True)
class _Run:
    """All work of one call: pending, in a slot, held by another process, or ended."""

    store: Store
    slots: list[Slot]
    on_event: OnEvent
    pending: dict[str, Work]
    held: dict[str, Work] = field(default_factory=dict)
    ended: dict[str, Event] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)  # of processes, by what they worked on
    early_deaths: int = 0  # in a row, of workers that never began on anything
    snapshot: Snapshot = field(default_factory=Snapshot)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)


def _quiet(event: Event, work: Work) -> None:
    """Nobody is listening."""


def run(
    works: Iterable[Work],
    store: Store,
    *,
    workers: int,
    on_event: OnEvent = _quiet,
    grace_s: float = GRACE_S,
    patience_s: float | None = None,
    signals: tuple[int, ...] = (signal.SIGTERM,),
) -> Outcome:
    """Do work, weights before what needs them, and return when all of it has a record.

    `signals` end it as Ctrl-C does, and trainings then have `grace_s` to save a checkpoint. When nothing is left but
    what others hold, it is waited for, `patience_s` at most where that is given. Raises Stopped after a signal,
    KeyboardInterrupt after SIGINT, when the workers are gone; UserError when they cannot start.
    """
    folder = store.folder("logs")
    pending = {work.key: work for work in works}
    places = [
        Slot(gpus=gpus, log=folder / f"{machine.host()}-{os.getpid()}-{index}.log")
        for index, gpus in enumerate(slots.places(workers, processes.most(pending.values())))
    ]
    state = _Run(store=store, slots=places, on_event=on_event, pending=pending)
    finished = False
    with interruption.by(signals), state.selector:
        try:
            _work_off(state, patience_s)
            finished = True
        finally:
            slots.end(places, interrupt=not finished, grace_s=grace_s)
    return _outcome(state)


def run_here(works: Iterable[Work], store: Store, *, on_event: OnEvent = _quiet) -> Outcome:
    """Do work in this process, one after another, for a debugger. Time limits are not kept."""
    slot = Slot()
    state = _Run(store=store, slots=[slot], on_event=on_event, pending={work.key: work for work in works})
    say = partial(_on_event, state, slot)
    while state.pending or state.held:
        work = _next(state)
        if work is None:
            time.sleep(POLL_S)
            _look_at_held(state)
        else:
            slot.work, slot.attempt = state.pending.pop(work.key), ""
            state.snapshot = perform(work, store, state.snapshot, say=say, stop=Stop())
    return _outcome(state)


def _outcome(run: _Run) -> Outcome:
    return Outcome(
        measured=tuple(key for key, event in run.ended.items() if event.failure is None),
        failed=tuple(key for key, event in run.ended.items() if event.failure is not None),
        elsewhere=tuple(run.elsewhere),
    )


def _work_off(run: _Run, patience_s: float | None) -> None:
    """Feed and hear workers until nothing is left to do, or nothing but what others hold, for too long."""
    looked = busy = time.monotonic()
    while run.pending or run.held or any(slot.work for slot in run.slots):
        _feed(run)
        for ready, _ in run.selector.select(TICK_S):
            _hear(run, ready.data)
        for slot in run.slots:
            if slot.process is not None and slots.has_ended(slot):
                _bury(run, slot)
            elif slot.attempt and slot.work and slot.work.timeout_s is not None and not slot.too_long:
                slot.too_long = time.monotonic() - slot.began > slot.work.timeout_s
                if slot.too_long:
                    slots.kill(slot)
        if any(slot.work for slot in run.slots):
            busy = time.monotonic()
        if run.held and time.monotonic() - looked > POLL_S:
            _look_at_held(run)
            looked = time.monotonic()
        if patience_s is not None and looked - busy > patience_s:
            return


def _feed(run: _Run) -> None:
    """Give every idle slot something to do, while there is something that can be done."""
    for slot in run.slots:
        work = _next(run) if slot.work is None else None
        if work is None:
            continue
        if slot.process is None:
            slots.start(slot, run.store.folder())
            run.selector.register(slot.events, selectors.EVENT_READ, slot)
        slots.send(slot, run.pending.pop(work.key))


def _next(run: _Run) -> Work | None:
    """The first pending work that needs no weights which are still to be made, here or elsewhere."""
    busy = {slot.work.key for slot in run.slots if slot.work}
    for work in run.pending.values():
        if not any(key in run.pending or key in run.held or key in busy for key in work.after):
            return work
    if run.pending and not run.held and not busy:
        raise UserError("weights need themselves: " + ", ".join(work.label or key for key, work in run.pending.items()))
    return None


def _hear(run: _Run, slot: Slot) -> bool:
    """Take in what a worker said; whether there may be more."""
    said = slots.hear(slot)
    if said is None:
        run.selector.unregister(slot.events)
    for event in said or ():
        _on_event(run, slot, event)
    return bool(said)


def _on_event(run: _Run, slot: Slot, event: Event) -> None:
    work = slot.work
    if work is None or event.key != work.key:  # ready
        return
    run.early_deaths = 0
    if event.event == "started":
        slot.attempt, slot.began = event.attempt, time.monotonic()
    if event.event in ("held", "done"):
        slot.work = None
    if event.event == "held":
        run.held[work.key] = work
    if event.event == "done":
        _finish(run, work, event, here=event.attempt == slot.attempt)
    else:
        run.on_event(event, work)


def _finish(run: _Run, work: Work, event: Event, *, here: bool) -> None:
    run.ended[work.key] = event
    if not here:
        run.elsewhere.append(work.key)
    run.on_event(event, work)


def _bury(run: _Run, slot: Slot) -> None:
    """A worker is gone: hear its last words, end its children, and decide what becomes of its work."""
    while slot.events in run.selector.get_map() and _hear(run, slot):
        pass
    if slot.events in run.selector.get_map():  # held open by a child of the worker
        run.selector.unregister(slot.events)
    code = slots.clear(slot)
    work, slot.work = slot.work, None
    if work is None:
        return
    run.snapshot = run.store.read(run.snapshot)
    record = plan.answer(work, run.snapshot)  # it may have died between its record and its word
    if record is not None:
        _finish(run, work, _done(record), here=record.attempt == slot.attempt)
    elif slot.too_long:
        _fail(run, slot, work, Failure(kind="timed_out", reason=f"longer than {work.timeout_s:g} s"))
    elif not slot.attempt:
        run.early_deaths += 1
        if run.early_deaths >= EARLY_DEATHS:
            raise UserError(f"workers end before they begin: {_last_line(slot.log)} (log: {slot.log})")
        run.pending = {work.key: work, **run.pending}
    else:
        failure = _how_it_ended(code, out_of_memory=slots.out_of_memory() > slot.out_of_memory)
        smaller = failure.kind == "out_of_memory" and micro_batches.split(work, run.store, slot.attempt)
        run.deaths[work.key] += not smaller
        if run.deaths[work.key] >= DEATHS:
            _fail(run, slot, work, failure)
        else:
            run.pending = {work.key: work, **run.pending}
            run.on_event(Event(event="died", key=work.key, attempt=slot.attempt), work)


def _fail(run: _Run, slot: Slot, work: Work, failure: Failure) -> None:
    """Record what a worker could not, under the attempt that its start line named."""
    mine = lease.acquire(run.store, work.key)
    if mine is None:  # another submitter has succeeded the dead worker
        run.held[work.key] = work
        return
    try:
        run.snapshot = run.store.read(run.snapshot)
        record = plan.answer(work, run.snapshot)
        here = record is None
        if record is None:
            record = Record(
                key=work.key,
                measure=work.measure,
                version=work.version,
                attempt=slot.attempt,
                time=now(),
                seconds=time.monotonic() - slot.began,
                trial=micro_batches.noted(work, run.store).trial,
                failure=failure,
                environment=machine.environment(),
            )
            run.store.append(record)
    finally:
        lease.release(mine)
    _finish(run, work, _done(record), here=here)


def _look_at_held(run: _Run) -> None:
    """See what other submitters have finished, and take back what they let go or died over."""
    run.snapshot = run.store.read(run.snapshot)
    for work in tuple(run.held.values()):
        record = plan.answer(work, run.snapshot)
        if record is not None:
            del run.held[work.key]
            _finish(run, work, _done(record), here=False)
        elif lease.holder(run.store, work.key) is None:
            run.pending = {work.key: run.held.pop(work.key), **run.pending}


def _done(record: Record) -> Event:
    return Event(event="done", key=record.key, attempt=record.attempt, failure=record.failure, seconds=record.seconds)


def _how_it_ended(code: int, *, out_of_memory: bool) -> Failure:
    """What to record of a process that ended itself, or was ended, twice."""
    if code >= 0:
        return Failure(kind="killed", reason=f"its process ended twice, with exit code {code}")
    name = signal.Signals(-code).name
    if name == "SIGKILL" and out_of_memory:
        return Failure(kind="out_of_memory", reason="the kernel ended its process twice, for want of memory")
    return Failure(kind="killed", reason=f"its process was killed twice, by {name}")


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"
