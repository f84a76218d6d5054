"""The loop: a trial trained to complete weights, stopped and resumed anywhere between two steps without a trace."""

import contextlib
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec

from bench import attention, tasks, weights
from bench.batches import logits, share_right
from bench.errors import Diverged, Interrupted
from bench.files import publish
from bench.precision import autocast
from bench.record import Failed, Failure, Quantity
from bench.train import check, checkpoint, others, processes
from bench.train.ending import check_end
from bench.train.epoch import given
from bench.train.reproducible import reproducible
from bench.train.schedule import learning_rate
from bench.train.training import Training, prepared
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.attempt import Watch
    from bench.subject import Subject

CURVE = "curve.jsonl"


def run(trial: Trial, subject: "Subject", watch: "Watch") -> dict[str, Quantity]:
    """Train a trial into `subject.weights_folder`: see bench/train/__init__.py."""
    assert subject.weights_folder is not None
    said = weights.done(subject.weights_folder)
    if said is None:
        check(trial)
        with reproducible(trial.execution.threads, subject.device), attention.forced(trial.attention):
            said = _trained(trial, subject, watch)
    subject.bound |= {
        "weights": said.weights,
        "architecture": said.architecture,
        "data": said.data,
        "attention": said.attention,
        "sources": said.sources,
        "dropped": list(said.dropped),
    }
    quantities = {"train_loss": Quantity(samples=(said.train_loss,), unit=tasks.of(trial).UNIT, better="lower")}
    if said.selection_top1 is not None:
        quantities["selection_top1"] = Quantity(samples=(said.selection_top1,), unit="%", better="higher")
    return quantities


def _trained(trial: Trial, subject: "Subject", watch: "Watch") -> weights.Done:
    """By as many processes as the trial says. Where one of them is lost, once more from the checkpoint."""
    try:
        return _once(trial, subject, watch)
    except others.Lost as lost:
        sys.stderr.write(f"{lost}; once more from the last checkpoint\n")
    try:
        return _once(trial, subject, watch)
    except others.Lost as lost:
        raise Failed(Failure(kind="killed", reason=f"{lost}; tried twice")) from lost


def _once(trial: Trial, subject: "Subject", watch: "Watch") -> weights.Done:
    assert subject.weights_folder is not None
    with processes.together(trial, subject, watch) as ranks:
        training = prepared(trial, subject, subject.weights_folder, ranks)
        steps(training, watch)
    return _complete(training, watch)


def steps(training: Training, watch: "Watch") -> None:
    """All epochs that are left. Of several processes, the first alone writes and decides; all end in the same step."""
    progress, per_epoch, ranks = training.progress, training.steps_per_epoch, training.ranks
    saved_at = time.monotonic()
    while progress.step < training.train.epochs * per_epoch:
        epoch, skip = divmod(progress.step, per_epoch)
        for pixels, labels in given(training, epoch, skip=skip):
            ranks.seed_step(training.seed, progress.step)
            progress.loss_sum += _step(training, pixels, labels)
            progress.step += 1
            if progress.step % per_epoch == 0 and ranks.first:
                _end_epoch(training, watch)
            stop = ranks.decided(watch.stop(), training.images.device)
            if ranks.first and (stop or time.monotonic() - saved_at >= training.trial.execution.checkpoint_every_s):
                _save(training, watch)
                saved_at = time.monotonic()
            if stop:
                raise Interrupted


def _step(training: Training, pixels: "Tensor", labels: "Tensor") -> float:
    """One step of the optimizer; the mean loss of the batch. Raises Diverged where that is no finite number."""
    train, step, ranks = training.train, training.progress.step, training.ranks
    training.optimizer.zero_grad()
    with _observed(training):
        total = ranks.summed(_gradients(training, pixels, labels), training.images.device)
    if not math.isfinite(total):
        raise Diverged(step, training.progress.last_loss)
    training.progress.last_loss = total
    if train.clip_grad is not None:
        from timm.utils.clip_grad import dispatch_clip_grad

        training.scaler.unscale_(training.optimizer)
        dispatch_clip_grad(training.model.parameters(), train.clip_grad, mode=train.clip_mode)
    rate = learning_rate(step, train, training.steps_per_epoch)
    for group in training.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.ema is not None:
        training.ema.update(training.model, step=step + 1)  # the first is a copy: a step is counted when it is done
    return total


