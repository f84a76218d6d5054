"""One study of several sources: what a spec extends, the setting that is chosen, what the command line changes."""

import time
from pathlib import Path

import pytest

from ablations.study import load

PARENT = """\
study: parent
question: Does it matter?
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: digits
  train: {recipe: tiny}
design: {one_factor: {model.patch: [1, 2]}}
settings:
  large: {base: {model.image: 16}, seeds: 3, question: And when they are larger?}
  quick: {seeds: 2}
columns: [params, top1]
"""


@pytest.fixture
def child(planned, tmp_path):
    """A function that plans a spec which extends another."""

    def plan(text, *, parent=PARENT, **options):
        (tmp_path / "parent.yaml").write_text(parent)
        return planned(f"study: child\nextends: parent.yaml\n{text}", base="", columns=None, **options)

    return plan


def trial(grid, row=0):
    return grid.rows[row].cells["top1"].works[0].trial


def test_a_spec_takes_another_and_changes_fields_of_its_base(child):
    grid = child("base: {model.dim: 32}")
    assert [row.id for row in grid.rows] == ["1", "2"]
    assert trial(grid).model.knobs["dim"] == 32
    assert (grid.study.name, grid.study.spec.question) == ("child", "Does it matter?")


def test_what_is_no_base_and_no_setting_is_taken_whole(child):
    grid = child("design: {one_factor: {model.depth: [1, 2]}}\ncolumns: [top1]\nquestion: null")
    assert [row.id for row in grid.rows] == ["1", "2"]
    assert [column.name for column in grid.columns] == ["top1"]
    assert grid.study.spec.question is None


def test_settings_are_taken_by_name(child):
    text = "settings: {quick: {base: {model.dim: 32}}}"
    assert child(text, setting="quick").seeds == (0,)
    assert trial(child(text, setting="quick")).model.knobs["dim"] == 32
    assert child(text, setting="large").seeds == (0, 1, 2)


def test_a_spec_may_extend_one_that_extends_another(child, tmp_path):
    (tmp_path / "middle.yaml").write_text("study: middle\nextends: parent.yaml\nbase: {model.dim: 32}\nseeds: 2")
    (tmp_path / "parent.yaml").write_text(PARENT)
    (tmp_path / "last.yaml").write_text("study: last\nextends: middle.yaml\nbase: {model.depth: 3}")
    study = load(str(tmp_path / "last.yaml"))
    assert study.base.values["model"] == {"name": "vit", "patch": 2, "dim": 32, "depth": 3, "heads": 2}
    assert (study.name, study.seeds) == ("last", (0, 1))


def test_a_shipped_study_may_be_extended_by_its_name(planned, tmp_path):
    (tmp_path / "patch_size").mkdir()  # a folder of that name is no spec
    grid = planned("study: mine\nextends: patch_size\nbase: {model.depth: 3}", base="", columns=None)
    assert [row.id for row in grid.rows] == ["1", "2", "4", "8"]
    assert trial(grid).model.knobs["depth"] == 3


def test_another_model_loses_the_knobs_and_keeps_the_images(child):
    grid = child("base: {model: vit_tiny_patch16_224}\ndesign: {}")
    assert (trial(grid).model.name, trial(grid).model.knobs) == ("timm:vit_tiny_patch16_224", {})
    assert trial(grid).input.image == 8
    assert trial(child("base: {model.name: vit, model.depth: 2}")).model.knobs["dim"] == 16  # the same model


def test_a_setting_changes_the_base_the_seeds_and_the_question(planned):
    text = PARENT.partition("columns:")[0].partition("design:")[2]
    grid = planned("design:" + text, setting="large")
    assert trial(grid).input.image == 16
    assert (grid.seeds, grid.study.setting) == ((0, 1, 2), "large")
    assert grid.study.spec.question == "And when they are larger?"


def test_a_setting_may_have_columns_and_needs_of_its_own(planned):
    text = "settings: {paper: {columns: [flops, top1], needs: {top1: ImageNet}}}"
    assert [column.name for column in planned(text).columns] == ["params", "top1"]
    grid = planned(text, setting="paper")
    assert [column.name for column in grid.columns] == ["flops", "top1"]
    assert grid.rows[0].cells["top1"].needs == "ImageNet"


@pytest.mark.parametrize(
    ("change", "model"),
    [
        ("model.dim=32", {"dim": 32}),
        ("model={dim: 32, depth: 2}", {"dim": 32, "depth": 2}),
        ("model=vit", {}),
        ("model.pos_embed='none'", {"pos_embed": "none"}),
        ("model.pos_embed=none", {"pos_embed": "none"}),
        ("model.mlp_ratio=2", {"mlp_ratio": 2.0}),
        ("model.dim=0x20", {"dim": 32}),
        ("model.dim=32 # wider", {"dim": 32}),
    ],
)
def test_a_field_is_set_for_one_call(planned, change, model):
    plain = trial(planned()).model.knobs
    assert trial(planned(sets=[change])).model.knobs == plain | model


