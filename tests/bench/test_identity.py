import hashlib
import itertools
import json
import os
import subprocess
import sys
import time

import msgspec
import pytest

from bench import identity, registry
from bench.errors import UserError
from bench.identity import canonical, digest, execution_fields, record_key, weights_key
from bench.trial import Data, Distill, Evaluate, Execution, Frozen, Input, Model, Source, Train, Trial

RECIPE = Train(
    image=8,
    epochs=20,
    batch=32,
    optimizer="adamw",
    lr=1e-3,
    min_lr=1e-5,
    weight_decay=0.05,
    warmup_epochs=2,
    smoothing=0.0,
    clip_grad=1.0,
    dropout=0.0,
    drop_path=0.0,
    augment="none",
)
TRIAL = Trial(
    model=Model(name="vit", knobs={"patch": 2, "dim": 48, "mlp_ratio": 4.0}),
    input=Input(image=8, channels=1, classes=10),
    data=Data(name="digits", options={"split_seed": 0}),
    train=RECIPE,
    evaluate=Evaluate(image=8),
    seed=0,
)


def _changed(path, value, trial=TRIAL):
    """The trial with one field another; `train.lr`, `model.knobs` …"""
    name, _, rest = path.partition(".")
    if not rest:
        return msgspec.structs.replace(trial, **{name: value})
    return msgspec.structs.replace(trial, **{name: _changed(rest, value, getattr(trial, name))})


def _keys(trial):
    """The keys of everything that a trial could ask for."""
    keys = {"weights": weights_key(trial)}
    for name in ("params", "flops", "architecture", "top1"):
        module = registry.load("measures", name)
        keys[name] = record_key(name, module.VERSION, module.DEPENDS_ON, trial)
    return keys


COUNTS = {"params", "flops", "architecture"}
CHANGES = {
    "model.name": ("swin", COUNTS | {"weights", "top1"}),
    "model.version": (2, COUNTS | {"weights", "top1"}),
    "model.knobs": ({"patch": 4, "dim": 48, "mlp_ratio": 4.0}, COUNTS | {"weights", "top1"}),
    "input.channels": (3, COUNTS | {"weights", "top1"}),
    "input.classes": (1000, COUNTS | {"weights", "top1"}),
    "data.name": ("cifar10", {"weights", "top1"}),
    "data.version": (2, {"weights", "top1"}),
    "data.options": ({"split_seed": 1}, {"weights", "top1"}),
    "data.subset": (0.5, {"weights", "top1"}),
    "train.version": (2, {"weights", "top1"}),
    "train.image": (16, {"weights", "top1"}),
    "train.lr": (2e-3, {"weights", "top1"}),
    "train.clip_grad": (None, {"weights", "top1"}),
    "train.augment": ("shift1", {"weights", "top1"}),
    "train.optimizer": ("sgd", {"weights", "top1"}),
    "train.random_crop": ((0.1, 1.0), {"weights", "top1"}),
    "train.ema": (0.99, {"weights", "top1"}),
    "train.start": (Source(kind="trial", ref="0" * 20), {"weights", "top1"}),
    "distill": (Distill(teacher=Source(kind="trial", ref="0" * 20)), {"weights", "top1"}),
    "attention": ("math", {"weights", "top1"}),
    "seed": (1, {"weights", "top1"}),
    "evaluate.image": (16, {"top1"}),
    "evaluate.crop": (0.9, {"top1"}),
    "evaluate.interpolation": ("bicubic", {"top1"}),
    "evaluate.split": ("selection", {"top1"}),
    "evaluate.readout": ("class", {"top1"}),
    "precision": ("bf16", {"weights", "top1"}),
    "data.at": ({"root": "/elsewhere"}, set()),
    "execution": (Execution(device="cuda", threads=8, micro_batch=4, evaluate_batch=1, loader_workers=2), set()),
    "execution.checkpoint_every_s": (0.0, set()),
    "execution.channels_last": (True, set()),
    "execution.compile": (True, set()),
    "execution.loader_prefetch": (4, set()),
}


@pytest.mark.parametrize(("path", "value", "affected"), [(path, *rest) for path, rest in CHANGES.items()], ids=CHANGES)
def test_a_field_changes_the_keys_of_exactly_what_depends_on_it(path, value, affected):
    before, after = _keys(TRIAL), _keys(_changed(path, value))
    assert {name for name in before if before[name] != after[name]} == affected


def test_the_size_that_counts_are_made_at_is_not_the_size_of_training_and_evaluation():
    before, after = _keys(TRIAL), _keys(_changed("input.image", 16))
    assert {name for name in before if before[name] != after[name]} == COUNTS | {"top1"}


