"""The systems of the tables and lectures: all of them, each with a state that holds."""

import time

import pytest

from ablations import shipped
from ablations.source import parse
from bench import models
from bench.errors import UserError
from reports.systems import System, listed, state, systems

HOW_MANY = 103


def test_every_system_is_listed_once():
    names = [system.name for system in systems()]
    assert len(names) == len(set(names)) == HOW_MANY
    assert {"ViT (Vision Transformer)", "DETR", "BoxeR-3D", "LR-Net (local relation)", "CLIP", "TimeSformer"} < set(
        names
    )


def test_no_system_is_measurable_by_a_model_that_nobody_knows():
    known = {*models.our_names(), *models.installed_names("timm")}
    known |= {f"{library}:{name}" for library in models.LIBRARIES for name in models.installed_names(library)}
    assert {model for system in systems() for model in system.models} <= known


def test_no_system_names_a_study_that_is_not_shipped_and_every_table_is_some_systems():
    named = {study for system in systems() for study in system.studies}
    assert named <= set(shipped.names())
    assert {"swin_imagenet", "detr_coco", "dino_imagenet", "mlp_mixer", "setr_ade20k", "boxer3d_waymo"} <= named


def test_what_is_not_measurable_says_what_is_missing():
    assert all(system.missing for system in systems() if state(system) != "measurable")
    assert {state(system) for system in systems()} == {"measurable", "reported", "missing"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"models": ("vit",)}, "measurable"),
        ({"fields": ("train.dropout",)}, "measurable"),
        ({"studies": ("swin_imagenet",), "missing": "COCO"}, "reported"),
        ({"missing": "a model of it"}, "missing"),
    ],
)
def test_a_state_follows_from_what_is_named(entry, expected):
    assert state(System(name="X", about="x", **entry)) == expected


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("models: ['timm:swin_tinny_patch4_window7_224']", "no timm model 'swin_tinny_patch4_window7_224'; nearest:"),
        ("models: [vitt]", "no model 'vitt'; nearest: 'vit'"),
        ("studies: [swin_imagnet]", "no study 'swin_imagnet'; nearest: 'swin_imagenet'"),
        ("measures: [parms]", "no measure 'parms'; nearest: 'params'"),
        ("data: [cifar11]", "no data set 'cifar11'; nearest: 'cifar10'"),
        ("fields: [train.droppout]", "no field 'train.droppout'; nearest: 'train.dropout'"),
        ("studies: [swin_imagenet]", "'X' is not measurable, and nothing says what is missing"),
        ("model: vit", "no system: Object contains unknown field `model`"),
    ],
)
def test_a_name_that_nothing_has_is_an_error_at_its_line(entry, said):
    document = parse(f"- {{name: Y, about: y, models: [vit]}}\n- {{name: X, about: x, {entry}}}\n", name="systems.yaml")
    with pytest.raises(UserError) as caught:
        listed(document)
    assert str(caught.value).startswith("systems.yaml:2:3: ")
    assert said in str(caught.value)


def test_two_systems_of_one_name_are_an_error():
    document = parse("- {name: X, about: x, models: [vit]}\n" * 2, name="systems.yaml")
    with pytest.raises(UserError, match=r"systems\.yaml:2:3: 'X' stands twice"):
        listed(document)


def test_they_are_read_at_once():
    systems.cache_clear()
    start = time.process_time()
    systems()
    assert time.process_time() - start < 0.5