@pytest.mark.parametrize(
    ("change", "train"),
    [
        ("train.lr=1e-3", {"lr": 0.001}),
        ("train.clip_grad=null", {"clip_grad": None}),
        ("train.clip_grad=", {"clip_grad": None}),
        ("train={epochs: 9, warmup_epochs: 1}", {"epochs": 9, "warmup_epochs": 1.0}),
        ("train.recipe=tiny", {}),
    ],
)
def test_a_recipe_is_changed_for_one_call(planned, change, train):
    plain = trial(planned()).train
    changed = trial(planned(sets=[change])).train
    assert {name for name in plain.__struct_fields__ if getattr(plain, name) != getattr(changed, name)} == set(train)
    assert {name: getattr(changed, name) for name in train} == train


def test_a_list_and_another_model_are_set_for_one_call(planned):
    grid = planned(sets=["model=timm:swin_tiny_patch4_window7_224", "model.depths=[1, 2]", "model.image=224"])
    assert trial(grid).model.knobs == {"depths": [1, 2]}
    assert trial(grid).input.image == 224
    assert grid.study.sets == ("model=timm:swin_tiny_patch4_window7_224", "model.depths=[1, 2]", "model.image=224")


def test_the_command_line_comes_after_the_setting(planned):
    text = "settings: {large: {base: {model.image: 16, model.dim: 32}}}"
    grid = planned(text, setting="large", sets=["model.dim=64"])
    assert (trial(grid).input.image, trial(grid).model.knobs["dim"]) == (16, 64)


@pytest.mark.parametrize(
    ("said", "given", "expected"),
    [
        ("", None, (0,)),
        ("seeds: 3", None, (0, 1, 2)),
        ("seeds: [5, 3]", None, (5, 3)),
        ("seeds: 3", 2, (0, 1)),
        ("seeds: 3", [7], (7,)),
    ],
)
def test_a_number_of_seeds_counts_from_nought_and_a_list_gives_them(planned, said, given, expected):
    grid = planned(said, seeds=given)
    assert grid.seeds == expected
    works = grid.rows[0].cells["top1"].works
    assert [work.trial.seed for work in works] == list(expected)
    assert len({work.key for work in works}) == len(expected)
    assert grid.rows[0].cells["top1"].seeds_matter
    assert len(grid.rows[0].cells["params"].works) == 1  # counts do not depend on a seed
    assert not grid.rows[0].cells["params"].seeds_matter


def test_an_invalid_row_keeps_its_place_where_the_spec_says_so(planned):
    grid = planned("invalid: keep\ndesign: {one_factor: {model.patch: [3, 4]}}")
    assert [row.id for row in grid.rows] == ["2", "3", "4"]
    reason = "vit at 8: patch 3 does not divide the image; allowed: 1, 2, 4, 8"
    assert [[cell.invalid for cell in row.cells.values()] for row in grid.rows] == [
        [None] * 2,
        [reason] * 2,
        [None] * 2,
    ]
    assert len(grid.trainings) == 2


def test_what_a_library_does_without_a_word_is_a_note_on_the_row(planned):
    grid = planned("design: {rows: [{id: a, model: timm:vit_tiny_patch16_224, model.image: 40, notes: [ours]}]}")
    assert grid.rows[0].notes == (
        "ours",
        "patch 16 does not divide the image of 40: timm cuts its border off, or pads it",
    )


def test_nested_and_dotted_fields_mean_the_same(planned):
    nested = planned("design: {rows: [{id: a, model: {depth: 2, image: 16}, train: {lr: 0.1}}]}")
    dotted = planned("design: {rows: [{id: a, model.depth: 2, model.image: 16, train.lr: 0.1}]}")
    inputs = planned("design: {rows: [{id: a, model.depth: 2, input.image: 16, train: {lr: 0.1}}]}")
    assert trial(nested) == trial(dotted) == trial(inputs)


def test_a_study_is_shown_by_the_path_that_was_typed(planned, tmp_path):
    planned()
    assert load("./s.yaml").spots["study"][0].name == "s.yaml"
    assert load(str(tmp_path / "s.yaml")).path == tmp_path / "s.yaml"
    assert Path("s.yaml").exists()


def test_rows_and_seeds_that_multiply_beyond_sense_are_refused_before_they_are_planned(refused):
    levels = ", ".join(f"{number}e-5" for number in range(3, 303))
    design = f"design:\n  factorial: {{train.lr: [{levels}], train.weight_decay: [{levels}]}}\n"
    began = time.process_time()
    assert refused(f"seeds: 1000\n{design}") == (
        "s.yaml:7:1: 90,000 rows × 1,000 seeds are 90,000,000 trials; at most 100,000"
    )
    assert time.process_time() - began < 10
    few = "design:\n  factorial: {model.depth: [1, 2, 3, 4], train.lr: [1e-3, 2e-3]}\n"
    axis = f"  best_of: {{over: {{train.weight_decay: [{levels}]}}, by: top1}}\n"
    assert refused(f"{few}{axis}", seeds=100) == (
        "s.yaml:1:1: 8 rows × 300 levels of best_of × 100 seeds are 240,000 trials; at most 100,000"
    )
