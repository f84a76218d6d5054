"""What others reported: in the rows or apart from them, with what explains it; facts, notes and repeated rows."""

import pytest


def printed(grid, column="top1"):
    return [[claim.printed for claim in row.cells[column].claims] for row in grid.rows]


def test_claims_are_texts_as_they_were_printed(planned):
    grid = planned(
        """\
        paper: {title: A Paper, table: Table 1}
        printed_by: {params: truncation}
        design:
          rows:
            - {id: a, reported: {params: [29M, {printed: 28M, source: the code, printed_by: rounding}], top1: 81.30}}
            - {id: b, model.depth: 2, reported: {params: 1e3, top1: {printed: 080, note: odd, comparable: no}}}
            - {id: c, model.depth: 3}
        """
    )
    assert printed(grid) == [["81.30"], ["080"], []]
    assert printed(grid, "params") == [["29M", "28M"], ["1e3"], []]
    assert [claim.printed_by for claim in grid.rows[0].cells["params"].claims] == ["truncation", "rounding"]
    claim = grid.rows[1].cells["top1"].claims[0]
    assert (claim.note, claim.comparable, claim.printed_by) == ("odd", "no", None)
    assert grid.stub == "method"


def test_what_a_setting_measures_on_other_data_compares_with_nothing_reported(planned):
    text = """\
        comparable: digits are not ImageNet
        design: {rows: [{id: a, reported: {top1: [80, {printed: 81, comparable: another crop}]}}]}
        settings:
          small: {}
          imagenet:
            comparable: null
            paper: {title: A Paper, table: Table 1}
            design: {rows: [{id: b, model.depth: 2}, {id: c, model.depth: 3, reported: {top1: 82}}]}
            reported: {top1: {b: 83}}
        """
    for setting in (None, "small"):
        grid = planned(text, setting=setting)
        assert [row.id for row in grid.rows] == ["a"]
        claims = grid.rows[0].cells["top1"].claims
        assert [claim.comparable for claim in claims] == ["digits are not ImageNet", "another crop"]
        assert grid.study.spec.paper is None
    grid = planned(text, setting="imagenet")
    assert grid.study.spec.paper.table == "Table 1"
    assert printed(grid) == [["83"], ["82"]]
    assert [row.cells["top1"].claims[0].comparable for row in grid.rows] == [None, None]


def test_claims_of_designs_stand_apart_by_row(planned):
    grid = planned("reported: {top1: {1: 93.0, 4: [90, 91]}}\ndesign: {one_factor: {model.patch: [1, 4]}}")
    assert printed(grid) == [[], ["93.0"], ["90", "91"]]  # the base, which is the row of patch 2, comes first


def test_claims_of_a_grid_nest_as_its_ids_do(planned):
    design = "design: {factorial: {model.patch: [2, 4], model.depth: [1, 2]}}\nlayout: {columns: model.depth}"
    nested = planned(f"reported: {{top1: {{2: {{1: 70, 2: 71}}, 4: {{2: {{printed: 73}}}}}}}}\n{design}")
    whole = planned(f"reported: {{top1: {{'2:1': 70, '2:2': 71, '4:2': 73}}}}\n{design}")
    for grid in (nested, whole):
        assert printed(grid, "top1:1") == [["70"], []]
        assert printed(grid, "top1:2") == [["71"], ["73"]]


def test_claims_of_what_stands_once_a_line_are_the_line_s(planned):
    grid = planned(
        """\
        reported: {params: {2: 5k, 4: 6k}, top1: {2: {0.001: 70}}}
        layout: {columns: train.lr}
        design:
          factorial: {model.patch: [2, 4], train.lr: [0.001, 0.01]}
          exclude: [{model.patch: 4, train.lr: 0.01}]
        """,
        columns="[{params: {spread: false}}, top1]",
    )
    assert printed(grid, "params") == [["5k"], ["6k"]]  # the second line has one row
    assert printed(grid, "top1:0.001") == [["70"], []]


def test_an_explanation_is_a_second_computation(planned):
    grid = planned(
        """\
        paper: {title: A Paper, table: Table 1}
        design:
          rows:
            - id: a
              reported: {params: 10k, top1: 80}
              explain:
                params: {note: two blocks, set: {model.depth: 2}}
                top1: {note: a README, copied: "80"}
            - {id: b, model.depth: 3, explain: {params: {note: FLOPs, quantity: flops, set: {model: {dim: 32}}}}}
        """
    )
    explained = grid.rows[0].cells["params"].explanation
    assert (explained.note, explained.quantity, explained.said) == ("two blocks", "params", "model.depth 2")
    assert explained.works[0].trial.model.knobs["depth"] == 2
    copied = grid.rows[0].cells["top1"].explanation
    assert (copied.note, copied.copied, copied.works) == ("a README", "80", ())
    other = grid.rows[1].cells["params"].explanation
    assert (other.quantity, other.said) == ("flops", "FLOPs of model.dim 32")
    assert (other.works[0].measure, other.works[0].trial.model.knobs["dim"]) == ("flops", 32)


def test_rows_and_studies_say_what_cells_need(planned):
    grid = planned("""\
        needs: {params: patience}
        design: {rows: [{id: a, needs: {top1: a GPU}, notes: {top1: see the text}}, {id: b, model.depth: 2}]}
        """)
    assert [row.cells["top1"].needs for row in grid.rows] == ["a GPU", None]
    assert [row.cells["params"].needs for row in grid.rows] == ["patience", "patience"]
    assert [row.cells["top1"].note for row in grid.rows] == ["see the text", None]
    assert [work.label for work in grid.trainings.values()] == ["s/b:seed0"]


def test_a_row_may_be_of_another_quantity(planned):
    grid = planned(
        """\
        quantities: {days: {unit: days, needs: time}}
        design: {rows: [{id: a}, {id: b, quantity: days, reported: {first: 2.5k}}, {id: c, quantity: flops}]}
        """,
        columns="[{first: {quantity: params}}]",
    )
    assert [row.cells["first"].quantity for row in grid.rows] == ["params", "days", "flops"]
    assert [row.cells["first"].needs for row in grid.rows] == [None, "time", None]


def test_a_repeated_row_has_the_cells_of_the_other_and_claims_of_its_own(planned):
    grid = planned(
        """\
        design:
          rows:
            - {id: a, model.depth: 2, facts: {year: 2020}, reported: {top1: 80}}
            - {id: b, repeats: a, label: again, group: second, reported: {top1: 81}, notes: {top1: as before}}
            - {id: c, repeats: base}
        """,
        columns="[{depth: {field: model.depth}}, {year: {fact: year}}, params, top1]",
    )
    first, second, third = grid.rows
    assert second.cells["top1"].works == first.cells["top1"].works
    assert printed(grid) == [["80"], ["81"], []]
    assert (second.label, second.group, second.fields) == ("again", "second", {"depth": "2", "year": "2020"})
    assert second.cells["top1"].note == "as before"
    assert third.fields == {"depth": "1", "year": ""}


@pytest.mark.parametrize("labels", ["{row: patch (px)}", "{model.patch: patch (px)}"])
def test_labels_name_the_rows_and_the_columns(planned, labels):
    grid = planned(f"labels: {labels}\ndesign: {{one_factor: {{model.patch: [1, 4]}}}}")
    assert grid.stub == "patch (px)"
    assert planned("labels: {top1: accuracy}").columns[1].label == "accuracy"
