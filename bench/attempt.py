"""An attempt: one piece of work tried once, and the record of what came of it. Whatever is raised becomes a failure."""

import contextlib
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bench import crashes, here, machine, micro_batches, registry
from bench.errors import Diverged, Needs, UserError
from bench.record import LARGEST, TRAIN, Failed, Failure, Quantity, Record
from bench.store import Snapshot, Store, now
from bench.subject import Subject
from bench.work import Work

LONGEST_REASON = 300  # characters: one line under a table

MADE = {
    "data": "trained on the images that are here now",
    "start": "started from the weights that are here now",
    "teacher": "taught by the weights that are here now",
}
"""What is needed of weights that were made of something else."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a training asks, and tells, while it runs."""

    stop: Callable[[], bool]  # save a checkpoint now and raise Interrupted
    still_mine: Callable[[], bool]  # whether a checkpoint may be replaced: nobody took the key over
    progress: Callable[[dict[str, float]], None]


class Upstream(Exception):
    """Weights that the work needs could not be had."""


def attempt(work: Work, store: Store, name: str, watch: Watch) -> Record:
    """Try a piece of work once; a training that may be split, in smaller parts each time that memory runs out.

    `name` is what the attempt's start line called it.
    """
    began = time.perf_counter()
    planned, work = work, micro_batches.noted(work, store)
    subject, quantities, failure = _tried(work, store, watch)
    while failure is not None and failure.kind == "out_of_memory" and _split(work, store, name):
        work = micro_batches.noted(work, store)
        subject, quantities, failure = _tried(work, store, watch)
    if failure is not None and failure.kind == "invalid" and work is not planned:  # in parts: it was none as a whole
        failure = Failure(kind="out_of_memory", reason=f"no memory for more images at once, and {failure.reason}")
    return Record(
        key=work.key,
        measure=work.measure,
        version=work.version,
        attempt=name,
        time=now(),
        seconds=time.perf_counter() - began,
        trial=work.trial,
        quantities=quantities,
        failure=failure,
        bound=_sayable(subject.bound),
        environment=machine.environment(),
        artifacts=_sayable(subject.artifacts),
    )


def _tried(work: Work, store: Store, watch: Watch) -> tuple[Subject, dict[str, Quantity], Failure | None]:
    """What came of it: quantities, or a failure."""
    subject = Subject(store=store.path)
    try:
        _prepare(work, store, subject)
        quantities = _train(work, store, subject, watch) if work.measure == TRAIN else _measure(work, subject)
        _check(quantities, subject)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 one of the two borders where exceptions end
        traceback.print_exc()
        return subject, {}, failure_of(problem)
    return subject, quantities, None


def _split(work: Work, store: Store, name: str) -> bool:
    """Whether it goes on in smaller parts; what the larger ones have taken is given back."""
    if work.measure != TRAIN:
        return False
    at_once = micro_batches.images_at_once(work.trial)
    if not micro_batches.split(work, store, f"{name} with {at_once}"):
        return False
    sys.stderr.write(f"no memory for {at_once} images at once: half of them from here on\n")
    gc.collect()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()  # nothing where no GPU was used
    return True


def failure_of(problem: BaseException) -> Failure:
    """What was raised, as a typed failure with one line that a reader of the table understands."""
    lines = str(problem).strip().splitlines()
    name = type(problem).__name__
    said = lines[0][:LONGEST_REASON] if lines else f"{name} without a reason"
    named = f"{name}: {said}" if lines else name
    if isinstance(problem, Failed):
        return problem.failure
    if isinstance(problem, Diverged):
        return Failure(kind="diverged", reason=said, step=problem.step, value=problem.value)
    if isinstance(problem, Needs):
        return Failure(kind="needs", reason=said)
    if isinstance(problem, ModuleNotFoundError) and problem.name and not problem.name.startswith("bench."):
        return Failure(
            kind="needs", reason=f"the Python package {problem.name.partition('.')[0]!r}, not installed here"
        )
    if isinstance(problem, UserError):
        return Failure(kind="invalid", reason=said)
    if isinstance(problem, Upstream):
        return Failure(kind="upstream", reason=said)
    if _out_of_memory(problem):
        reason = said.rpartition("DefaultCPUAllocator: ")[2] if lines else "no memory left"
        return Failure(kind="out_of_memory", reason=reason)
    return Failure(kind="crashed", reason=named, traceback=crashes.where(problem))


