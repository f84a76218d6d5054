"""What is the same work and what is not, from specs: which change of a spec changes which keys."""

import pytest

from bench import registry

CHAIN = """\
design:
  rows:
    - {id: small}
    - {id: tuned, train: {from: {row: small}, lr: 0.0005}, model.image: 16}
    - {id: taught, model.depth: 2, distill: {teacher: {row: small}}}
    - {id: measured, weights: {row: tuned}}
    - {id: scratch, model.depth: 3, train.lr: 0.002}
seeds: 2
"""


def records(grid):
    """(row, column) → keys of its cell."""
    return {(row.id, name): tuple(w.key for w in cell.works) for row in grid.rows for name, cell in row.cells.items()}


def weights(grid):
    """row → weights keys."""
    return {row.id: tuple(work.weights_key for work in row.cells["top1"].works) for row in grid.rows}


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_the_same_spec_has_the_same_keys_wherever_it_is_read(planned):
    assert records(planned(CHAIN)) == records(planned(CHAIN))


def test_another_number_of_classes_or_channels_is_another_model(planned):
    rows = """\
        design:
          rows:
            - {id: digits}
            - {id: many, model.classes: 1000}
            - {id: without, model.classes: 0, train: null}
            - {id: colour, model.channels: 3, train: null}
            - {id: imagenet, data: imagenet, train: null}
            - {id: alone, data: null, model.image: 8, train: null}
        """
    grid = planned(rows, columns="[params, flops]")
    inputs = [row.cells["params"].works[0].trial.input for row in grid.rows]
    assert [(input.channels, input.classes) for input in inputs] == [
        (1, 10),
        (1, 1000),
        (1, 0),
        (3, 10),
        (3, 1000),
        (3, 1000),
    ]
    keys = [row.cells["params"].works[0].key for row in grid.rows]
    assert len(set(keys[:5])) == 5
    assert keys[5] == keys[4]  # ImageNet's, which published counts assume where no data set is named


def test_training_knobs_and_seeds_share_one_count(planned):
    grid = planned("seeds: 3\ndesign: {factorial: {train.lr: [0.001, 0.01], train.drop_path: [0, 0.1]}}")
    counted = {work.key for row in grid.rows for work in row.cells["params"].works}
    trained = {work.key for row in grid.rows for work in row.cells["top1"].works}
    assert (len(grid.rows), len(counted), len(trained), len(grid.trainings)) == (4, 1, 12, 12)


@pytest.mark.parametrize(
    "neutral",
    [
        "title: Another title",
        "question: Another question",
        "notes: [a note]",
        "labels: {top1: accuracy, row: model}",
        "resources: {cpus: 8, gpus: 1, memory_gb: 64, timeout_min: 90}",
        "resources: {partition: gpu, account: lab, qos: night, constraint: a100|h100, exclude: n1, comment: mine}",
        "invalid: keep",
        "protocol: as in the paper",
        "paper: {title: T, table: Table 1}",
        "reported: {top1: {small: 93}}",
        "settings: {large: {base: {model.image: 16}, seeds: 5}}",
    ],
)
def test_what_is_for_people_changes_no_key(planned, neutral):
    assert records(planned(f"{CHAIN}{neutral}\n")) == records(planned(CHAIN))


@pytest.mark.parametrize(
    "change",
    [
        "execution.threads=2",
        "execution={device: cpu, micro_batch: 8, loader_workers: 2, evaluate_batch: 16, checkpoint_every_s: 0}",
        "train.recipe=tiny",
        "train.lr=0.0030",
        "model.mlp_ratio=4",  # 4 and 4.0 are one number
        "model.classes=10",  # what the data says anyway
        "data={name: digits, subset: 1}",
        "task=classify",
        "precision=fp32",
        "attention=torch",
    ],
)
def test_how_the_work_is_done_and_what_is_so_anyway_change_no_key(planned, change):
    assert records(planned(CHAIN, sets=[change])) == records(planned(CHAIN))


def test_an_added_row_changes_no_key_of_the_others(planned):
    before = records(planned(CHAIN))
    after = records(planned(CHAIN.replace("    - {id: scratch", "    - {id: new, model.depth: 4}\n    - {id: scratch")))
    assert before.items() <= after.items()
    assert {row for row, _ in after.keys() - before.keys()} == {"new"}


def test_the_base_s_learning_rate_changes_what_is_trained_with_it_and_what_comes_of_that(planned):
    before, after = planned(CHAIN), planned(CHAIN, sets=["train.lr=0.004"])
    trained = {"small", "tuned", "taught", "measured"}
    assert changed(weights(before), weights(after)) == trained
    assert changed(records(before), records(after)) == {(row, "top1") for row in trained}  # and no count


def test_a_step_of_a_chain_changes_what_comes_after_it_alone(planned):
    before, after = planned(CHAIN), planned(CHAIN.replace("0.0005", "0.0004"))
    assert changed(records(before), records(after)) == {("tuned", "top1"), ("measured", "top1")}


def test_another_data_set_or_share_of_it_is_another_training(planned):
    before, after = planned(CHAIN), planned(CHAIN, sets=["data.subset=0.5"])
    assert changed(records(before), records(after)) == {(row.id, "top1") for row in before.rows}


def test_how_it_is_evaluated_changes_records_and_no_weights(planned):
    before, after = planned(CHAIN), planned(CHAIN, sets=["evaluate.crop=0.875"])
    assert changed(weights(before), weights(after)) == set()
    assert changed(records(before), records(after)) == {(row.id, "top1") for row in before.rows}


def test_a_new_version_of_a_measure_is_measured_again_and_trains_nothing(planned, monkeypatch):
    before = planned(CHAIN)
    monkeypatch.setattr(registry.load("measures", "top1"), "VERSION", 99)
    after = planned(CHAIN)
    assert changed(weights(before), weights(after)) == set()
    assert list(before.trainings) == list(after.trainings)
    assert changed(records(before), records(after)) == {(row.id, "top1") for row in before.rows}


def test_a_new_version_of_a_model_is_counted_and_trained_again(planned, monkeypatch):
    from ablations import sections

    before = planned(CHAIN)
    monkeypatch.setattr(registry.load("models", "vit"), "VERSION", 99)
    sections.model.cache_clear()
    after = planned(CHAIN)
    sections.model.cache_clear()
    assert changed(records(before), records(after)) == set(records(before))


def test_rows_of_two_studies_that_are_the_same_trial_share_their_keys(planned):
    one = planned("design: {rows: [{id: a, model.depth: 2}]}")
    other = planned("design: {one_factor: {model.depth: [2]}}", columns="[top1]")
    assert records(one)["a", "top1"] == records(other)["2", "top1"]
