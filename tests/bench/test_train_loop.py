import json
import math
import os
import signal
import subprocess
import sys

import msgspec
import pytest
import torch

from bench import models, weights
from bench.data import resolve as data_set
from bench.errors import Diverged, Interrupted, Invalid
from bench.identity import weights_key
from bench.trial import Distill, Execution, Source

DRAWING = {"dropout": 0.1, "drop_path": 0.2, "augment": "shift1"}
"""What makes a step draw random numbers: only with these a wrong generator shows."""

REMEMBERING = DRAWING | {
    "random_crop": (0.4, 1.0),
    "flip": 0.5,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "erase": 0.5,
    "mixup": 0.8,
    "cutmix": 1.0,
    "repeats": 2,
    "ema": 0.9,
}
"""And what else a recipe may draw, and go on with."""

LAST = 9  # steps of `digits_trial`: 3 epochs of 3


def _checkpoint(left_in, *, timeless=True):
    state = torch.load(left_in / "checkpoint.pt", weights_only=True)
    if timeless:
        del state["progress"]["seconds"]
        for row in state["progress"]["curve"]:
            del row["seconds"]
    return state


def _same(one, other):
    """Whether two nested states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _losses(left):
    return [row["train_loss"] for row in left.curve]


def test_one_seed_gives_one_result_bit_for_bit_also_after_another_trial_in_the_same_process(
    digits_trial, trained, tmp_path
):
    first = trained(digits_trial(train=DRAWING), store=tmp_path / "a")
    other = trained(digits_trial(train=DRAWING, knobs={"pos_embed": "rope"}, seed=1), store=tmp_path / "a")
    again = trained(digits_trial(train=DRAWING), store=tmp_path / "b")
    assert again.weights == first.weights
    assert _losses(again) == _losses(first)
    assert other.weights != first.weights
    assert trained(digits_trial(train=DRAWING, seed=1)).weights not in {first.weights, other.weights}


def test_the_curve_is_the_one_that_it_was(digits_trial, trained):
    """Three epochs from seed 0. Another number here is another training: raise bench.train.VERSION."""
    left = trained(digits_trial())
    assert _losses(left) == pytest.approx(FROZEN_LOSSES, rel=1e-4)


FROZEN_LOSSES = [2.342399, 2.345506, 2.323447]


def test_the_curve_has_a_row_an_epoch_and_ends_at_the_lowest_learning_rate(digits_trial, trained):
    left = trained(digits_trial())
    assert [row["epoch"] for row in left.curve] == [1, 2, 3]
    assert [row["lr"] for row in left.curve] == pytest.approx(
        [0.003, 0.003 - 0.5 * 0.00297 * (1 - math.cos(0.4 * math.pi)), 0.00003]
    )
    assert all(set(row) == {"epoch", "train_loss", "lr", "seconds", "selection_top1"} for row in left.curve)
    assert left.progress == [row | {"epochs": 3} for row in left.curve]
    assert left.quantities["train_loss"].samples == (left.curve[-1]["train_loss"],)
    assert left.quantities["selection_top1"].samples == (left.curve[-1]["selection_top1"],)


def test_stopped_anywhere_and_resumed_every_bit_of_its_state_is_what_it_would_have_been(
    digits_trial, trained, tmp_path
):
    trial = digits_trial(train=DRAWING)
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    with pytest.raises(Interrupted):
        trained(trial, store=tmp_path / "late", stop_after=LAST - 1)
    late = _checkpoint(tmp_path / "late" / "weights" / weights_key(trial))
    assert late["progress"]["step"] == LAST - 1
    for stopped_after in range(1, LAST):
        store = tmp_path / str(stopped_after)
        folder = store / "weights" / weights_key(trial)
        with pytest.raises(Interrupted):
            trained(trial, store=store, stop_after=stopped_after)
        assert _checkpoint(folder)["progress"]["step"] == stopped_after
        if stopped_after < LAST - 1:
            with pytest.raises(Interrupted):
                trained(trial, store=store, stop_after=LAST - 1 - stopped_after)
        assert _same(_checkpoint(folder), late), stopped_after
        left = trained(trial, store=store)
        assert left.weights == undisturbed.weights, stopped_after
        assert _losses(left) == _losses(undisturbed)


@pytest.mark.parametrize("part", ["model", "optimizer", "random"])
def test_without_any_part_of_its_checkpoint_it_would_go_another_way(digits_trial, trained, tmp_path, part):
    trial = digits_trial(train=DRAWING)
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    with pytest.raises(Interrupted):
        trained(trial, stop_after=2)
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    state, fresh = _checkpoint(folder, timeless=False), digits_trial(train=DRAWING, seed=1)
    with pytest.raises(Interrupted):
        trained(fresh, stop_after=1)
    state[part] = _checkpoint(tmp_path / "store" / "weights" / weights_key(fresh))[part]
    torch.save(state, folder / "checkpoint.pt")
    assert trained(trial).weights != undisturbed.weights


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


@pytest.mark.parametrize("train", [DRAWING, REMEMBERING], ids=["drawing", "remembering"])
def test_killed_in_another_process_it_goes_on_from_its_last_checkpoint_to_the_same_bits_and_says_where(
    digits_trial, trained, tmp_path, capfd, train
):
    trial = digits_trial(train=train, execution=Execution(checkpoint_every_s=0))
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, msgspec.json.encode(trial), "6", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    assert _checkpoint(folder)["progress"]["step"] == 5  # killed before it saved the sixth
    assert not (folder / "done.json").exists()
    assert trained(trial).weights == trained(trial, store=tmp_path / "undisturbed").weights
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("training from")]
    assert said == ["training from step 0", "training from step 5", "training from step 0"]
    assert not (folder / "checkpoint.pt").exists()


def test_checkpoints_come_on_a_clock_of_their_own(digits_trial, trained, monkeypatch, tmp_path):
    from bench.train import loop

    saved = []
    monkeypatch.setattr(loop, "_save", lambda training, watch: saved.append(training.progress.step))
    trained(digits_trial(execution=Execution(checkpoint_every_s=0)), store=tmp_path / "always")
    trained(digits_trial(execution=Execution(checkpoint_every_s=3600)), store=tmp_path / "never")
    assert saved == list(range(1, LAST + 1))


def test_whoever_lost_the_key_leaves_the_checkpoint_of_the_new_holder_alone(digits_trial, trained, tmp_path):
    trial = digits_trial(execution=Execution(checkpoint_every_s=0))
    with pytest.raises(Interrupted):
        trained(trial, lost_after=4)
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    assert _checkpoint(folder)["progress"]["step"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "curve.jsonl", "trial.json"]


def test_whoever_lost_the_key_at_the_very_end_says_nothing_is_done(digits_trial, trained, tmp_path):
    trial = digits_trial()
    with pytest.raises(Interrupted):
        trained(trial, lost_after=LAST)
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    assert sorted(path.name for path in folder.iterdir()) == ["curve.jsonl", "trial.json"]


def test_a_damaged_checkpoint_is_said_and_begun_anew(digits_trial, trained, tmp_path, capsys):
    trial = digits_trial()
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    with pytest.raises(Interrupted):
        trained(trial, stop_after=5)
    whole = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    assert trained(trial).weights == trained(trial, store=tmp_path / "undisturbed").weights
    assert (
        "checkpoint.pt' cannot be read: damaged, or not by torch.save; the training begins anew"
        in capsys.readouterr().err
    )


def test_what_is_done_is_not_done_again(digits_trial, trained, monkeypatch):
    trial = digits_trial()
    first = trained(trial)
    monkeypatch.setattr("bench.train.loop.prepared", None)
    again = trained(trial)
    assert again.quantities == first.quantities
    assert again.subject.bound == first.subject.bound
    assert again.progress == []


def test_a_loss_that_is_no_number_ends_it_with_the_step_and_the_last_value(digits_trial, trained, tmp_path):
    trial = digits_trial(train={"lr": 1e38, "min_lr": 0.0, "warmup_epochs": 0})
    with pytest.raises(Diverged) as raised:
        trained(trial)
    assert raised.value.step == 1
    assert raised.value.value == pytest.approx(math.log(10), abs=0.5)
    assert not (tmp_path / "store" / "weights" / weights_key(trial) / "done.json").exists()


def test_weights_that_are_no_numbers_after_the_last_step_are_no_result(digits_trial, trained):
    trial = digits_trial(train={"lr": 1e38, "min_lr": 0.0, "warmup_epochs": 0, "epochs": 1, "batch": 110})
    with pytest.raises(Diverged) as raised:
        trained(trial)
    assert raised.value.step == 1


@pytest.mark.parametrize(("lr", "lost"), [(100.0, True), (1e35, False)])
def test_finite_weights_that_know_less_than_nothing_are_no_result(digits_trial, trained, lr, lost):
    once = {"lr": lr, "min_lr": 0.0, "warmup_epochs": 0, "epochs": 1, "batch": 110}  # a step, of which none sees more
    with pytest.raises(Diverged) as raised:
        trained(digits_trial(train=once))
    assert raised.value.step == 1
    assert (raised.value.value > 10 * math.log(10)) == lost
    assert lost or raised.value.value == pytest.approx(math.log(10), abs=0.5)  # of the step itself


def test_what_learns_little_is_a_result(digits_trial, trained):
    left = trained(digits_trial(train={"lr": 0.1, "warmup_epochs": 0, "epochs": 1}))
    assert left.curve[-1]["train_loss"] > math.log(10)


def test_parts_of_a_batch_add_up_to_the_batch(digits_trial, trained, tmp_path):
    whole = trained(digits_trial(), store=tmp_path / "whole")
    parts = trained(digits_trial(execution=Execution(micro_batch=12)), store=tmp_path / "parts")
    assert parts.folder.name == whole.folder.name
    assert _losses(parts) == pytest.approx(_losses(whole), rel=1e-3)


def test_it_binds_what_only_the_machine_knows(digits_trial, trained):
    left = trained(digits_trial())
    saved = weights.trained(left.folder)
    assert left.subject.bound == {
        "weights": saved.sha256,
        "architecture": weights.architecture(saved.state),
        "data": weights.done(left.folder).data,
        "attention": [
            {"backend": "flash", "heads": 4, "queries": 17, "keys": 17, "head_dim": 12, "mask": False, "calls": 2}
        ],
        "sources": {},
        "dropped": [],
    }
    assert json.loads((left.folder / "trial.json").read_bytes())["seed"] == 0


def test_it_starts_from_the_weights_of_another_trial_at_another_size(digits_trial, trained, tmp_path):
    small = trained(digits_trial())
    source = Source(kind="trial", ref=small.folder.name)
    still = {"start": source, "lr": 1e-12, "min_lr": 0.0, "weight_decay": 0.0, "epochs": 2}
    large = trained(digits_trial(image=16, train=still))
    then, now = weights.trained(small.folder), weights.trained(large.folder)
    assert large.subject.bound["sources"] == {"start": then.sha256}
    assert now.state["pos_embed"].shape == (1, 1 + 8 * 8, 48)
    assert torch.allclose(now.state["blocks.0.mlp.fc1.weight"], then.state["blocks.0.mlp.fc1.weight"], atol=1e-9)
    assert torch.equal(now.state["pos_embed"][:, 0], then.state["pos_embed"][:, 0])
    assert weights_key(digits_trial(image=16, train=still)) != weights_key(digits_trial(image=16))


def test_a_head_for_other_classes_is_left_behind_and_that_is_said(digits_trial, trained, image_folder):
    source = trained(digits_trial())
    options = {"set": "shades", "classes": 3, "channels": 1, "root": str(image_folder()), "selection": 0.25}
    trial = digits_trial(train={"start": Source(kind="trial", ref=source.folder.name), "batch": 8, "epochs": 2})
    other = msgspec.structs.replace(
        trial, data=data_set("imagefolder", options), input=msgspec.structs.replace(trial.input, classes=3)
    )
    left = trained(other)
    assert left.subject.bound["dropped"] == ["head.weight", "head.bias"]
    assert weights.trained(left.folder).state["head.weight"].shape == (3, 48)


def test_files_train_to_the_same_bits_whoever_decodes_them(digits_trial, trained, image_folder, tmp_path):
    options = {"set": "shades", "classes": 3, "channels": 1, "root": str(image_folder()), "selection": 0.25}
    trial = digits_trial(train={**DRAWING, "batch": 8})
    trial = msgspec.structs.replace(
        trial, data=data_set("imagefolder", options), input=msgspec.structs.replace(trial.input, classes=3)
    )
    here = trained(trial, store=tmp_path / "here")
    elsewhere = msgspec.structs.replace(trial, execution=Execution(loader_workers=1))
    assert trained(elsewhere, store=tmp_path / "elsewhere").weights == here.weights
    assert here.curve[-1]["selection_top1"] in {0, 50 / 3, 100 / 3, 50, 200 / 3, 250 / 3, 100}  # of six images


def test_a_student_learns_from_its_teacher_and_says_which(digits_trial, trained, tmp_path):
    teacher = trained(digits_trial(seed=7))
    alone = trained(digits_trial())
    source = Source(kind="trial", ref=teacher.folder.name)
    taught = trained(digits_trial(distill=Distill(teacher=source, weight=0.9)))
    assert taught.subject.bound["sources"] == {"teacher": weights.trained(teacher.folder).sha256}
    assert taught.weights != alone.weights
    unheard = trained(digits_trial(distill=Distill(teacher=source, weight=0.0)))
    assert unheard.weights == alone.weights  # building the teacher moved nobody's random numbers


def test_a_batch_larger_than_the_images_is_one_line(digits_trial, trained):
    with pytest.raises(Invalid, match=r"^batch 500 is larger than the 120 training images$"):
        trained(digits_trial(train={"batch": 500}))


def test_a_model_that_normalises_over_the_batch_is_not_trained_in_parts_of_one(digits_trial, trained, tmp_path):
    resnet = models.resolve("timm:resnet10t", {})
    parted = digits_trial(model=resnet, train={"epochs": 2}, execution=Execution(micro_batch=12))
    with pytest.raises(Invalid) as raised:
        trained(parted)
    assert str(raised.value) == (
        "timm:resnet10t normalises over the batch (in conv1.1): micro_batch 12 would train another model than "
        "batch 32 does; leave execution.micro_batch out"
    )
    whole = msgspec.structs.replace(parted, execution=Execution(micro_batch=32))
    assert trained(whole).quantities["train_loss"].samples[0] > 0
