"""Trainings with everything on that draws or remembers: the same bits, whatever stops them, and only by one seed."""

import math

import msgspec
import pytest
import torch
from safetensors.torch import load as tensors

from bench import models, weights
from bench.data import resolve as data_set
from bench.errors import Diverged, Interrupted, Invalid
from bench.identity import weights_key
from bench.trial import Distill, Execution, Source

EVERYTHING = {
    "dropout": 0.1,
    "drop_path": 0.2,
    "augment": "shift1",
    "random_crop": (0.4, 1.0),
    "flip": 0.5,
    "vertical_flip": 0.1,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "interpolation": "random",
    "erase": 0.5,
    "erase_mode": "pixel",
    "mixup": 0.8,
    "cutmix": 1.0,
    "mix_epochs": 2,
    "repeats": 2,
    "ema": 0.9,
    "ema_warmup": True,
    "layer_decay": 0.8,
    "schedule_unit": "epoch",
}
OTHERWISE = {
    "adamw in bfloat16": ({}, {"precision": "bf16"}),
    "sgd, a jitter, its own loss for each class": (
        {"optimizer": "sgd", "lr": 0.05, "auto_augment": None, "color_jitter": 0.4, "loss": "bce", "mix_mode": "elem"},
        {},
    ),
    "lamb, clipped adaptively, in parts of a batch": (
        {"optimizer": "lamb", "clip_mode": "agc", "clip_grad": 0.02, "schedule": "step", "decay_epochs": 1.0},
        {"execution": Execution(micro_batch=12, channels_last=True)},
    ),
}

LAST = 9  # steps of `digits_trial`


@pytest.fixture(params=OTHERWISE.values(), ids=OTHERWISE)
def everything(request, digits_trial):
    """A function that makes trials with everything on, in three ways."""
    train, fields = request.param
    return lambda **more: digits_trial(train=EVERYTHING | train, **fields | more)


def test_stopped_at_any_step_and_continued_it_ends_with_the_same_bits(everything, trained, tmp_path):
    undisturbed = trained(everything(), store=tmp_path / "undisturbed")
    for stopped_after in (1, 4, 8):  # in each epoch; before and behind the end of mixing
        store = tmp_path / str(stopped_after)
        with pytest.raises(Interrupted):
            trained(everything(), store=store, stop_after=stopped_after)
        left = trained(everything(), store=store)
        assert left.weights == undisturbed.weights
        for row, other in zip(left.curve, undisturbed.curve, strict=True):
            assert row | {"seconds": 0} == other | {"seconds": 0}


