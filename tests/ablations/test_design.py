"""Every kind of design makes the rows that it says, in the order in which it says them."""

import pytest


def ids(grid):
    return [row.id for row in grid.rows]


def labels(grid):
    return [row.label for row in grid.rows]


def knobs(grid, *names):
    """What the rows' models have, as they would be counted."""
    return [tuple(row.cells["params"].works[0].trial.model.knobs[name] for name in names) for row in grid.rows]


def test_listed_rows_stand_as_they_are_listed(planned):
    grid = planned("""\
        design:
          rows:
            - {id: deep, label: Deep, group: models, model.depth: 3}
            - {id: wide, model: {dim: 32}}
            - {id: plain}
        """)
    assert ids(grid) == ["deep", "wide", "plain"]
    assert labels(grid) == ["Deep", "wide", "plain"]
    assert [row.group for row in grid.rows] == ["models", None, None]
    assert knobs(grid, "depth", "dim") == [(3, 16), (1, 32), (1, 16)]
    assert grid.base == "plain"  # it changes nothing
    assert grid.stub == "row"


def test_one_factor_takes_the_listed_level_that_the_base_has_for_the_base_row(planned):
    grid = planned("design: {one_factor: {model.patch: [1, 2, 4]}}")
    assert ids(grid) == ["1", "2", "4"]
    assert grid.base == "2"
    assert knobs(grid, "patch") == [(1,), (2,), (4,)]
    assert grid.stub == "patch"


def test_one_factor_brings_the_base_under_the_name_of_its_level(planned):
    grid = planned("design: {one_factor: {model.patch: [1, 4]}}")
    assert ids(grid) == ["2", "1", "4"]
    assert grid.base == "2"
    assert [row.factors for row in grid.rows] == [{"model.patch": "2"}, {"model.patch": "1"}, {"model.patch": "4"}]


def test_the_base_has_the_level_of_a_default_that_nobody_stated(planned):
    assert ids(planned("design: {one_factor: {model.pos_embed: [none, rope]}}")) == ["learned", "none", "rope"]
    assert ids(planned("design: {one_factor: {train.lr: [0.1]}}")) == ["0.003", "0.1"]
    assert ids(planned("design: {one_factor: {train.clip_grad: [null, 5]}}")) == ["1", "none", "5"]
    assert ids(planned("design: {one_factor: {model.image: [16]}}")) == ["8", "16"]


def test_a_factor_that_the_base_knows_nothing_of_leaves_it_its_name(planned):
    teacher = "design: {one_factor: {distill: [{teacher: {row: base}}]}}"
    assert ids(planned(teacher))[0] == "base"
    library = "design: {one_factor: {model.depth: [2]}}"
    assert ids(planned(library, sets=["model=vit_tiny_patch16_224"])) == ["base", "2"]


def test_several_factors_vary_one_at_a_time_against_one_base(planned):
    grid = planned("""\
        labels: {model.patch: patch (px)}
        design: {one_factor: {model.patch: [1, 2], model.depth: [1, 2, 3]}}
        """)
    assert ids(grid) == ["base", "patch=1", "depth=2", "depth=3"]
    assert labels(grid) == ["base", "1", "2", "3"]
    assert [row.group for row in grid.rows] == [None, "patch (px)", "depth", "depth"]
    assert knobs(grid, "patch", "depth") == [(2, 1), (1, 1), (2, 2), (2, 3)]
    assert grid.base == "base"


def test_factors_whose_last_parts_are_alike_are_called_by_all_of_their_names(planned):
    grid = planned("design: {one_factor: {model.image: [16], evaluate.image: [16]}}")
    assert ids(grid) == ["base", "model.image=16", "evaluate.image=16"]
    assert [row.group for row in grid.rows] == [None, "model.image", "evaluate.image"]


