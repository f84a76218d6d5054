import msgspec
import pytest

from bench import train
from bench.errors import Invalid, UserError
from bench.train import augment
from bench.trial import Distill, Source, Train


def test_every_recipe_states_every_field_and_nothing_that_is_the_trials():
    assert train.recipes() == ("tiny",)
    for name in train.recipes():
        values = train.recipe(name)
        made = msgspec.convert({**values, "image": 8}, Train, strict=True)
        assert {field: getattr(made, field) for field in values} == values
        assert set(values) == set(Train.__struct_fields__) - {"image", "start", "version"}


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
        ({"warmup_epochs": 3}, "warmup_epochs 3 leaves nothing of 3 epochs"),
        ({"min_lr": 0.1}, "min_lr 0.1 is larger than lr 0.003"),
        ({"version": 99}, "training is version 1 here and was planned as version 99"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(digits_trial, changes, reason):
    with pytest.raises(Invalid) as raised:
        train.check(digits_trial(train=changes))
    assert str(raised.value) == reason


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


def test_a_file_cannot_teach(digits_trial):
    with pytest.raises(Invalid, match=r"^a file does not say which model it is; teach with weights of a trial"):
        train.check(digits_trial(distill=Distill(teacher=Source(kind="file", ref="teacher.pt"))))


def test_every_augmentation_that_may_be_named_exists():
    assert set(train.AUGMENTATIONS) == {"none", *augment.KNOWN}