def test_two_seeds_differ_and_one_repeats(everything, trained, tmp_path):
    one, again, other = (
        trained(everything(seed=seed), store=tmp_path / name).weights for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again != other


@pytest.mark.parametrize("part", ["ema", "optimizer", "random"])
def test_without_any_part_of_its_checkpoint_it_would_end_elsewhere(digits_trial, trained, tmp_path, part):
    trial, other = (digits_trial(train=EVERYTHING, seed=seed) for seed in (0, 1))
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    files = []
    for stopped in (trial, other):
        with pytest.raises(Interrupted):
            trained(stopped, stop_after=5)
        files.append(tmp_path / "store" / "weights" / weights_key(stopped) / "checkpoint.pt")
    mine, theirs = (torch.load(file, weights_only=True) for file in files)
    torch.save(mine | {part: theirs[part]}, files[0])
    assert trained(trial).weights != undisturbed.weights


def test_files_in_colour_train_to_the_same_bits_whoever_decodes_them(digits_trial, trained, image_folder, tmp_path):
    options = {"set": "shades", "classes": 3, "root": str(image_folder()), "selection": 0.25}
    trial = digits_trial(train={**EVERYTHING, "batch": 6, "repeats": 3, "mix_epochs": None})
    seen = msgspec.structs.replace(trial.input, classes=3, channels=3)
    trial = msgspec.structs.replace(trial, data=data_set("imagefolder", options), input=seen)
    here = trained(trial, store=tmp_path / "here")
    elsewhere = msgspec.structs.replace(trial, execution=Execution(loader_workers=2, loader_prefetch=1))
    assert trained(elsewhere, store=tmp_path / "elsewhere").weights == here.weights


def test_the_average_of_the_weights_is_the_one_in_closed_form(digits_trial, trained, monkeypatch):
    """After steps 1 … n with decay d: w_1·d^(n−1) + Σ (1 − d)·d^(n−k)·w_k."""
    from bench.train import loop

    passed, taken = [], loop._step

    def step(training, *batch):
        loss = taken(training, *batch)
        passed.append({name: value.clone() for name, value in training.model.state_dict().items()})
        return loss

    monkeypatch.setattr(loop, "_step", step)
    left = trained(digits_trial(train={"ema": 0.7, "optimizer": "sgd", "lr": 0.1}))
    shares = [0.7 ** (LAST - 1), *(0.3 * 0.7 ** (LAST - k) for k in range(2, LAST + 1))]
    assert math.isclose(sum(shares), 1)
    for name, value in tensors(left.weights).items():
        expected = sum(share * state[name] for share, state in zip(shares, passed, strict=True))
        assert torch.allclose(value, expected, atol=1e-6), name
    assert not torch.equal(tensors(left.weights)["head.weight"], passed[-1]["head.weight"])


def test_the_curve_judges_the_average(digits_trial, trained, monkeypatch):
    from bench.train import loop

    judged, asked = [], loop.logits

    def logits(model, *rest):
        judged.append(model.state_dict()["head.weight"].clone())
        return asked(model, *rest)

    monkeypatch.setattr(loop, "logits", logits)
    left = trained(digits_trial(train={"ema": 0.9}))
    assert torch.equal(judged[-1], tensors(left.weights)["head.weight"])


def test_in_bfloat16_the_products_are_rounded_and_the_weights_are_not(digits_trial, trained, tmp_path):
    whole, rounded = (
        trained(digits_trial(precision=precision), store=tmp_path / precision) for precision in ("fp32", "bf16")
    )
    assert whole.weights != rounded.weights
    assert {value.dtype for value in tensors(rounded.weights).values()} == {torch.float32}
    losses = [[row["train_loss"] for row in left.curve] for left in (whole, rounded)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("execution", [{"channels_last": True}, {"micro_batch": 12}, {"loader_workers": 1}])
def test_how_it_is_carried_out_changes_no_key_and_at_most_the_last_digits(digits_trial, trained, tmp_path, execution):
    recipe = {"erase": 0.5, "flip": 0.5, "mixup": 0.8, "optimizer": "sgd", "lr": 0.01}
    plain = trained(digits_trial(train=recipe), store=tmp_path / "plain")
    other = trained(digits_trial(train=recipe, execution=Execution(**execution)), store=tmp_path / "other")
    assert other.folder.name == plain.folder.name
    for name, value in tensors(other.weights).items():
        assert torch.allclose(value, tensors(plain.weights)[name], atol=1e-4), name


@pytest.mark.parametrize(
    ("train", "fields"),
    [
        ({"loss": "bce"}, {}),
        ({"loss": "bce", "bce_sum": True}, {}),
        ({"mixup": 0.8}, {}),
        ({"ema": 0.999}, {}),
        ({"optimizer": "momentum"}, {}),
        ({}, {"precision": "bf16"}),
    ],
    ids=str,
)
def test_a_loss_that_explodes_is_a_result_with_its_last_value_whatever_the_loss(digits_trial, trained, train, fields):
    far = {"lr": 1e6, "min_lr": 0.0, "warmup_epochs": 0, "clip_grad": None, "smoothing": 0.0}
    with pytest.raises(Diverged) as raised:
        trained(digits_trial(train=far | train, **fields))
    assert 1 <= raised.value.step <= LAST
    assert raised.value.value is not None
    assert math.isfinite(raised.value.value)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_taught_loss_that_explodes_is_a_result(digits_trial, trained, kind):
    teacher = Source(kind="trial", ref=trained(digits_trial(seed=7)).folder.name)
    far = {"lr": 1e6, "min_lr": 0.0, "warmup_epochs": 0, "clip_grad": None}
    with pytest.raises(Diverged) as raised:
        trained(digits_trial(train=far, distill=Distill(teacher=teacher, kind=kind)))
    assert math.isfinite(raised.value.value)


@pytest.mark.parametrize("loss", [{"loss": "bce"}, {"loss": "bce", "bce_sum": True}, {"mixup": 0.8, "cutmix": 1.0}])
def test_what_learns_is_no_explosion_whatever_the_loss(digits_trial, trained, loss):
    left = trained(digits_trial(train=loss))
    assert left.curve[-1]["train_loss"] < left.curve[0]["train_loss"]


def test_weights_of_another_shape_are_one_line_before_any_step(digits_trial, trained):
    small = trained(digits_trial(knobs={"dim": 24}))
    with pytest.raises(
        Invalid, match=r"^these weights do not fit the model: \d+ have another shape, first 'cls_token'$"
    ):
        trained(digits_trial(train={"start": Source(kind="trial", ref=small.folder.name)}))


def test_a_file_with_its_model_teaches_as_the_trial_does(digits_trial, trained, tmp_path):
    teacher = trained(digits_trial(seed=7))
    by_trial = digits_trial(distill=Distill(teacher=Source(kind="trial", ref=teacher.folder.name)))
    file = Source(kind="file", ref=str(teacher.folder / weights.WEIGHTS))
    by_file = digits_trial(distill=Distill(teacher=file, teacher_model=by_trial.model))
    assert trained(by_file).weights == trained(by_trial).weights
    other = models.resolve("vit", {"patch": 2, "dim": 24, "depth": 2, "heads": 4})
    with pytest.raises(
        Invalid, match=r"^teacher '.*weights.safetensors' for 10 classes: these weights do not fit the model"
    ):
        trained(digits_trial(seed=1, distill=Distill(teacher=file, teacher_model=other)))


def test_a_compiled_model_is_what_computes_and_its_weights_are_the_models(digits_trial, trained, monkeypatch, tmp_path):
    class Compiled(torch.nn.Module):
        calls = 0

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, images):
            Compiled.calls += 1
            return self.model(images)

    monkeypatch.setattr(torch, "compile", Compiled)
    plain = trained(digits_trial(), store=tmp_path / "plain")
    assert Compiled.calls == 0
    compiled = trained(digits_trial(execution=Execution(compile=True)), store=tmp_path / "compiled")
    assert Compiled.calls == LAST
    assert compiled.weights == plain.weights


def test_in_float16_gradients_are_scaled_and_the_scale_is_remembered(digits_trial, trained, monkeypatch, tmp_path):
    """What a GPU does in this precision, on a CPU, which torch can do and we refuse."""
    from bench.train import ending, loop, loss, training

    for module in (ending, loop, loss, training):
        monkeypatch.setattr(module, "autocast", lambda precision, device: torch.autocast(device, torch.float16))
    trial = digits_trial(precision="fp16")
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    with pytest.raises(Interrupted):
        trained(trial, stop_after=5)
    file = tmp_path / "store" / "weights" / weights_key(trial) / "checkpoint.pt"
    saved = torch.load(file, weights_only=True)["scaler"]
    assert saved["scale"] > 1
    assert 0 < saved["_growth_tracker"] <= 5  # steps since one was too large
    assert trained(trial).weights == undisturbed.weights
    assert undisturbed.curve[-1]["train_loss"] < 3
