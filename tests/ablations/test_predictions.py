"""Predictions that lie in files, as rows of a study: where they are looked for, and what is said where they are not."""

import json

import pytest

BOXES = """\
study: s
base:
  task: score
  data: {name: cocofolder, set: mine, classes: 3, root: pictures}
  predictions: "results/{row}.json"
"""


def written(folder, *names):
    (folder / "results").mkdir(exist_ok=True)
    for name in names:
        (folder / "results" / f"{name}.json").write_text(json.dumps([name]))


def predictions(grid, row, column="ap_box"):
    return [work.trial.predictions for work in grid.row(row).cells[column].works]


def test_each_row_has_the_file_of_its_name_beside_the_spec(planned, tmp_path, monkeypatch):
    written(tmp_path, "a", "b")
    rows = "design: {rows: [{id: a}, {id: b}]}"
    before = planned(rows, base=BOXES, columns="[ap_box, ap_mask]")
    assert [predictions(before, row)[0].path for row in "ab"] == [str(tmp_path / f"results/{row}.json") for row in "ab"]
    assert {work.trial.data.at["root"] for work in before.row("a").cells["ap_box"].works} == {
        str(tmp_path / "pictures")
    }
    keys = [before.row(row).cells["ap_box"].works[0].key for row in "ab"]
    assert before.row("a").cells["ap_mask"].works[0].key == keys[0] != keys[1]
    (tmp_path / "results" / "a.json").write_text("[]")
    after = planned(rows, base=BOXES, columns="[ap_box, ap_mask]")
    assert [after.row(row).cells["ap_box"].works[0].key == key for row, key in zip("ab", keys, strict=True)] == [
        False,
        True,
    ]


def test_seeds_have_files_of_their_own_where_the_path_says_so(planned, tmp_path):
    written(tmp_path, "a-0", "a-1", "a-2")
    base = BOXES.replace("{row}", "{row}-{seed}")
    grid = planned("design: {rows: [{id: a}]}\nseeds: 3", base=base, columns="[ap_box]")
    cell = grid.row("a").cells["ap_box"]
    assert cell.seeds_matter
    assert [work.trial.seed for work in cell.works] == [0, 1, 2]
    written(tmp_path, "a")
    alone = planned("design: {rows: [{id: a}]}\nseeds: 3", base=BOXES, columns="[ap_box]").row("a").cells["ap_box"]
    assert (len(alone.works), alone.seeds_matter, alone.works[0].trial.seed) == (1, False, None)


def test_a_row_waits_until_each_seed_has_its_file(planned, tmp_path):
    base, rows = BOXES.replace("{row}", "{row}-{seed}"), "design: {rows: [{id: a}]}\nseeds: 3"
    needs = []
    for name in ("a-0", "a-2", "a-1"):
        written(tmp_path, name)
        needs.append(planned(rows, base=base, columns="[ap_box]").row("a").cells["ap_box"].needs)
    waits = f"predictions of its own in {tmp_path}/results"
    assert needs == [waits, waits, None]


def test_two_seeds_do_not_have_the_same_predictions(refused, tmp_path):
    written(tmp_path, "a-0", "a-1", "a-2")
    (tmp_path / "results" / "a-2.json").write_bytes((tmp_path / "results" / "a-0.json").read_bytes())
    rows = "design: {rows: [{id: a}]}\nseeds: 3"
    said = refused(rows, base=BOXES.replace("{row}", "{row}-{seed}"), columns="[ap_box]")
    assert said.endswith("row 'a': seed 2 has the same predictions as seed 0")


def test_the_best_of_predictions_is_not_chosen_by_the_score_that_is_reported(refused, tmp_path):
    written(tmp_path, "a", "b")
    best = "design: {best_of: {by: ap_box, over: {predictions: [results/a.json, results/b.json]}}, rows: [{id: a}]}"
    said = "predictions that are there are of no selection split, on which the best is chosen"
    assert refused(best, base=BOXES, columns="[ap_box]").endswith(said)


def test_rows_without_files_wait_and_nothing_else_of_them_is_measured(planned, tmp_path):
    written(tmp_path, "a")
    rows = "design: {rows: [{id: a}, {id: b}, {id: c}]}"
    grid = planned(rows, base=BOXES, columns="[ap_box, params]")
    needs = {row.id: (row.cells["ap_box"].needs, row.cells["params"].needs) for row in grid.rows}
    waits = f"predictions of its own in {tmp_path}/results"
    of_model = "a model to measure params of: predictions do not tell it"
    assert needs == {"a": (None, of_model), "b": (waits, of_model), "c": (waits, of_model)}


