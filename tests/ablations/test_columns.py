"""Columns: what they measure of every row, what they set, and what they only show; and factors laid out as columns."""

import pytest

IMAGES = "{one_factor: {model.patch: [1, 2]}}"


def trial(grid, row, column):
    return grid.row(row).cells[column].works[0].trial


def shown(grid):
    return [row.fields for row in grid.rows]


def test_a_column_is_called_as_its_measure_says_or_as_the_spec_does(planned):
    columns = "[params, {top1: {label: accuracy, heads: [digits, report]}}, {again: {quantity: top1}}, flops]"
    grid = planned("labels: {flops: multiply-adds}", columns=columns)
    assert [(column.name, column.label, column.heads) for column in grid.columns] == [
        ("params", "params", ()),
        ("top1", "accuracy", ("digits", "report")),
        ("again", "again", ()),
        ("flops", "multiply-adds", ()),
    ]
    assert [column.quantity.unit for column in grid.columns] == ["parameters", "%", "%", "multiply-adds"]


def test_a_column_sets_fields_on_every_row(planned):
    grid = planned(f"design: {IMAGES}", columns="[top1, {large: {quantity: top1, model.image: 16, train: {lr: 0.01}}}]")
    assert [trial(grid, row, "large").input.image for row in ("1", "2")] == [16, 16]
    assert [trial(grid, row, "large").model.knobs["patch"] for row in ("1", "2")] == [1, 2]
    assert [trial(grid, "1", column).train.lr for column in ("top1", "large")] == [0.003, 0.01]
    assert len(grid.trainings) == 4


def test_a_column_that_only_evaluates_otherwise_trains_nothing_more(planned):
    grid = planned(columns="[top1, {larger: {quantity: top1, evaluate.image: 16}}]")
    plain, larger = (grid.rows[0].cells[name].works[0] for name in ("top1", "larger"))
    assert plain.weights_key == larger.weights_key
    assert plain.key != larger.key
    assert len(grid.trainings) == 1


def test_a_column_may_apply_a_setting(planned):
    settings = "settings: {large: {base: {model: {image: 16, dim: 32}}}}"
    grid = planned(settings, columns="[{small: {quantity: top1}}, {large: {quantity: top1, setting: large}}]")
    assert [trial(grid, "base", name).input.image for name in ("small", "large")] == [8, 16]
    assert [trial(grid, "base", name).model.knobs["dim"] for name in ("small", "large")] == [16, 32]


def test_columns_show_fields_of_the_trial_and_facts_of_the_row(planned):
    fields = "{px: {field: model.image}}, {lr: {field: train.lr}}, {bias: {field: model.qkv_bias}}"
    grid = planned(
        """\
        design:
          rows:
            - {id: a, facts: {y: 2021}}
            - {id: b, model.image: 16, model.qkv_bias: false, train: null, facts: {y: later}}
            - {id: c, model: resnet18}
        """,
        columns=f"[{fields}, {{year: {{fact: y}}}}, params]",
    )
    assert shown(grid) == [
        {"px": "8", "lr": "0.003", "bias": "on", "year": "2021"},
        {"px": "16", "lr": "", "bias": "off", "year": "later"},  # it trains nothing
        {"px": "8", "lr": "0.003", "bias": "", "year": ""},  # a ResNet has no such knob, and the row no such fact
    ]
    assert [set(row.cells) for row in grid.rows] == [{"params"}] * 3


def test_columns_name_the_model_and_the_data(planned):
    grid = planned(
        "design: {rows: [{id: a}, {id: b, model: resnet18, data: {name: digits, subset: 0.5}}]}",
        columns="[{model: {field: model}}, {data: {field: data}}, {share: {field: data.subset}}, params]",
    )
    assert shown(grid) == [
        {"model": "vit", "data": "digits", "share": "1"},
        {"model": "resnet18", "data": "digits", "share": "0.5"},
    ]


def test_a_table_that_measures_nothing_still_tells_the_base_row_from_the_others(planned):
    grid = planned(f"needs: {{top1: a GPU}}\ndesign: {IMAGES}", columns="[top1, {px: {field: model.image}}]")
    assert [row.id for row in grid.rows] == ["1", "2"]
    assert grid.base == "2"
    assert [row.cells["top1"].needs for row in grid.rows] == ["a GPU", "a GPU"]
    assert grid.trainings == {}


def test_a_quantity_that_nobody_measures_says_what_it_needs(planned):
    grid = planned(
        "quantities: {box: {unit: AP, needs: COCO}, mask: {unit: AP, better: higher}}", columns="[box, mask]"
    )
    assert [(cell.unit, cell.needs) for cell in grid.rows[0].cells.values()] == [
        ("AP", "COCO"),
        ("AP", "a measure of mask, which there is none of here"),
    ]


