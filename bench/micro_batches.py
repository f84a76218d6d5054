"""Micro-batches after memory ran out: a training goes on in smaller parts of its batch, where its trial says so.

`execution.out_of_memory: split` halves `execution.micro_batch` each time, down to one image; gradients add up over the
parts, so that the effective batch, and with it every key, stays what it was. What a training has come to lies beside
its weights (`micro_batch.json`) and not in the memory of a process: Slurm ends all of those at once. The record's trial
says with how many images at once it was done.
"""

import math

import msgspec

from bench.files import publish
from bench.record import TRAIN
from bench.store import Store
from bench.trial import Frozen, Trial
from bench.work import Work

NAME = "micro_batch.json"


class Split(Frozen):
    """What a training has come to."""

    micro_batch: int
    after: tuple[str, ...]  # attempts that ran out of memory with more; each halves it once, whoever notices


def split(work: Work, store: Store, attempt: str) -> bool:
    """Whether work that ran out of memory in an attempt is to be tried in smaller parts; noted for the next one."""
    if work.measure != TRAIN or work.trial.train is None or work.trial.execution.out_of_memory != "split":
        return False
    known = _known(work, store)
    if known is not None and attempt in known.after:
        return True
    at_once = images_at_once(noted(work, store).trial)
    if at_once == 1:
        return False
    after = (*(known.after if known is not None else ()), attempt)
    said = Split(micro_batch=math.ceil(at_once / 2), after=after)
    publish(store.folder("weights", work.key) / NAME, msgspec.json.encode(said))
    return True


def noted(work: Work, store: Store) -> Work:
    """The same work, with no more images at once than earlier attempts have left it."""
    known = _known(work, store)
    if known is None or work.trial.execution.out_of_memory != "split":
        return work
    execution = msgspec.structs.replace(
        work.trial.execution,
        micro_batch=min(known.micro_batch, images_at_once(work.trial)),
        evaluate_batch=min(known.micro_batch, work.trial.execution.evaluate_batch),  # between epochs, without gradients
    )
    return msgspec.structs.replace(work, trial=msgspec.structs.replace(work.trial, execution=execution))


def images_at_once(trial: Trial) -> int:
    """Of a training, in each of its processes."""
    assert trial.train is not None
    share = math.ceil(trial.train.batch / trial.execution.processes)
    return min(share, trial.execution.micro_batch or share)


def _known(work: Work, store: Store) -> Split | None:
    try:
        return msgspec.json.decode((store.weights_folder(work.key) / NAME).read_bytes(), type=Split)
    except (FileNotFoundError, msgspec.DecodeError):  # whoever wrote it half is no reason to end
        return None
