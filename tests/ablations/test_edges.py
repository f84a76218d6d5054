"""Edges: rows that start from, are taught by or measure the weights of other rows, of others' checkpoints, of files."""

from pathlib import Path

import pytest

from ablations.grid import build
from ablations.study import load
from bench.errors import UserError
from bench.trial import Source

FILE = "[{id: a, weights: %s}]"


def works(grid, row):
    return grid.row(row).cells["top1"].works


def labels(grid):
    return {work.label: [grid.trainings[key].label for key in work.after] for work in grid.trainings.values()}


def test_a_chain_of_three_trains_in_its_order_and_is_measured_without_training_again(planned):
    grid = planned("""\
        design:
          rows:
            - {id: small}
            - {id: tuned, train: {from: {row: small}, lr: 0.001}, model.image: 16}
            - {id: again, train: {from: {row: tuned}, lr: 0.0005}, model.image: 16}
            - {id: measured, weights: {row: again}}
        """)
    assert labels(grid) == {
        "s/small:seed0": [],
        "s/tuned:seed0": ["s/small:seed0"],
        "s/again:seed0": ["s/tuned:seed0"],
    }
    (measured,), (again,) = works(grid, "measured"), works(grid, "again")
    assert measured.trial.train is None
    assert measured.weights_key == again.weights_key == measured.after[0]
    assert measured.trial.weights == Source(kind="trial", ref=again.weights_key)
    assert measured.trial.evaluate.image == 8
    assert measured.key != again.key  # measured at another size
    (small,), (tuned,) = works(grid, "small"), works(grid, "tuned")
    assert tuned.trial.train.start == Source(kind="trial", ref=small.weights_key)
    assert (small.trial.train.image, tuned.trial.train.image) == (8, 16)


def test_a_row_defined_further_down_may_be_meant(planned):
    grid = planned("design: {rows: [{id: a, train: {from: {row: z}, lr: 0.001}}, {id: z}]}")
    assert labels(grid) == {"s/z:seed0": [], "s/a:seed0": ["s/z:seed0"]}


def test_base_means_the_base_trial_whatever_its_row_is_called(planned):
    grid = planned("""\
        design:
          rows: [{id: tuned, train: {from: {row: base}, lr: 0.001}}]
        """)
    assert labels(grid) == {"s/base:seed0": [], "s/tuned:seed0": ["s/base:seed0"]}
    assert [row.id for row in grid.rows] == ["tuned"]  # the base is trained, and has no row
    grid = planned("design: {one_factor: {model.patch: [4, {id: tuned, set: {train.from: {row: base}}}]}}")
    assert [row.id for row in grid.rows] == ["2", "4", "tuned"]
    assert labels(grid)["s/tuned:seed0"] == ["s/2:seed0"]


@pytest.mark.parametrize(("seed", "expected"), [("same", ["seed0", "seed1"]), ("1", ["seed1"]), ("7", ["seed7"])])
def test_an_edge_follows_the_seed_or_names_one(planned, seed, expected):
    rows = f"[{{id: a, hidden: true}}, {{id: b, train: {{from: {{row: a, seed: {seed}}}}}}}]"
    grid = planned(f"seeds: 2\ndesign: {{rows: {rows}}}")
    assert [grid.trainings[work.trial.train.start.ref].label for work in works(grid, "b")] == (
        [f"s/a:{expected[number if len(expected) == 2 else 0]}" for number in range(2)]
    )
    assert sorted(work.label for work in grid.trainings.values() if "/a:" in work.label) == [
        f"s/a:{seed}" for seed in expected
    ]


def test_a_teacher_is_an_edge(planned):
    grid = planned("""\
        design:
          rows:
            - {id: teacher, model.depth: 2}
            - {id: student, distill: {teacher: {row: teacher}, temperature: 2}}
            - {id: pupil, train: {from: {row: student}}, distill: {teacher: {row: teacher}}}
        """)
    assert labels(grid) == {
        "s/teacher:seed0": [],
        "s/student:seed0": ["s/teacher:seed0"],
        "s/pupil:seed0": ["s/student:seed0", "s/teacher:seed0"],
    }
    (student,) = works(grid, "student")
    assert (student.trial.distill.temperature, student.trial.distill.weight) == (2, 0.5)