def test_a_level_may_have_an_id_a_label_and_fields_of_its_own(planned):
    grid = planned("""\
        design:
          one_factor:
            model.pos_embed:
              - none
              - {id: turned, label: RoPE, value: rope}
              - {value: sincos2d, set: {model.dim: 32}}
              - {id: 8, set: {model.heads: 4}}
        """)
    assert ids(grid) == ["learned", "none", "turned", "sincos2d", "8"]
    assert labels(grid) == ["learned", "none", "RoPE", "sincos2d", "8"]
    assert knobs(grid, "pos_embed", "dim", "heads") == [
        ("learned", 16, 2),
        ("none", 16, 2),
        ("rope", 16, 2),
        ("sincos2d", 32, 2),
        ("learned", 16, 4),
    ]


def test_a_factor_that_is_no_field_has_levels_that_set_fields(planned):
    grid = planned("""\
        design:
          one_factor:
            size: [{id: S, set: {}}, {id: L, set: {model: {dim: 32, depth: 2}}}]
        """)
    assert ids(grid) == ["S", "L"]
    assert grid.base == "S"
    assert knobs(grid, "dim", "depth") == [(16, 1), (32, 2)]


def test_an_option_of_a_data_set_may_be_called_set(planned):
    grid = planned("""\
        design:
          one_factor: {data: [{name: imagefolder, set: flowers, classes: 17}]}
        """)
    assert ids(grid) == ["digits", "imagefolder"]
    assert grid.rows[1].cells["top1"].works[0].trial.data.options["set"] == "flowers"


def test_levels_are_told_apart_to_the_last_digit(planned):
    grid = planned("design: {one_factor: {train.lr: [0.1234567, 0.1234568, 1e-4]}}")
    assert ids(grid) == ["0.003", "0.1234567", "0.1234568", "0.0001"]


def test_leave_one_out_switches_off_what_the_base_has(planned):
    grid = planned("""\
        labels: {token: the class token}
        design:
          leave_one_out:
            model.qkv_bias: false
            train.smoothing: 0
            token: {model.pool: mean, model.pos_embed: none}
        """)
    assert ids(grid) == ["base", "no-qkv_bias", "no-smoothing", "no-token"]
    assert labels(grid) == ["base", "− qkv_bias", "− smoothing", "− the class token"]
    assert knobs(grid, "qkv_bias", "pool") == [(True, "token"), (False, "token"), (True, "token"), (True, "mean")]


def test_a_ladder_keeps_what_every_step_added(planned):
    grid = planned("""\
        labels: {model.patch: patches of}
        design:
          ladder:
            - {model.patch: 4}
            - {id: deep, label: two blocks, model.depth: 2}
            - {id: wide, set: {model.dim: 32, model.heads: 4}, notes: [wider], facts: {year: 2021}}
        """)
    assert ids(grid) == ["base", "patch", "deep", "wide"]
    assert labels(grid) == ["base", "+ patches of 4", "+ two blocks", "+ dim 32"]
    assert knobs(grid, "patch", "depth", "dim", "heads") == [(2, 1, 16, 2), (4, 1, 16, 2), (4, 2, 16, 2), (4, 2, 32, 4)]
    assert grid.rows[3].notes == ("wider",)


def test_a_factorial_is_the_grid_of_all_levels(planned):
    grid = planned("design: {factorial: {model.patch: [2, 4], model.depth: [1, 2]}}")
    assert ids(grid) == ["2:1", "2:2", "4:1", "4:2"]
    assert labels(grid)[1] == "2 · 2"
    assert knobs(grid, "patch", "depth") == [(2, 1), (2, 2), (4, 1), (4, 2)]
    assert grid.stub == "patch · depth"
    assert grid.base is None


def test_zip_pairs_levels_in_their_order(planned):
    grid = planned("design: {zip: {model.dim: [16, 32, 64], model.heads: [2, 4, 8]}}")
    assert ids(grid) == ["16:2", "32:4", "64:8"]
    assert knobs(grid, "dim", "heads") == [(16, 2), (32, 4), (64, 8)]


