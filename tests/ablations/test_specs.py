"""The shipped ablations: which rows and trainings each setting of them has, and what their reports compare with."""

import pytest

from ablations.grid import build
from ablations.study import load

SWIN_POSITIONS = ["none", "absolute", "absolute_and_relative", "without_appearance", "base"]
POSITIONS = ["none", "sincos2d", "relative", "rope"]
MORE_POSITIONS = ["none", "learned2d", "sincos1d", "sincos2d", "relative", "rope"]
SIZES = [f"{dim}:{depth}" for dim in (24, 48, 96) for depth in (1, 2, 4)]
STEMS = ["base", "conv_1gf", "resnet_1gf", "patches_4gf", "conv_4gf", "patches_18gf", "conv_18gf"]
STUDIES = {  # study → its rows of digits and of ImageNet, in the order of the table, and the trainings of both
    "class_token": (["token", "mean", "map"], ["token", "mean", "map"], 9, 6),
    "heads": (["4", "1", "2", "8", "16"], ["6", "1", "3", "12", "24"], 5, 5),
    "hybrid_stem": (["base", "conv", "resnet"], STEMS, 3, 7),
    "model_size": (SIZES, ["ti", "s", "b"], 9, 3),
    "patch_size": (["1", "2", "4", "8"], ["16", "8", "14", "32"], 20, 4),
    "positional_embedding": (["learned", *POSITIONS], ["learned", *MORE_POSITIONS], 25, 7),
    "swin_position_bias": (SWIN_POSITIONS, SWIN_POSITIONS, 5, 5),
    "window_shifting": (["unshifted", "base", "padding"], ["unshifted", "base", "padding"], 15, 3),
    "window_size": (["2", "1", "4", "8"], ["8", "4", "7", "16"], 4, 4),
}


def _works(grid):
    return [work for row in grid.rows for cell in row.cells.values() for work in cell.works]


@pytest.mark.parametrize("study", STUDIES)
def test_the_small_setting_is_the_study_itself_and_learns_digits(study):
    rows, _, trainings, _ = STUDIES[study]
    grid, named = build(load(study)), build(load(study, setting="small"))
    assert [row.id for row in grid.rows] == rows
    assert [work.key for work in _works(grid)] == [work.key for work in _works(named)]
    assert len(grid.trainings) == trainings
    assert {work.trial.data.name for work in grid.trainings.values()} == {"digits"}
    assert all(cell.needs is None and cell.invalid is None for row in grid.rows for cell in row.cells.values())
    assert all(claim.comparable for row in grid.rows for cell in row.cells.values() for claim in cell.claims)


@pytest.mark.parametrize("study", STUDIES)
def test_the_imagenet_setting_is_at_the_scale_of_the_papers(study):
    _, rows, _, trainings = STUDIES[study]
    grid = build(load(study, setting="imagenet"))
    assert [row.id for row in grid.rows] == rows
    assert len(grid.trainings) == trainings
    for work in grid.trainings.values():
        trial = work.trial
        assert (trial.data.name, trial.input.classes, trial.input.channels) == ("imagenet", 1000, 3)
        assert trial.train.image >= 224
        assert trial.train.epochs >= 300
        assert trial.train.batch >= 1024
    assert not any(claim.comparable for row in grid.rows for cell in row.cells.values() for claim in cell.claims)


@pytest.mark.parametrize(
    ("study", "column", "printed"),
    [
        ("window_shifting", "top1", {"unshifted": "80.2", "base": "81.3"}),
        (
            "swin_position_bias",
            "top1",
            dict(zip(SWIN_POSITIONS, ("80.1", "80.5", "81.3", "79.3", "81.3"), strict=True)),
        ),
        ("model_size", "params", {"ti": "5M", "s": "22M", "b": "86M"}),
        ("model_size", "top1", {"ti": "72.2", "s": "79.8", "b": "81.8"}),
        (
            "hybrid_stem",
            "error",
            dict(
                zip(
                    [name for name in STEMS if "resnet" not in name],
                    ["27.7", "24.7", "19.6", "18.6", "17.9", "17.0"],
                    strict=True,
                )
            ),
        ),
    ],
)
def test_what_the_papers_report_stands_beside_what_their_design_measures(study, column, printed):
    grid = build(load(study, setting="imagenet"))
    found = {row.id: claim.printed for row in grid.rows for claim in row.cells[column].claims}
    assert found == printed


def test_models_of_one_scale_that_are_compared_cost_alike():
    """What an ablation changes is what it names: everything else of two rows is the same trial."""
    for study, fields in {
        "class_token": {"pool"},
        "heads": {"heads"},
        "swin_position_bias": {"position"},
        "window_shifting": {"shift", "shift_by"},
        "window_size": {"window"},
    }.items():
        for setting in ("small", "imagenet"):
            knobs = [work.trial.model.knobs for work in _works(build(load(study, setting=setting)))]
            changed = {name for one in knobs for name in one if one[name] != knobs[0][name]}
            assert changed == fields


def test_windows_that_do_not_fit_the_maps_of_swin_t_are_noted():
    grid = build(load("window_size", setting="imagenet"))
    assert {row.id: len(row.notes) for row in grid.rows} == {"8": 0, "4": 0, "7": 4, "16": 1}
    assert grid.row("16").notes == ("stage 4: the window is the whole map, 8×8, and is not shifted",)