def test_a_model_for_ten_classes_does_not_share_its_counts_with_one_for_a_thousand():
    ten, thousand = TRIAL, _changed("input.classes", 1000)
    assert all(_keys(ten)[name] != _keys(thousand)[name] for name in COUNTS)


def test_trials_that_differ_in_training_alone_share_their_counts():
    trials = [_changed("seed", seed, _changed("train.lr", lr)) for seed, lr in itertools.product(range(5), (0.1, 0.2))]
    assert len({weights_key(trial) for trial in trials}) == 10
    for name in COUNTS:
        assert len({_keys(trial)[name] for trial in trials}) == 1


def test_a_new_version_of_a_measure_changes_its_own_key_and_no_other():
    depends_on = registry.load("measures", "top1").DEPENDS_ON
    assert record_key("top1", 1, depends_on, TRIAL) != record_key("top1", 2, depends_on, TRIAL)
    assert record_key("top1", 1, depends_on, TRIAL) != record_key("top5", 1, depends_on, TRIAL)
    assert weights_key(TRIAL) == weights_key(TRIAL)


def test_what_a_trial_starts_from_changes_what_is_built_on_it():
    base, other = TRIAL, _changed("train.lr", 2e-3)
    tuned = [
        _changed("train.start", Source(kind="trial", ref=weights_key(start)), _changed("train.image", 16))
        for start in (base, other, base)
    ]
    assert weights_key(tuned[0]) == weights_key(tuned[2]) != weights_key(tuned[1])


def test_weights_that_are_only_measured_go_by_where_they_come_from():
    measured = msgspec.structs.replace(TRIAL, train=None)
    trained = msgspec.structs.replace(measured, weights=Source(kind="trial", ref=weights_key(TRIAL)))
    file, published = (
        msgspec.structs.replace(measured, weights=Source(kind=kind, ref="timm:resnet18.a1_in1k"))
        for kind in ("file", "published")
    )
    assert weights_key(measured) is None
    assert weights_key(trained) == weights_key(TRIAL)
    assert _keys(trained)["top1"] == _keys(TRIAL)["top1"]  # the same weights on the same protocol: measured once
    assert len({weights_key(file), weights_key(published), weights_key(TRIAL)}) == 3


def test_execution_fields_are_those_that_say_how_and_where():
    assert execution_fields(Trial) == ("execution",)
    assert execution_fields(Data) == ("at",)
    assert [execution_fields(struct) for struct in (Model, Input, Source, Train, Distill, Evaluate)] == [()] * 6


CANONICAL = {
    "model": {"name": "vit", "version": 1, "knobs": {"patch": 2, "dim": 48, "mlp_ratio": 4}},
    "input": {"image": 8, "channels": 1, "classes": 10},
    "task": "classify",
    "data": {"name": "digits", "version": 1, "options": {"split_seed": 0}, "subset": 1},
    "train": {
        "image": 8,
        "epochs": 20,
        "batch": 32,
        "optimizer": "adamw",
        "lr": 0.001,
        "min_lr": 1e-05,
        "weight_decay": 0.05,
        "warmup_epochs": 2,
        "smoothing": 0,
        "clip_grad": 1,
        "dropout": 0,
        "drop_path": 0,
        "augment": "none",
        "start": None,
        "version": 1,
    },
    "distill": None,
    "weights": None,
    "evaluate": {"image": 8, "crop": 1, "interpolation": "bilinear", "split": "report"},
    "precision": "fp32",
    "attention": "torch",
    "seed": 0,
}
"""Frozen. A field that is added later is absent here: give it a neutral value in `identity.NEUTRAL`."""


def test_the_canonical_form_of_a_trial_is_frozen():
    assert canonical(TRIAL) == CANONICAL


NEUTRAL_RECIPE = {
    "momentum": 0.9,
    "betas": None,
    "eps": None,
    "schedule": "cosine",
    "schedule_unit": "step",
    "warmup_lr": 0.0,
    "decay_epochs": 30.0,
    "decay_rate": 0.1,
    "decayed": "matrices",
    "undecayed": (),
    "layer_decay": None,
    "clip_mode": "norm",
    "loss": "ce",
    "bce_threshold": None,
    "bce_sum": False,
    "random_crop": None,
    "crop_ratio": (3 / 4, 4 / 3),
    "interpolation": "bilinear",
    "flip": 0.0,
    "vertical_flip": 0.0,
    "color_jitter": 0.0,
    "auto_augment": None,
    "erase": 0.0,
    "erase_mode": "const",
    "erase_count": 1,
    "mixup": 0.0,
    "cutmix": 0.0,
    "mix_probability": 1.0,
    "mix_switch": 0.5,
    "mix_mode": "batch",
    "mix_epochs": None,
    "repeats": 1,
    "ema": None,
    "ema_warmup": False,
}
"""Frozen: a field that has this value is in no key, so the value must go on meaning what it meant."""