def _gradients(training: Training, pixels: "Tensor", labels: "Tensor") -> float:
    """Adds up gradients over the parts of a batch; what this process's images add to the mean loss."""
    import torch

    execution, ranks, total = training.trial.execution, training.ranks, 0.0
    at_once, task = execution.micro_batch or len(pixels), tasks.of(training.trial)
    parts = list(zip(torch.split(pixels, at_once), torch.split(labels, at_once), strict=True))
    for number, (part, right) in enumerate(parts, 1):
        with ranks.without_sums(training.forward, last=number == len(parts)):
            with autocast(training.trial.precision, training.images.device.type):
                said = training.forward(part)
            # processes' gradients are averaged: each counts as often as there are processes
            loss: Tensor = task.loss(training, said, part, right)
            share = loss * (ranks.count * len(part) / training.train.batch)
            training.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
        total += share.item() / ranks.count
    return total


@contextlib.contextmanager
def _observed(training: Training) -> Iterator[None]:
    """Notes, in the first step of all, which attention kernels run."""
    if training.progress.step:
        yield
        return
    with attention.observing() as calls:
        yield
    training.progress.attention = calls


def _end_epoch(training: Training, watch: "Watch") -> None:
    """One more row of the curve."""
    progress, per_epoch = training.progress, training.steps_per_epoch
    row = {
        "epoch": progress.step // per_epoch,
        "train_loss": progress.loss_sum / per_epoch,
        "lr": learning_rate(progress.step - 1, training.train, per_epoch),
        "seconds": round(training.seconds, 3),
    }
    if training.selection is not None:
        with autocast(training.trial.precision, training.images.device.type):
            said = logits(training.judged, training.selection, training.trial.execution.evaluate_batch)
        row["selection_top1"] = share_right(said, training.selection.labels.cpu())
    progress.loss_sum = 0.0
    progress.curve.append(row)
    lines = "".join(json.dumps(row) + "\n" for row in progress.curve)
    publish(training.folder / CURVE, lines.encode(), allowed=watch.still_mine, sync=False)
    watch.progress({**row, "epochs": training.train.epochs})


def _save(training: Training, watch: "Watch") -> None:
    """A checkpoint. Raises Interrupted where another process has taken the training over."""
    import torch

    state = {
        "format": checkpoint.FORMAT,
        "progress": asdict(training.progress) | {"seconds": training.seconds},
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "random": checkpoint.random_state(training.images.device.type),
    }
    if training.ema is not None:
        state["ema"] = training.ema.module.state_dict()
    path = training.folder / checkpoint.NAME
    if not publish(path, lambda file: torch.save(state, file), allowed=watch.still_mine):
        raise Interrupted


def _complete(training: Training, watch: "Watch") -> weights.Done:
    """The weights, then `done.json`, then nothing that only an unfinished training needs."""
    progress, last = training.progress, training.progress.curve[-1]
    check_end(training)
    state = training.judged.state_dict()
    written = weights.serialized(state)
    said = weights.Done(
        version=training.train.version,
        weights=hashlib.sha256(written).hexdigest(),
        architecture=weights.architecture(state),
        data=training.images.images.fingerprint(),
        steps=progress.step,
        seconds=training.seconds,
        attention=progress.attention,
        train_loss=last["train_loss"],
        selection_top1=last.get("selection_top1"),
        sources=progress.sources,
        dropped=tuple(progress.dropped),
    )
    for name, content in ((weights.WEIGHTS, written), (weights.DONE, msgspec.json.encode(said))):
        if not publish(training.folder / name, content, allowed=watch.still_mine):
            raise Interrupted
    (training.folder / checkpoint.NAME).unlink(missing_ok=True)
    return said