def _out_of_memory(problem: BaseException) -> bool:
    """Torch has its own exception for GPUs, which needs no import to be recognised, and none for the CPU."""
    names = {kind.__name__ for kind in type(problem).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "DefaultCPUAllocator" in str(problem)


def _prepare(work: Work, store: Store, subject: Subject) -> None:
    """What work needs before it begins: its weights, its threads, a device."""
    for key in work.after:
        if not store.weights_ready(key):
            raise _missing_weights(key, store)
    if work.weights_key is not None and store.weights_ready(work.weights_key):
        subject.weights_folder = store.weights_folder(work.weights_key)
        if work.measure != TRAIN and (other := here.outdated(work.weights_key, Snapshot(folder=store.path))):
            raise Needs(f"weights {work.weights_key} {MADE[other]}; remove {subject.weights_folder} to train again")
    _set_threads(work.trial.execution.threads)
    subject.device = work.trial.execution.device or _device()


def _missing_weights(key: str, store: Store) -> Exception:
    """Why weights are not there, as what failed to make them says."""
    record = store.read().records.get(key)
    if record is None or record.failure is None:
        return Upstream(f"weights {key} are not in the store")
    failure = record.failure
    if failure.kind == "needs":
        return Needs(failure.reason)
    if failure.kind == "upstream":
        return Upstream(failure.reason)
    if failure.kind == "diverged" and failure.value is not None:
        return Upstream(f"its weights {key} diverged at step {failure.step}, last loss {failure.value:.4g}")
    return Upstream(f"its weights {key}: {failure.kind}: {failure.reason}")


def _set_threads(count: int) -> None:
    """Torch's threads: before it is loaded by the environment, afterwards by itself. More of them give other bits."""
    for setting in machine.THREAD_SETTINGS:
        os.environ[setting] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def _device() -> str:
    """This slot's GPU where it has one; torch is asked only on a machine with a driver."""
    if not machine.gpus() or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _measure(work: Work, subject: Subject) -> dict[str, Quantity]:
    module = registry.load("measures", work.measure)
    if work.version != module.VERSION:  # its key stands for what another version yields
        raise RuntimeError(f"{work.measure} is version {module.VERSION} here and was planned as version {work.version}")
    for library in getattr(module, "REMEASURE_IF_CHANGED", ()):
        subject.bound.setdefault(library, machine.version(library))
    measured: dict[str, Quantity] = module.measure(work.trial, subject)
    return measured


def _check(quantities: dict[str, Quantity], subject: Subject) -> None:
    """Refuse what no reader would take: JSON has no infinity, and a record no sample beyond LARGEST."""
    for name, quantity in quantities.items():
        if not quantity.samples or not all(abs(sample) <= LARGEST for sample in quantity.samples):
            raise ValueError(f"{name} came out as {', '.join(map(str, quantity.samples)) or 'nothing'}")
    for facts in (subject.bound, subject.artifacts):
        if lost := facts.keys() - _sayable(facts).keys():
            name = min(lost)
            raise TypeError(f"{name!r} is bound to a {type(facts[name]).__name__}, which is no plain data")


def _sayable(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that are plain data: a failure's record is written whatever the measure left behind."""
    kept = {}
    for name, value in facts.items():
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            kept[name] = msgspec.json.decode(msgspec.json.encode(value))
    return kept


def _train(work: Work, store: Store, subject: Subject, watch: Watch) -> dict[str, Quantity]:
    from bench import train

    subject.weights_folder = store.folder("weights", work.key)
    trained: dict[str, Quantity] = train.run(work.trial, subject, watch)
    if not store.weights_ready(work.key):
        raise RuntimeError("the training ended without complete weights")
    return trained
