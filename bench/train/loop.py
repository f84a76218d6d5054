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

from bench import attention, weights
from bench.batches import batches, logits, share_right
from bench.errors import Diverged, Interrupted
from bench.files import publish
from bench.images import stable_hash
from bench.record import Failed, Failure, Quantity
from bench.train import check, checkpoint, distill, others, processes
from bench.train.augment import augmented
from bench.train.reproducible import reproducible
from bench.train.schedule import learning_rate
from bench.train.training import Training, prepared
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from bench.attempt import Watch
    from bench.subject import Subject

CURVE = "curve.jsonl"

EXPLODED = 10.0
"""Times the loss of a model that says nothing: what a training that ends above it came to is no result."""


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
    quantities = {"train_loss": Quantity(samples=(said.train_loss,), unit="nats", better="lower")}
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
        for indices, pixels, labels in batches(training.images, _order(training, epoch)[skip:]):
            ranks.seed_step(training.seed, progress.step)
            pixels = augmented(training.train.augment, pixels, indices, seed=training.seed, epoch=epoch)
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


def _order(training: Training, epoch: int) -> "list[Tensor]":
    """Indices of the images of an epoch, batch by batch: the same for every model that is trained with this seed.

    Of several processes each gets its share of every batch.
    """
    import torch

    seed = int.from_bytes(stable_hash(f"order {training.seed} {epoch}")[:8], "big") >> 1  # torch's seeds are signed
    order = torch.randperm(len(training.images), generator=torch.Generator().manual_seed(seed))
    whole = torch.split(order, training.train.batch)[: training.steps_per_epoch]
    return [training.ranks.share(indices) for indices in whole]


def _step(training: Training, pixels: "Tensor", labels: "Tensor") -> float:
    """One step of the optimizer; the mean loss of the batch. Raises Diverged where that is no finite number."""
    import torch

    train, step, ranks = training.train, training.progress.step, training.ranks
    at_once = training.trial.execution.micro_batch or len(pixels)
    training.optimizer.zero_grad()
    total = 0.0
    with _observed(training):
        parts = list(zip(torch.split(pixels, at_once), torch.split(labels, at_once), strict=True))
        for number, (part, right) in enumerate(parts, 1):
            with ranks.without_sums(training.forward, last=number == len(parts)):
                # processes' gradients are averaged: each counts as often as there are processes
                loss = _loss(training, training.forward(part), part, right) * (ranks.count * len(part) / train.batch)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item() / ranks.count
    total = ranks.summed(total, training.images.device)
    if not math.isfinite(total):
        raise Diverged(step, training.progress.last_loss)
    training.progress.last_loss = total
    if train.clip_grad is not None:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), train.clip_grad)
    for group in training.optimizer.param_groups:
        group["lr"] = learning_rate(step, train, training.steps_per_epoch)
    training.optimizer.step()
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


def _loss(training: Training, said: "Tensor", pixels: "Tensor", labels: "Tensor") -> "Tensor":
    """The mean over a batch: cross-entropy against smoothed labels, and the teacher's word where there is one.

    `said` (B, classes) is what the model says of `pixels` (B, C, S, S).
    """
    import torch
    from torch.nn import functional as F

    hard = F.cross_entropy(said, labels, label_smoothing=training.train.smoothing)
    if training.teacher is None or training.trial.distill is None:
        return hard
    with torch.no_grad():
        taught = training.teacher(pixels)
    return distill.loss(said, taught, hard, training.trial.distill)


def _end_epoch(training: Training, watch: "Watch") -> None:
    """One more row of the curve."""
    progress, per_epoch = training.progress, training.steps_per_epoch
    row = {
        "epoch": progress.step // per_epoch,
        "train_loss": progress.loss_sum / per_epoch,
        "lr": training.optimizer.param_groups[0]["lr"],
        "seconds": round(training.seconds, 3),
    }
    if training.selection is not None:
        said = logits(training.model, training.selection, training.trial.execution.evaluate_batch)
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
        "random": checkpoint.random_state(training.images.device.type),
    }
    path = training.folder / checkpoint.NAME
    if not publish(path, lambda file: torch.save(state, file), allowed=watch.still_mine):
        raise Interrupted


def _check_end(training: Training) -> None:
    """Raise Diverged where the weights that the last step left are no model: nobody has computed a loss of them yet.

    Those of a step too large are finite for long. Of labels, smoothed or not, a model that says the same of every
    class has the loss ln(classes), and of a teacher's word at most T² times that (Hinton et al., 2015): one that ends
    at EXPLODED times as much knows less than nothing.
    """
    progress, distilled = training.progress, training.trial.distill
    state = training.model.state_dict()
    loss = _last_loss(training)
    if not math.isfinite(loss) or not all(bool(value.isfinite().all()) for value in state.values()):
        raise Diverged(progress.step, loss if math.isfinite(loss) else progress.last_loss)
    weighed = 1.0 if distilled is None else 1 - distilled.weight + distilled.weight * distilled.temperature**2
    if loss > EXPLODED * weighed * math.log(max(2, training.trial.input.classes)):
        raise Diverged(progress.step, loss)


def _last_loss(training: Training) -> float:
    """The mean loss of the last batch (of this process's share) with the weights as they are; they stay so."""
    import torch
    from torch.func import functional_call

    at_once = training.trial.execution.micro_batch or training.train.batch
    kept = {name: value.clone() for name, value in training.model.named_buffers()}  # running means of norms
    (_, pixels, labels), *_ = batches(training.images, _order(training, training.train.epochs - 1)[-1:])
    total = 0.0
    with torch.no_grad():
        for part, right in zip(torch.split(pixels, at_once), torch.split(labels, at_once), strict=True):
            said = functional_call(training.model, kept, (part,))
            total += _loss(training, said, part, right).item() * len(part) / len(pixels)
    return total


def _complete(training: Training, watch: "Watch") -> weights.Done:
    """The weights, then `done.json`, then nothing that only an unfinished training needs."""
    progress, last = training.progress, training.progress.curve[-1]
    _check_end(training)
    state = training.model.state_dict()
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
