"""The shipped ablations: which rows and trainings each setting of them has, and what their reports compare with."""

import pytest

from ablations.grid import build
from ablations.study import load
from bench.train import recipe

SWIN_POSITIONS = ["none", "absolute", "absolute_and_relative", "without_appearance", "base"]
POSITIONS = ["none", "sincos2d", "relative", "rope"]
MORE_POSITIONS = ["none", "learned2d", "sincos1d", "sincos2d", "relative", "rope"]
SIZES = [f"{dim}:{depth}" for dim in (24, 48, 96) for depth in (1, 2, 4)]
STEMS = ["base", "conv_1gf", "resnet_1gf", "patches_4gf", "conv_4gf", "patches_18gf", "conv_18gf"]
DEIT = ["base", "sgd", "finetuning_sgd", "no_rand_augment", "auto_augment", "no_mixup", "no_cutmix", "no_mixup_cutmix"]
DEIT += ["no_erasing", "no_drop_path", "no_repeats", "dropout", "ema"]
PRETRAINED = "81.8 74.5 81.8 79.6 81.2 78.7 80.0 75.8 4.3* 3.4* 76.5 81.3 81.9"
FINETUNED = "83.1 77.3 83.1 80.4 81.9 79.8 80.6 76.7 0.1 0.1 77.4 83.1 83.1"
TAUGHT = ["base", "soft", "hard", "token_class", "token_distillation", "token_both"]
TAUGHT_HERE = ["convolutions", "larger", "base", "soft", "hard", "hard_by_larger", "soft_token", *TAUGHT[3:]]
AUGMENTATIONS = ["base", "shift", "crop", "flip", "rand_augment", "auto_augment", "mixup", "cutmix"]
AUGMENTATIONS += ["mixup_cutmix", "erasing"]
MORE_AUGMENTATIONS = ["base", "color_jitter", *AUGMENTATIONS[4:], "repeats"]
REGULAR = [
    "base",
    "weight_decay=0",
    "weight_decay=0.2",
    "dropout=0.1",
    "drop_path=0.1",
    "smoothing=0",
    "clip_grad=none",
]
MORE_REGULAR = [
    "base",
    "weight_decay=0",
    "weight_decay=0.1",
    "dropout=0.1",
    "drop_path=0",
    "smoothing=0",
    "clip_grad=1",
]
MORE_REGULAR += ["erase=0", "repeats=1"]
AUGREG = ["R+Ti/16", "Ti/16", "S/32", "S/16", "B/32", "R26+S/32", "B/16", "L/16", "R50+L/32"]
OPTIMIZERS = ["base", "adam", "lamb", "lion", "sgd", "momentum"]
STUDIES = {  # study → its rows of digits and of ImageNet, in the order of the table, and the trainings of both
    "augmentation": (AUGMENTATIONS, MORE_AUGMENTATIONS, 30, 9),
    "augmentation_grid": (["narrow", "wide"], AUGREG, 32, 252),
    "class_token": (["token", "mean", "map"], ["token", "mean", "map"], 9, 6),
    "data_size": (["vit", "resnet"], ["vit", "resnet"], 30, 10),
    "deit_recipe": (DEIT, DEIT, 75, 25),
    "distillation": (TAUGHT_HERE, TAUGHT, 40, 16),
    "ema": (["none", "0.9", "0.99", "0.999"], ["none", "0.999", "0.9999", "0.99996"], 20, 4),
    "epochs": (["patches", "convolutions"], [f"{stem}-{size}GF" for stem in "PC" for size in (1, 4, 18)], 8, 18),
    "heads": (["4", "1", "2", "8", "16"], ["6", "1", "3", "12", "24"], 5, 5),
    "hybrid_stem": (["base", "conv", "resnet"], STEMS, 3, 7),
    "model_size": (SIZES, ["ti", "s", "b"], 9, 3),
    "optimizer": (OPTIMIZERS, ["base", "lamb", "sgd"], 30, 9),
    "patch_size": (["1", "2", "4", "8"], ["16", "8", "14", "32"], 20, 4),
    "positional_embedding": (["learned", *POSITIONS], ["learned", *MORE_POSITIONS], 25, 7),
    "regularization": (REGULAR, MORE_REGULAR, 21, 9),
    "swin_position_bias": (SWIN_POSITIONS, SWIN_POSITIONS, 5, 5),
    "token_mixer": (["base", "mlp"], ["base", "mixer_b", "vit_l", "mixer_l"], 2, 4),
    "window_shifting": (["unshifted", "base", "padding"], ["unshifted", "base", "padding"], 15, 3),
    "window_size": (["2", "1", "4", "8"], ["8", "4", "7", "16"], 4, 4),
}

