"""Detectors and segmenters in the training loop: what classification is held to, they are held to."""

import math
import os
import random
import signal
import subprocess
import sys

import msgspec
import pytest
import torch
from safetensors.torch import load as tensors

from bench import data, weights
from bench.errors import Diverged, Interrupted, Invalid
from bench.identity import weights_key
from bench.trial import Distill, Execution, Source

TASKS = ("detect", "segment")
LAST = 9  # steps of `dense_trial`
DRAWING = {"drop_path": 0.2, "ema": 0.9}
"""What else a training of these remembers."""

KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from bench import train
from bench.attempt import Watch
from bench.subject import Subject
from bench.trial import Trial

steps = iter(range(1, 100))
def stop():
    if next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return False

trial = msgspec.json.decode(sys.argv[1], type=Trial)
folder = Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
watch = Watch(stop=stop, still_mine=lambda: True, progress=lambda said: None)
train.run(trial, Subject(store=folder.parent.parent, weights_folder=folder), watch)
"""


@pytest.mark.parametrize("task", TASKS)
def test_it_learns_and_says_nothing_of_selection_images(dense_trial, trained, task):
    left = trained(dense_trial(task, options={"selection": 0.1}, train={"epochs": 6, "batch": 4, "warmup_epochs": 0}))
    assert left.curve[-1]["train_loss"] < left.curve[0]["train_loss"]
    assert all(set(row) == {"epoch", "train_loss", "lr", "seconds"} for row in left.curve)
    assert set(left.quantities) == {"train_loss"}


@pytest.mark.parametrize("task", TASKS)
def test_one_seed_gives_one_result_bit_for_bit_and_another_another(dense_trial, trained, tmp_path, task):
    one, again, other = (
        trained(dense_trial(task, train=DRAWING, seed=seed), store=tmp_path / name).weights
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again != other


@pytest.mark.parametrize("task", TASKS)
def test_stopped_and_continued_it_ends_with_the_same_bits(dense_trial, trained, tmp_path, task):
    undisturbed = trained(dense_trial(task, train=DRAWING), store=tmp_path / "undisturbed")
    for stopped_after in (1, 5, LAST - 1):
        store = tmp_path / str(stopped_after)
        with pytest.raises(Interrupted):
            trained(dense_trial(task, train=DRAWING), store=store, stop_after=stopped_after)
        left = trained(dense_trial(task, train=DRAWING), store=store)
        assert left.weights == undisturbed.weights, stopped_after
        for row, other in zip(left.curve, undisturbed.curve, strict=True):
            assert row | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.parametrize("task", TASKS)
def test_killed_at_any_step_in_another_process_it_goes_on_to_the_same_bits(dense_trial, trained, tmp_path, task):
    trial = dense_trial(task, train=DRAWING, execution=Execution(checkpoint_every_s=0))
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    folder, step = tmp_path / "store" / "weights" / weights_key(trial), random.randint(2, LAST)
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, msgspec.json.encode(trial), str(step), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert saved["progress"]["step"] == step - 1
    assert trained(trial).weights == undisturbed.weights, step


@pytest.mark.parametrize("part", ["model", "optimizer", "ema"])
@pytest.mark.parametrize("task", TASKS)
def test_without_any_part_of_its_checkpoint_it_would_end_elsewhere(dense_trial, trained, tmp_path, task, part):
    trial, other = (dense_trial(task, train=DRAWING, seed=seed) for seed in (0, 1))
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    files = []
    for stopped in (trial, other):
        with pytest.raises(Interrupted):
            trained(stopped, stop_after=5)
        files.append(tmp_path / "store" / "weights" / weights_key(stopped) / "checkpoint.pt")
    mine, theirs = (torch.load(file, weights_only=True) for file in files)
    torch.save(mine | {part: theirs[part]}, files[0])
    assert trained(trial).weights != undisturbed.weights


@pytest.mark.parametrize("task", TASKS)
def test_it_trains_to_the_same_bits_whoever_decodes_the_images(dense_trial, trained, tmp_path, monkeypatch, task):
    """In memory, one by one, and by another process."""
    kept = trained(dense_trial(task), store=tmp_path / "kept")
    module = type(data.load(dense_trial(task).data, "train"))
    monkeypatch.setattr(module, "tensor", lambda self, **how: None)
    one_by_one = trained(dense_trial(task), store=tmp_path / "one_by_one")
    elsewhere = dense_trial(task, execution=Execution(loader_workers=1))
    assert kept.weights == one_by_one.weights == trained(elsewhere, store=tmp_path / "elsewhere").weights


@pytest.mark.parametrize(("task", "unit"), [("detect", "1"), ("segment", "nats")])
def test_in_bfloat16_and_on_a_part_of_the_data_it_trains_to_weights_of_float32(dense_trial, trained, task, unit):
    trial = dense_trial(task, precision="bf16", train={"batch": 4})
    left = trained(msgspec.structs.replace(trial, data=msgspec.structs.replace(trial.data, subset=0.5)))
    assert {value.dtype for value in tensors(left.weights).values() if value.is_floating_point()} == {torch.float32}
    assert weights.done(left.folder).steps == 3 * (9 // 4)
    assert left.quantities["train_loss"].unit == unit


def test_parts_of_a_batch_of_maps_add_up_to_the_batch(dense_trial, trained, tmp_path):
    """With a backbone that normalises each image alone; the numbers of pixels that count differ between images."""
    given = {"knobs": {"backbone": "test_convnext", "fine": 4, "coarse": 8}, "train": {"optimizer": "sgd", "lr": 0.01}}
    lraspp = trained(dense_trial("segment", **given), store=tmp_path / "whole")  # its head has batch norms: see below
    with pytest.raises(
        Invalid, match=r"^lraspp normalises over the batch \(in classifier.cbr.1\): micro_batch 2 would"
    ):
        trained(dense_trial("segment", **given, execution=Execution(micro_batch=2)))
    assert lraspp.quantities["train_loss"].samples[0] > 0
    constant = {"model": msgspec.structs.replace(dense_trial("segment").model, name="constant", knobs={})}
    whole = trained(dense_trial("segment", train=given["train"], **constant), store=tmp_path / "constant")
    parted = dense_trial("segment", train=given["train"], execution=Execution(micro_batch=2), **constant)
    for name, value in tensors(trained(parted, store=tmp_path / "parts").weights).items():
        assert torch.allclose(value, tensors(whole.weights)[name], atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_loss_that_explodes_is_a_result_with_its_last_value(dense_trial, trained, task):
    far = {"lr": 1e6, "min_lr": 0.0, "warmup_epochs": 0, "clip_grad": None}
    with pytest.raises(Diverged) as raised:
        trained(dense_trial(task, train=far))
    assert 1 <= raised.value.step <= LAST
    assert raised.value.value is None or math.isfinite(raised.value.value)


@pytest.mark.parametrize(
    ("task", "changes", "reason"),
    [
        ("detect", {"mixup": 0.8}, "train.mixup 0.8 is for whole-image labels, not to detect; allowed: 0.0"),
        ("segment", {"cutmix": 1.0}, "train.cutmix 1.0 is for whole-image labels, not to segment; allowed: 0.0"),
        (
            "detect",
            {"random_crop": (0.5, 1.0)},
            "train.random_crop [0.5, 1.0] is for whole-image labels, not to detect; allowed: none",
        ),
        ("segment", {"repeats": 3}, "train.repeats 3 is for whole-image labels, not to segment; allowed: 1"),
        (
            "segment",
            {"augment": "shift1"},
            "train.augment shift1 is for whole-image labels, not to segment; allowed: none",
        ),
        ("detect", {"loss": "bce"}, "train.loss bce is for whole-image labels, not to detect; allowed: ce"),
        ("detect", {"smoothing": 0.1}, "train.smoothing 0.1 is of cross-entropy, not of a detector's loss; allowed: 0"),
    ],
)
def test_what_of_a_recipe_does_not_go_with_the_task_is_one_line(dense_trial, task, changes, reason):
    from bench import train

    train.check(dense_trial(task))
    with pytest.raises(Invalid) as raised:
        train.check(dense_trial(task, train=changes))
    assert str(raised.value) == reason


def test_what_of_a_trial_does_not_go_with_the_task_is_one_line(dense_trial, digits_trial):
    from bench import train

    taught = Distill(teacher=Source(kind="trial", ref="0" * 20))
    cropped = msgspec.structs.replace(dense_trial("detect").evaluate, crop=0.875)
    for trial, reason in (
        (
            dense_trial("segment", distill=taught),
            "a teacher is for whole-image labels, not to segment: leave `distill` out",
        ),
        (
            dense_trial("detect", evaluate=cropped),
            "evaluate.crop 0.875 would cut off what is scored to detect; allowed: 1",
        ),
        (
            dense_trial("detect", execution=Execution(micro_batch=2)),
            "micro_batch 2: a detector's loss is over all boxes of a batch, and those of its parts do not add up to it"
            "; leave execution.micro_batch out",
        ),
        (digits_trial(task="segment"), "vit is a model of the task classify, and the trial's is segment"),
        (
            msgspec.structs.replace(dense_trial("detect"), task="classify"),
            "fcos is a model of the task detect, and the trial's is classify",
        ),
    ):
        with pytest.raises(Invalid) as raised:
            train.check(trial)
        assert str(raised.value) == reason


@pytest.mark.parametrize(
    ("task", "reason"),
    [("detect", r"^class \d of a box is out of range for 3 classes$"), ("segment", r"^label \d+ of a pixel is out of")],
)
def test_labels_of_more_classes_than_the_model_has_are_one_line_before_any_step(dense_trial, trained, task, reason):
    trial = dense_trial(task)
    with pytest.raises(Invalid, match=reason):
        trained(msgspec.structs.replace(trial, input=msgspec.structs.replace(trial.input, classes=3)))
