import msgspec
import pytest

from bench import train
from bench.errors import Invalid, UserError
from bench.train import augment, optimizer
from bench.trial import Distill, Execution, Model, Source, Train


def test_every_recipe_states_what_has_no_default_and_nothing_that_is_the_trials():
    assert train.recipes() == ("augreg", "deit", "dense", "mixer", "swin", "tiny")
    required = {field.name for field in msgspec.structs.fields(Train) if field.required} - {"image"}
    for name in train.recipes():
        values = train.recipe(name)
        made = msgspec.convert({**values, "image": 8}, Train, strict=True)
        kept = msgspec.json.decode(msgspec.json.encode(made))
        assert kept | values == kept
        assert required <= set(values) <= set(Train.__struct_fields__) - {"image", "start", "version"}


def test_every_recipe_says_what_it_is_for_and_whose_it_is():
    said = {name: train.about(name) for name in train.recipes()}
    assert said["deit"] == "DeiT-B on ImageNet at 224 px (Touvron et al., ICML 2021, section 6, Table 9)"
    assert all("section" in about or name in ("dense", "tiny") for name, about in said.items())


def test_the_recipe_that_the_shipped_tables_were_measured_with():
    assert train.recipe("tiny") == {
        "epochs": 30,
        "batch": 32,
        "optimizer": "adamw",
        "lr": 0.003,
        "min_lr": 0.00003,
        "weight_decay": 0.05,
        "warmup_epochs": 3,
        "smoothing": 0.1,
        "clip_grad": 1.0,
        "dropout": 0.0,
        "drop_path": 0.0,
        "augment": "none",
    }


def test_a_misspelt_recipe_is_a_line_with_the_nearest_one():
    with pytest.raises(UserError, match=r"^no recipe 'tinny'; nearest: 'tiny'$"):
        train.recipe("tinny")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"augment": "shift"}, "no augmentation 'shift'; nearest: 'shift1'"),
        ({"warmup_epochs": 3}, "warmup_epochs 3 leaves nothing of 3 epochs: say train.warmup_epochs, too"),
        ({"min_lr": 0.1}, "min_lr 0.1 is larger than lr 0.003"),
        ({"version": 99}, "training is version 1 here and was planned as version 99"),
        ({"optimizer": "adamww"}, "no optimizer 'adamww'; nearest: 'adamw'"),
        ({"optimizer": "bnbadam"}, "no optimizer 'bnbadam'; nearest: 'nadam'"),
        ({"warmup_lr": 0.1}, "warmup_lr 0.1 is larger than lr 0.003"),
        ({"clip_mode": "agc", "clip_grad": None}, "clip_mode agc without clip_grad bounds nothing"),
        ({"auto_augment": "randm9"}, "no auto_augment policy 'randm9'; nearest: 'rand'"),
        (
            {"auto_augment": "rand-m9-k2"},
            "auto_augment 'rand-m9-k2': 'k2' is no part of rand; m, n, p, mstd, mmax, inc, each a number",
        ),
        ({"random_crop": (1.0, 0.5)}, "random_crop goes from 1 down to 0.5; the smaller one stands first"),
        (
            {"interpolation": "random"},
            "interpolation random is of random crops; say random_crop, or bilinear or bicubic",
        ),
        ({"mixup": 0.8, "batch": 31}, "batch 31 is odd, and images are mixed in pairs"),
        ({"mix_epochs": 2}, "mix_epochs without mixup or cutmix mixes nothing"),
        ({"bce_threshold": 0.2}, "bce_threshold is for loss bce"),
        ({"bce_sum": True}, "bce_sum is for loss bce"),
        ({"ema_warmup": True}, "ema_warmup without ema averages nothing; say the decay: `ema: 0.9999`"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(digits_trial, changes, reason):
    with pytest.raises(Invalid) as raised:
        train.check(digits_trial(train=changes))
    assert str(raised.value) == reason


def test_several_processes_mix_whole_batches_alone(digits_trial):
    train.check(digits_trial(train={"mixup": 0.8}, execution=Execution(processes=16)))
    for given, count, reason in (
        ({"mix_mode": "elem"}, 2, "mix_mode elem draws for every image of a batch: not over 2 processes"),
        ({}, 17, "batch 32 is too small for 17 processes, a pair of images each"),
    ):
        with pytest.raises(Invalid) as raised:
            train.check(digits_trial(train={"mixup": 0.8} | given, execution=Execution(processes=count)))
        assert str(raised.value) == reason


def test_half_precision_of_a_small_range_needs_a_gpu(digits_trial):
    with pytest.raises(Invalid, match=r"^precision fp16 needs a GPU; bf16 runs on a CPU too$"):
        train.check(digits_trial(precision="fp16", execution=Execution(device="cpu")))


def test_every_optimizer_that_may_be_named_is_timms():
    from timm.optim import list_optimizers

    known = set(optimizer.names())
    assert {"adamw", "sgd", "momentum", "lamb", "lion"} <= known
    assert known <= set(list_optimizers())


def test_a_training_needs_a_recipe_data_a_seed_and_a_head(digits_trial):
    good = digits_trial()
    train.check(good)
    for lacking in ("train", "data", "seed"):
        with pytest.raises(Invalid, match=r"^a training needs a recipe, data and a seed$"):
            train.check(
                digits_trial(**{lacking: None}) if lacking != "train" else msgspec.structs.replace(good, train=None)
            )
    with pytest.raises(Invalid, match=r"classes is 0$"):
        train.check(msgspec.structs.replace(good, input=msgspec.structs.replace(good.input, classes=0)))


FILE = Source(kind="file", ref="teacher.pt")


def test_a_file_that_teaches_needs_its_model(digits_trial):
    with pytest.raises(Invalid, match=r"^a file does not say which model it is; say `distill.teacher_model`, or teach"):
        train.check(digits_trial(distill=Distill(teacher=FILE)))
    train.check(digits_trial(distill=Distill(teacher=FILE, teacher_model=Model(name="vit"))))
    trained = Source(kind="trial", ref="0" * 20)
    with pytest.raises(Invalid, match=r"^distill.teacher_model is for a teacher that is a file"):
        train.check(digits_trial(distill=Distill(teacher=trained, teacher_model=Model(name="vit"))))


def test_a_distillation_token_needs_a_teacher(digits_trial):
    with pytest.raises(Invalid, match=r"^a distillation token needs a teacher to hear: `distill`, or leave"):
        train.check(digits_trial(knobs={"distilled": True}))
    train.check(digits_trial(knobs={"distilled": True}, distill=Distill(teacher=Source(kind="trial", ref="0" * 20))))


def test_every_augmentation_that_may_be_named_exists():
    assert set(train.AUGMENTATIONS) == {"none", *augment.KNOWN}