def test_the_neutral_values_of_a_recipe_are_frozen():
    assert {name: value for (struct, name), value in identity.NEUTRAL.items() if struct == "Train"} == NEUTRAL_RECIPE


def test_keys_are_frozen_because_peoples_stores_go_by_them():
    assert weights_key(TRIAL) == "0c3ab961f75c351c5546"
    assert record_key("params", 1, ("model", "input"), TRIAL) == "6e7793efe1951ab0938e"
    protocol = ("weights", "model", "input", "task", "data", "evaluate", "precision", "attention")
    assert record_key("top1", 1, protocol, TRIAL) == "45ab1356621604cba196"


def test_a_key_is_the_hash_of_the_canonical_form_as_json_with_sorted_names():
    payload = {"measure": "params", "version": 1, "model": CANONICAL["model"], "input": CANONICAL["input"]}
    text = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    assert record_key("params", 1, ("model", "input"), TRIAL) == hashlib.sha256(text).hexdigest()[:20]


def test_keys_are_the_same_in_every_process_whatever_its_hash_seed():
    code = (
        "import sys, msgspec\n"
        "from bench.identity import record_key, weights_key\n"
        "from bench.trial import Trial\n"
        "trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)\n"
        "print(weights_key(trial), record_key('top1', 1, ('weights', 'evaluate'), trial))\n"
    )
    expected = f"{weights_key(TRIAL)} {record_key('top1', 1, ('weights', 'evaluate'), TRIAL)}\n"
    for seed in ("0", "1", "4294967295"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            input=msgspec.json.encode(TRIAL),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert ran.stdout.decode() == expected


def test_neither_the_order_of_names_nor_the_type_of_a_number_matters():
    assert digest({"a": 1, "b": [2.0, {"d": 3, "c": 0.5}]}) == digest({"b": (2, {"c": 0.5, "d": 3.0}), "a": 1.0})
    assert digest({"a": -0.0}) == digest({"a": 0})
    assert digest({"a": 1e20}) == digest({"a": 10**20})


def test_what_differs_has_another_key():
    payloads = ({"a": 1}, {"a": True}, {"a": "1"}, {"a": None}, {}, {"a": [1]}, {"a": [1, 2]}, {"a": [2, 1]}, {"b": 1})
    assert len({digest(payload) for payload in payloads}) == len(payloads)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_is_refused(number):
    with pytest.raises(UserError, match=f"^{number!r} is no value of a trial: numbers must be finite$"):
        digest({"lr": [number]})


class Grown(Frozen):
    """A struct as it may be one day: `ema` was added."""

    lr: float
    ema: float | None = None


def test_a_field_that_was_added_changes_no_key_while_it_is_neutral(monkeypatch):
    monkeypatch.setitem(identity.NEUTRAL, ("Grown", "ema"), None)
    identity._identity_fields.cache_clear()
    assert digest(Grown(lr=0.1)) == digest({"lr": 0.1})
    assert canonical(Grown(lr=0.1, ema=0.99)) == {"lr": 0.1, "ema": 0.99}
    identity._identity_fields.cache_clear()


def test_a_struct_is_made_plain_by_its_own_values_however_many_came_before():
    digests = {digest(Input(image=image)) for image in range(1, 3 * identity.MOST_SEEN)}
    assert len(digests) == 3 * identity.MOST_SEEN - 1
    assert len(identity._SEEN) <= identity.MOST_SEEN


def test_a_thousand_trials_are_keyed_in_a_fraction_of_a_second():
    trials = [_changed("seed", seed) for seed in range(1_000)]
    began = time.process_time()
    assert len({weights_key(trial) for trial in trials}) == 1_000
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("name", identity.NEUTRAL_KNOBS)
def test_a_knob_that_came_later_changes_no_key_until_it_is_turned(name):
    module = registry.load("models", name)
    knobs = msgspec.to_builtins(module.Knobs())
    added = identity.NEUTRAL_KNOBS[name]
    before = {knob: value for knob, value in knobs.items() if knob not in added}
    assert digest(Model(name=name, knobs=knobs)) == digest(Model(name=name, knobs=before))
    assert canonical({knob: knobs[knob] for knob in added}) == added
    turned = {"shift_by": "padding", "distilled": True, "stem": "conv", "stem_channels": [8], "stem_blocks": [1]}
    keys = {digest(Model(name=name, knobs=knobs | {knob: turned[knob]})) for knob in added}
    assert len(keys - {digest(Model(name=name, knobs=knobs))}) == len(added)