def test_what_is_excluded_is_no_row(planned):
    grid = planned("""\
        design:
          factorial: {model.patch: [1, 2, 4], model.depth: [1, 2]}
          exclude: [{model.patch: 1, model.depth: 2}, {model.patch: 4}]
        """)
    assert ids(grid) == ["1:1", "2:1", "2:2"]


def test_an_exclusion_speaks_of_the_kind_that_has_its_factors(planned):
    grid = planned("""\
        design:
          factorial: {model.patch: [2, 4]}
          zip: {model.dim: [32, 64], model.heads: [4, 8]}
          exclude: [{model.patch: 2}, {model.heads: 8}]
        """)
    assert ids(grid) == ["4", "32:4"]


def test_kinds_of_designs_stand_below_one_another_in_the_order_of_the_file(planned):
    grid = planned("""\
        design:
          zip: {train.epochs: [7, 9]}
          ladder: [{model.dim: 32}]
          rows: [{id: a, model.depth: 2}]
          leave_one_out: {model.qkv_bias: false}
          factorial: {model.heads: [4, 8]}
          one_factor: {model.patch: [1]}
        """)
    assert ids(grid) == ["7", "9", "base", "dim", "a", "no-qkv_bias", "4", "8", "1"]


def test_the_base_row_stands_once_however_many_kinds_bring_it(planned):
    grid = planned("design: {leave_one_out: {model.qkv_bias: false}, ladder: [{model.dim: 32}]}")
    assert ids(grid) == ["base", "no-qkv_bias", "dim"]


def test_a_listed_base_row_stands_for_the_one_that_designs_bring(planned):
    grid = planned("""\
        design:
          one_factor: {model.patch: [1, 2, 4]}
          rows: [{id: base, label: ours, notes: [as published]}, {id: deep, model.depth: 2}]
        """)
    assert ids(grid) == ["1", "4", "base", "deep"]
    assert grid.base == "base"
    assert grid.rows[2].label == "ours"
    assert grid.rows[2].notes == ("as published",)


@pytest.mark.parametrize("design", ["", "design: {}", "design: {best_of: {by: top1, over: {train.lr: [0.1]}}}"])
def test_without_a_design_the_base_is_the_one_row(planned, design):
    grid = planned(design)
    assert ids(grid) == ["base"]
    assert labels(grid) == ["s"]
    assert grid.base == "base"


def test_best_of_puts_the_levels_of_a_nuisance_axis_into_every_cell(planned):
    grid = planned("""\
        design:
          one_factor: {model.patch: [1, 2]}
          best_of: {by: top1, over: {train.lr: [0.001, 0.01], train.weight_decay: [0, 0.1]}}
        """)
    cell = grid.rows[0].cells["top1"]
    assert [one.label for one in cell.candidates] == [
        "lr 0.001, weight_decay 0",
        "lr 0.001, weight_decay 0.1",
        "lr 0.01, weight_decay 0",
        "lr 0.01, weight_decay 0.1",
    ]
    assert cell.selected_by == "top1"
    assert cell.works == ()
    assert [one.selection[0].trial.evaluate.split for one in cell.candidates] == ["selection"] * 4
    assert [one.works[0].trial.evaluate.split for one in cell.candidates] == ["report"] * 4
    assert [one.works[0].weights_key == one.selection[0].weights_key for one in cell.candidates] == [True] * 4
    assert len(grid.trainings) == 8


def test_what_no_level_of_a_nuisance_axis_changes_is_measured_once(planned):
    grid = planned("design: {best_of: {by: top1, over: {train.lr: [0.001, 0.01]}}, one_factor: {model.patch: [1, 2]}}")
    assert [len(row.cells["params"].works) for row in grid.rows] == [1, 1]
    assert [row.cells["params"].candidates for row in grid.rows] == [(), ()]