@pytest.mark.parametrize(
    ("task", "model", "data"),
    [("segment", "lraspp", "generated_ade20k"), ("detect", "fcos", "generated_coco")],
)
def test_what_is_of_one_class_an_image_is_not_measured_of_what_has_many(planned, task, model, data):
    base = f"study: s\nbase:\n  task: {task}\n  model: {model}\n  data: {data}\n  train: {{recipe: dense}}\n"
    grid = planned(base=base, columns="[top1, knn, linear_probe, few_shot, params]")
    assert {name: cell.needs for name, cell in grid.rows[0].cells.items()} == {
        **{
            name: f"a trial of task classify for {name}, not of {task}"
            for name in ("top1", "knn", "linear_probe", "few_shot")
        },
        "params": None,
    }


def test_a_laid_out_factor_makes_columns_of_its_levels(planned):
    grid = planned("""\
        layout: {columns: model.depth}
        design: {factorial: {model.patch: [2, 4], model.depth: [1, 2]}}
        """)
    assert [column.name for column in grid.columns] == ["params:1", "top1:1", "params:2", "top1:2"]
    assert [(column.label, column.heads) for column in grid.columns][:2] == [("params", ("1",)), ("top-1", ("1",))]
    assert [row.id for row in grid.rows] == ["2", "4"]
    assert trial(grid, "4", "top1:2").model.knobs["depth"] == 2
    assert grid.stub == "patch"


def test_two_laid_out_factors_nest_in_the_order_of_the_layout(planned):
    grid = planned(
        """\
        layout: {columns: [model.heads, model.depth]}
        design:
          factorial: {model.patch: [2, 4], model.depth: [{id: one, label: one block, value: 1}, 2], model.heads: [2, 4]}
        """,
        columns="[params]",
    )
    assert [column.name for column in grid.columns] == ["params:2:one", "params:2:2", "params:4:one", "params:4:2"]
    assert [(column.heads, column.label) for column in grid.columns][:2] == [(("2",), "one block"), (("2",), "2")]
    knobs = trial(grid, "4", "params:4:one").model.knobs
    assert (knobs["patch"], knobs["heads"], knobs["depth"]) == (4, 4, 1)


def test_a_layout_has_columns_for_the_combinations_that_there_are(planned):
    grid = planned(
        """\
        layout: {columns: [model.dim, model.heads]}
        design: {zip: {model.dim: [32, 16], model.heads: [4, 2]}}
        """,
        columns="[params]",
    )
    assert [column.name for column in grid.columns] == ["params:32:4", "params:16:2"]
    assert [row.id for row in grid.rows] == ["s"]
    assert set(grid.rows[0].cells) == {"params:32:4", "params:16:2"}


def test_the_base_that_one_factor_brings_is_laid_out_with_its_levels(planned):
    grid = planned("layout: {columns: model.patch}\ndesign: {one_factor: {model.patch: [1, 4]}}", columns="[params]")
    assert [column.name for column in grid.columns] == ["params:2", "params:1", "params:4"]


def test_a_column_that_is_not_spread_stands_once_a_line(planned):
    grid = planned(
        """\
        layout: {columns: train.lr}
        design: {factorial: {model.patch: [2, 4], train.lr: [0.001, 0.01]}}
        """,
        columns="[{params: {spread: false}}, top1, {px: {field: model.image}}]",
    )
    assert [column.name for column in grid.columns] == ["params", "top1:0.001", "top1:0.01", "px"]
    assert [set(row.cells) for row in grid.rows] == [{"params", "top1:0.001", "top1:0.01"}] * 2
    assert [len(row.cells["params"].works) for row in grid.rows] == [1, 1]


def test_a_row_without_a_laid_out_combination_has_no_cell_there(planned):
    grid = planned(
        """\
        layout: {columns: model.depth}
        design:
          factorial: {model.patch: [2, 4], model.depth: [1, 2]}
          exclude: [{model.patch: 4, model.depth: 1}]
        """,
        columns="[params]",
    )
    assert [set(row.cells) for row in grid.rows] == [{"params:1", "params:2"}, {"params:2"}]


def test_what_a_line_shows_holds_for_all_of_its_rows(refused):
    text = """\
        layout: {columns: train.lr}
        design: {factorial: {model.patch: [2, 4], train.lr: [0.001, 0.01]}}
        """
    message = "s.yaml:6:12: lr is '0.001' for '2:0.001' and '0.01' for '2:0.01', which share a line"
    assert refused(text, columns="[{lr: {field: train.lr}}, top1]") == message
    message = "params is not the same for '2:1' and '2:2', which share a line; `spread: true` shows both"
    assert refused(text.replace("train.lr", "model.depth").replace("[0.001, 0.01]", "[1, 2]"),
                   columns="[{params: {spread: false}}]") == f"s.yaml:6:12: {message}"  # fmt: skip


def test_a_row_s_own_quantity_has_needs_of_its_own(planned):
    grid = planned(
        """\
        needs: {top1: ImageNet}
        quantities: {days: {unit: days, needs: time}}
        design: {rows: [{id: a}, {id: b, quantity: days}]}
        """,
        columns="[{first: {quantity: top1}}]",
    )
    assert [row.cells["first"].needs for row in grid.rows] == ["ImageNet", "time"]
