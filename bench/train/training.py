"""A training at hand: what is trained, on what, and how far it is; at its beginning or where a checkpoint left it."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import data, models, tasks, weights
from bench.batches import Feed, feed
from bench.errors import Invalid
from bench.files import publish
from bench.precision import autocast
from bench.train import checkpoint, distill, first_look, views
from bench.train.optimizer import optimizer
from bench.train.ranks import ALONE, Ranks, parallel
from bench.trial import Train, Trial

if TYPE_CHECKING:
    import torch
    from timm.utils.model_ema import ModelEmaV3
    from torch import nn

    from bench.subject import Subject


@dataclass(kw_only=True)
class Progress:
    """How far a training is, in plain data."""

    step: int = 0  # done so far
    loss_sum: float = 0.0  # over the steps of this epoch
    last_loss: float | None = None  # of the last step
    seconds: float = 0.0  # of earlier attempts
    attention: list[dict[str, Any]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # "start", "teacher" → sha256 of the weights that were read
    dropped: list[str] = field(default_factory=list)  # of the weights it started from: what did not fit
    curve: list[dict[str, float]] = field(default_factory=list)  # one row an epoch


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """Everything at hand while a trial is trained."""

    trial: Trial
    train: Train
    seed: int
    folder: Path
    model: "nn.Module"
    forward: "nn.Module"  # the same; over several processes, one that sums gradients
    optimizer: "torch.optim.Optimizer"
    scaler: "torch.amp.GradScaler"  # of gradients in fp16; else it lets them pass
    ema: "ModelEmaV3 | None"  # of the first process alone
    teacher: "nn.Module | None"
    images: Feed
    selection: Feed | None
    progress: Progress
    began: float  # on the monotonic clock, seconds
    ranks: Ranks = ALONE

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only: the last, smaller one is left out."""
        return views.steps_per_epoch(len(self.images), self.train)

    @property
    def judged(self) -> "nn.Module":
        """What is evaluated, and written in the end: the average of the weights where there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def seconds(self) -> float:
        """Over all attempts."""
        return self.progress.seconds + time.monotonic() - self.began


def prepared(trial: Trial, subject: "Subject", folder: Path, ranks: Ranks = ALONE) -> Training:
    """A trial at its beginning, or where its checkpoint left it."""
    train, seed, began, device = trial.train, trial.seed, time.monotonic(), subject.device
    assert train is not None
    assert seed is not None
    if ranks.first:
        publish(folder / weights.TRIAL, msgspec.json.encode(trial))
    images = _feed(trial, subject, "train")
    selection = None if images.dense else _feed(trial, subject, "selection")  # boxes and maps are scored as files are
    first_look.check(images, trial)
    seen = msgspec.structs.replace(trial.input, image=train.image)
    teacher, taught_by = None, None
    if trial.distill is not None:
        pixels, named = images.images.normalized, trial.distill.teacher_model
        teacher, taught_by = distill.teacher(trial.distill.teacher, seen, subject.store, pixels=pixels, model=named)
    checkpoint.seed_everything(seed)  # after the teacher was built, which draws numbers too
    model = models.build(trial.model, seen, dropout=train.dropout, drop_path=train.drop_path).to(device).train()
    if trial.distill is not None:
        distill.hears(model)
    _check_parts_add_up(model, trial)
    state = _state(model, trial, device, ranks)
    progress = _resumed(folder, state, device) or _begun(state, train, subject.store)
    if ranks.first:
        sys.stderr.write(f"training from step {progress.step}\n")
    if ranks.first and not progress.step:
        first_look.decode(images)
        if images.dense:
            first_look.read_dense(images, trial)
    if taught_by is not None:
        progress.sources["teacher"] = taught_by
    if ranks.count > 1:
        ranks.check_same(f"{images.images.fingerprint()} {progress.step}", images.device)
    return Training(
        trial=trial,
        train=train,
        seed=seed,
        folder=folder,
        forward=parallel(_compiled(model, trial), ranks),
        teacher=teacher if teacher is None else teacher.to(device),
        images=images,
        selection=selection or None,
        progress=progress,
        began=began,
        ranks=ranks,
        **state,
    )


def _state(model: "nn.Module", trial: Trial, device: str, ranks: Ranks) -> dict[str, Any]:
    """What a step changes: the model, and what goes on beside it."""
    import torch

    assert trial.train is not None
    autocast(trial.precision, device)  # refuses what the device cannot
    if trial.execution.channels_last:
        model = model.to(memory_format=torch.channels_last)
    average = None
    if trial.train.ema is not None and ranks.first:
        from timm.utils.model_ema import ModelEmaV3

        average = ModelEmaV3(model, decay=trial.train.ema, use_warmup=trial.train.ema_warmup)
    return {
        "model": model,
        "optimizer": optimizer(model, trial.train),
        "scaler": torch.amp.GradScaler(device, enabled=trial.precision == "fp16"),
        "ema": average,
    }


def _compiled(model: "nn.Module", trial: Trial) -> "nn.Module":
    if not trial.execution.compile:
        return model
    import torch

    compiled: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return compiled


def _check_parts_add_up(model: "nn.Module", trial: Trial) -> None:
    """Refuse parts of a batch, which are in no key, where the model would be another with them.

    Norms that are synchronised over processes (SyncBatchNorm) exist for GPUs alone, and for whole batches alone.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    at_once, processes = trial.execution.micro_batch, trial.execution.processes
    if trial.train is None or (processes == 1 and (at_once is None or at_once >= trial.train.batch)):
        return
    parts = f"processes {processes}" if processes > 1 else f"micro_batch {at_once}"
    norms = [
        name
        for name, part in model.named_modules()
        if isinstance(part, _BatchNorm) or getattr(part, "running_var", None) is not None
    ]
    if norms:
        raise Invalid(
            f"{trial.model.name} normalises over the batch (in {norms[0]}): {parts} would train another "
            f"model than batch {trial.train.batch} does; leave execution.{parts.partition(' ')[0]} out"
        )


def _resumed(folder: Path, state: dict[str, Any], device: str) -> Progress | None:
    """Put everything where the folder's checkpoint says; None: there is none."""
    saved = checkpoint.load(folder)
    if saved is None:
        return None
    state["model"].load_state_dict(saved["model"])
    state["optimizer"].load_state_dict(saved["optimizer"])
    state["scaler"].load_state_dict(saved.get("scaler") or {})
    if state["ema"] is not None:
        state["ema"].module.load_state_dict(saved["ema"])
    checkpoint.restore_random_state(saved["random"], device)
    return Progress(**saved["progress"])


def _begun(state: dict[str, Any], train: Train, store: Path) -> Progress:
    """At step 0, with the weights that the recipe starts from where there are such."""
    if train.start is None:
        return Progress()
    loaded = weights.load(train.start, store)
    dropped = weights.fit(state["model"], loaded.state, keep_head=False)
    if state["ema"] is not None:
        state["ema"].set(state["model"])
    return Progress(sources={"start": loaded.sha256}, dropped=list(dropped))


def _feed(trial: Trial, subject: "Subject", split: data.Split) -> Feed:
    """A split as training sees it where nothing is drawn: the whole image at the training size."""
    assert trial.data is not None
    assert trial.train is not None
    interpolation = trial.train.interpolation
    return feed(
        data.load(trial.data, split),
        device=subject.device,
        workers=trial.execution.loader_workers,
        prefetch=trial.execution.loader_prefetch,
        size=trial.train.image,
        dense=tasks.is_dense(trial),
        crop=1.0,
        interpolation="bilinear" if interpolation == "random" else interpolation,
    )