NOT_THEIRS = {
    "augmentation_grid": {"reported with another RandAugment: timm's has no Cutout"},
    "token_mixer": {None, "trained otherwise"},  # of the ViTs, whose recipe the paper does not print
}
"""Where what was reported does not compare with what is measured at the scale of the paper, and why."""


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
        tuned = trial.train.start is not None
        assert trial.train.epochs >= (30 if tuned else 100 if study == "epochs" else 300)
        assert trial.train.batch >= (512 if tuned else 1024)
    reasons = {claim.comparable for row in grid.rows for cell in row.cells.values() for claim in cell.claims}
    assert reasons <= NOT_THEIRS.get(study, {None})


@pytest.mark.parametrize(
    ("study", "column", "printed"),
    [
        ("window_shifting", "top1", {"unshifted": "80.2", "base": "81.3"}),
        (
            "swin_position_bias",
            "top1",
            dict(zip(SWIN_POSITIONS, ("80.1", "80.5", "81.3", "79.3", "81.3"), strict=True)),
        ),
        ("deit_recipe", "pretrained", dict(zip(DEIT, PRETRAINED.split(), strict=True)) | {"base": "81.8 ± 0.2"}),
        ("deit_recipe", "finetuned", dict(zip(DEIT, FINETUNED.split(), strict=True)) | {"base": "83.1 ± 0.1"}),
        ("distillation", "ti", dict(zip(TAUGHT, ["72.2", "72.2", "74.3", "73.9", "74.6", "74.5"], strict=True))),
        ("distillation", "s", dict(zip(TAUGHT, ["79.8", "79.8", "80.9", "80.9", "81.1", "81.2"], strict=True))),
        ("distillation", "b", dict(zip(TAUGHT, ["81.8", "81.8", "83.0", "83.0", "83.1", "83.4"], strict=True))),
        (
            "distillation",
            "b384",
            dict(zip(TAUGHT, ["83.1", "83.2", "84.0", "84.2", "84.4", "84.5"], strict=True)),
        ),
        ("token_mixer", "top1", {"base": "79.67", "mixer_b": "76.44", "vit_l": "76.11", "mixer_l": "71.76"}),
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


def test_every_row_of_deits_recipe_is_fine_tuned_from_what_it_has_trained():
    grid = build(load("deit_recipe", setting="imagenet"))
    trained = {
        row.id: [row.cells[name].works[0].trial.train for name in ("pretrained", "finetuned")] for row in grid.rows
    }
    keys = {row.id: row.cells["pretrained"].works[0].weights_key for row in grid.rows}
    assert {row: tuned.start.ref for row, (_, tuned) in trained.items()} == keys
    assert {(first.image, first.epochs, tuned.image, tuned.epochs) for first, tuned in trained.values()} == {
        (224, 300, 384, 30)
    }
    sgd = {row: [one.optimizer for one in both] for row, both in trained.items() if "sgd" in row}
    assert sgd == {"sgd": ["sgd", "adamw"], "finetuning_sgd": ["adamw", "sgd"]}
    changed = {
        row: {name for name in first.__struct_fields__ if getattr(first, name) != getattr(trained["base"][0], name)}
        for row, (first, _) in trained.items()
    }
    assert changed == {
        "base": set(),
        "sgd": {"optimizer", "lr", "weight_decay"},
        "finetuning_sgd": set(),
        "no_rand_augment": {"auto_augment"},
        "auto_augment": {"auto_augment"},
        "no_mixup": {"mixup"},
        "no_cutmix": {"cutmix"},
        "no_mixup_cutmix": {"mixup", "cutmix"},
        "no_erasing": {"erase"},
        "no_drop_path": {"drop_path"},
        "no_repeats": {"repeats"},
        "dropout": {"dropout"},
        "ema": {"ema"},
    }
    rates = {row: tuned.lr for row, (_, tuned) in trained.items()}
    assert rates == dict.fromkeys(DEIT, 0.000005) | {"finetuning_sgd": 0.01}


def test_epochs_of_early_convolutions_end_with_the_trainings_of_the_stems():
    epochs, stems = (build(load(study, setting="imagenet")) for study in ("epochs", "hybrid_stem"))
    whole = {row.cells["top1:400"].works[0].weights_key for row in epochs.rows}
    assert whole == {row.cells["top1"].works[0].weights_key for row in stems.rows if "resnet" not in row.id}
    said = {row.id: [cell.claims[0].printed for cell in row.cells.values() if cell.claims] for row in epochs.rows}
    assert said["P-1GF"] == ["33.2", "29.7", "27.7"]
    assert said["C-18GF"] == ["18.4", "17.5", "17.0"]


def test_what_the_rows_of_deits_recipe_say_and_what_was_reported_of_them_is_the_same_at_every_scale():
    for_digits, for_imagenet = (build(load("deit_recipe", setting=setting)) for setting in ("small", "imagenet"))
    for ours, theirs in zip(for_digits.rows, for_imagenet.rows, strict=True):
        assert (ours.id, ours.label, ours.group, ours.fields) == (theirs.id, theirs.label, theirs.group, theirs.fields)
        for name in ("pretrained", "finetuned"):
            said = [[claim.printed for claim in row.cells[name].claims] for row in (ours, theirs)]
            assert said[0] == said[1] != []


def test_students_are_fine_tuned_from_what_they_have_learned_and_hear_their_teacher_still():
    grid = build(load("distillation", setting="imagenet"))
    for row in grid.rows:
        taught, tuned = (row.cells[name].works[0] for name in ("b", "b384"))
        assert tuned.trial.train.start.ref == taught.weights_key
        assert (tuned.trial.input.image, tuned.trial.train.image, tuned.trial.train.epochs) == (384, 384, 30)
        assert (tuned.trial.distill, tuned.trial.evaluate.readout) == (
            taught.trial.distill,
            taught.trial.evaluate.readout,
        )
        assert (tuned.trial.distill is None) == (row.id == "base")


def test_augmentations_of_the_grid_are_columns_and_weight_decay_is_chosen():
    grid = build(load("augmentation_grid", setting="imagenet"))
    cells = [cell for row in grid.rows for cell in row.cells.values()]
    assert len(cells) == 9 * 2 * 7
    assert [len(cell.claims) for cell in cells] == [1] * len(cells)
    decays = {tuple(one.works[0].trial.train.weight_decay for one in cell.candidates) for cell in cells}
    assert decays == {(0.1, 0.03)}
    assert {one.selection[0].trial.evaluate.split for cell in cells for one in cell.candidates} == {"selection"}
    assert {work.trial.evaluate.split for cell in cells for one in cell.candidates for work in one.works} == {
        "selection"
    }
    medium = grid.row("B/16").cells["minival:noreg:medium1"].candidates[0].works[0].trial.train
    assert (medium.auto_augment, medium.mixup) == (recipe("augreg")["auto_augment"], recipe("augreg")["mixup"])


DENSE = {  # study → its rows, trainings and data
    "small_detector": (["untrained", "lateral", "base"], 9, "generated_coco"),
    "small_segmenter": (["constant", "coarse", "base"], 9, "generated_ade20k"),
}


@pytest.mark.parametrize("study", DENSE)
def test_what_detects_or_segments_is_trained_on_scenes_beside_a_trivial_answer(study):
    rows, trainings, scenes = DENSE[study]
    grid, named = build(load(study)), build(load(study, setting="small"))
    assert [row.id for row in grid.rows] == rows
    assert [work.key for work in _works(grid)] == [work.key for work in _works(named)]
    assert len(grid.trainings) == trainings
    assert {work.trial.data.name for work in grid.trainings.values()} == {scenes}
    assert all(cell.needs is None and cell.invalid is None for row in grid.rows for cell in row.cells.values())


def test_an_untrained_detector_takes_steps_that_move_nothing():
    grid = build(load("small_detector"))
    recipes = {row.id: row.cells["ap_box"].works[0].trial.train for row in grid.rows}
    assert recipes["untrained"].lr == 1e-12
    assert recipes["lateral"] == recipes["base"]
    knobs = {row.id: row.cells["ap_box"].works[0].trial.model.knobs for row in grid.rows}
    assert {name for name in knobs["base"] if knobs["base"][name] != knobs["lateral"][name]} == {"pyramid"}