def test_a_paper_s_table_takes_predictions_and_claims_on_other_data_do_not_compare(planned, tmp_path):
    written(tmp_path, "swint")
    other = BOXES.replace("study: s", "study: s\nextends: swin_coco_backbones")
    real = other.replace("{name: cocofolder, set: mine, classes: 3, root: pictures}", "{name: coco, root: pictures}")
    for base, comparable in ((other, "reported on coco"), (real, None)):
        cell = planned(base=base, columns="").row("swint").cells["ap_box"]
        assert len(cell.works) == 1
        assert {claim.comparable for claim in cell.claims} == {comparable}


def test_predictions_of_val_are_no_score_of_a_test_set(planned, tmp_path):
    base = BOXES.replace("{name: cocofolder, set: mine, classes: 3, root: pictures}", "{name: coco, root: pictures}")
    written(tmp_path, "gcnet", "boxer2d_r50")
    cells = planned(base=base.replace("study: s", "study: s\nextends: swin_coco_system"), columns="").row("gcnet").cells
    assert [len(cells[name].works) for name in ("ap_box_val", "ap_mask_val")] == [1, 1]
    assert [cells[name].needs for name in ("ap_box_test", "ap_mask_test")] == [
        "COCO, these systems, and the server that knows test-dev"
    ] * 2
    grid = planned(base=base.replace("study: s", "study: s\nextends: boxer_coco_detection"), columns="")
    (claim,) = grid.row("boxer2d_r50").cells["ap_box"].claims
    assert claim.comparable == "reported on COCO test-dev, scored here on val"


def test_data_that_a_call_exchanges_do_not_compare_either(planned):
    spec = "design: {rows: [{id: a, reported: {top1: 90}}]}"
    (own,), (other,) = (
        planned(spec, columns="[top1]", **changed).row("a").cells["top1"].claims
        for changed in ({}, {"sets": ["data=cifar10", "model.channels=3"]})
    )
    assert (own.comparable, other.comparable) == (None, "reported on digits")


def test_two_rows_of_the_same_predictions_say_so_and_keep_their_numbers(planned, tmp_path):
    written(tmp_path, "a", "b")
    (tmp_path / "results" / "b.json").write_bytes((tmp_path / "results" / "a.json").read_bytes())
    grid = planned("design: {rows: [{id: a, label: A}, {id: b}, {id: c}]}", base=BOXES, columns="[ap_box]")
    assert [row.notes for row in grid.rows] == [(), ("the same predictions as those of A",), ()]
    assert grid.row("a").cells["ap_box"].works[0].key == grid.row("b").cells["ap_box"].works[0].key


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("predictions: ", "predictions: 3 #"), "s.yaml:5:3: predictions must be a path, of {row} and {seed}, not 3"),
        (("task: score", "task: detect"), "s.yaml:3:3: task 'detect' predicts itself: `task: score` is for predictions "
         "that are there"),
        (('predictions: "results/{row}.json"', "train: {recipe: tiny}"), "s.yaml:2:1: predictions must be a path, of "
         "{row} and {seed}, not null"),
        (("task: score", "task: score\n  train: {recipe: tiny}"), "s.yaml:4:11: train is not of predictions that are "
         "there: leave it out"),
        (("task: score", "task: score\n  evaluate: {split: selection}"), "s.yaml:4:14: predictions are scored against "
         "the split report, not 'selection': leave evaluate.split out"),
        (("data: {name: cocofolder, set: mine, classes: 3, root: pictures}", ""), "s.yaml:5:3: predictions are scored "
         "against data: `data: NAME`"),
        (("data: {name: cocofolder, set: mine, classes: 3, root: pictures}", "data: digits"), "s.yaml:7:17: row 'a': "
         "ap_box is not of the task classify, which digits is data of"),
    ],
)  # fmt: skip
def test_what_predictions_cannot_be_is_one_line(refused, tmp_path, change, said):
    written(tmp_path, "a", "b")
    rows = "design: {rows: [{id: a}, {id: b}]}"
    assert refused(rows, base=BOXES.replace(*change), columns="[ap_box]") == said