@pytest.mark.parametrize(
    "said", ["timm:vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224.augreg_in21k",
             "{published: vit_tiny_patch16_224.augreg_in21k}", "'hf-hub:timm/vit_tiny_patch16_224.augreg_in21k'"],
)  # fmt: skip
def test_weights_may_be_what_a_library_publishes(planned, said):
    rows = f"[{{id: a, model: vit_tiny_patch16_224, weights: {said}}}, {{id: b, train: {{from: {said}}}}}]"
    grid = planned(f"design: {{rows: {rows}}}")
    published = Source(kind="published", ref="timm:vit_tiny_patch16_224.augreg_in21k")
    (measured,), (tuned,) = works(grid, "a"), works(grid, "b")
    assert (measured.trial.weights, measured.trial.train, measured.after) == (published, None, ())
    assert tuned.trial.train.start == published
    assert list(grid.trainings) == [tuned.weights_key]


def test_weights_of_others_on_the_hub_are_fetched_by_hand(planned):
    with pytest.raises(UserError, match=r"hf-hub:timm/NAME, not 'hf-hub:me/mine'; fetch and name a file"):
        planned("design: {rows: [{id: a, model: vit_tiny_patch16_224, weights: 'hf-hub:me/mine'}]}")


@pytest.mark.parametrize("said", ["./own.pt", "own.safetensors", "{file: own}"])
def test_a_file_lies_beside_the_spec_wherever_the_call_is_made(planned, tmp_path, monkeypatch, said):
    (here,) = works(planned("design: {rows: " + FILE % said + "}"), "a")
    name = {"./own.pt": "own.pt", "{file: own}": "own"}.get(said, said)
    assert here.trial.weights == Source(kind="file", ref=str(tmp_path / name))
    monkeypatch.chdir(tmp_path.parent)
    (elsewhere,) = works(build(load(f"{tmp_path.name}/s.yaml")), "a")
    assert elsewhere.key == here.key


def test_a_file_named_on_the_command_line_lies_where_the_call_is_made(planned, tmp_path):
    (work,) = works(planned(sets=["weights=./own.pt"]), "base")
    assert work.trial.weights == Source(kind="file", ref=str(Path.cwd() / "own.pt"))


def test_a_training_takes_inherited_weights_away_and_weights_an_inherited_training(planned):
    grid = planned("""\
        design:
          rows:
            - {id: given, weights: ./own.pt}
            - {id: trained, train: {from: {row: given}, recipe: tiny}}
        """)
    assert works(grid, "given")[0].trial.train is None
    trained = works(grid, "trained")[0].trial
    assert (trained.weights, trained.train.start.kind) == (None, "file")  # the row's weights are a file's


def test_a_hidden_row_is_trained_for_others_and_has_no_line(planned):
    grid = planned("design: {rows: [{id: a, hidden: true}, {id: b, train: {from: {row: a}, lr: 0.001}}]}")
    assert [row.id for row in grid.rows] == ["b"]
    assert labels(grid) == {"s/a:seed0": [], "s/b:seed0": ["s/a:seed0"]}


def test_a_row_that_cannot_train_keeps_those_from_their_place_that_start_from_it(planned, refused):
    rows = "design: {rows: [{id: a, hidden: true, model.patch: 3}, {id: b, train: {from: {row: a}}}]}"
    reason = "weights of s/a:seed0: vit at 8: patch 3 does not divide the image; allowed: 1, 2, 4, 8"
    assert refused(rows) == f"s.yaml:7:56: row 'b': {reason}"
    grid = planned(f"invalid: keep\n{rows}")
    assert grid.rows[0].cells["top1"].invalid == reason


def test_without_weights_an_accuracy_says_what_it_needs(planned):
    grid = planned("design: {rows: [{id: a, train: null}, {id: b, data: null, train: null, weights: ./own.pt}]}")
    assert grid.row("a").cells["top1"].needs == "weights: a `train` section, or `weights:` to be measured"
    assert grid.row("b").cells["top1"].needs == "data to measure top1 on"
    assert [len(row.cells["params"].works) for row in grid.rows] == [1, 1]


def test_a_long_chain_is_followed_row_by_row_and_refused_where_it_has_to_be_guessed_from_its_end(planned, refused):
    links = [f"{{id: r{number}, train.from: {{row: r{number - 1}}}, train.lr: 0.001}}" for number in range(1, 201)]
    grid = planned("design: {rows: [{id: r0}, " + ", ".join(links) + "]}", columns="[top1]")
    assert len(grid.trainings) == 201
    assert labels(grid)["s/r200:seed0"] == ["s/r199:seed0"]
    backwards = "design: {rows: [" + ", ".join(links[::-1]) + ", {id: r0}]}"
    assert refused(backwards).endswith(": more than 50 rows that start from one another, the last one first")


def test_a_file_is_the_same_by_whichever_way_its_spec_is_named(planned, tmp_path):
    (plain,) = works(planned("design: {rows: " + FILE % "./own.pt" + "}"), "a")
    (tmp_path / "other").mkdir()
    (around,) = works(build(load("other/../s.yaml")), "a")
    assert around.key == plain.key
