"""CSV, as its readers take it in: numbers in full, nothing that a spreadsheet would run."""

import csv
import io

import pandas
import pytest

from reports.render import render
from reports.table import Cell, Column, Row, Table


def test_csv_is_read_back_with_full_precision(ablation, difficult):
    rows = list(csv.DictReader(io.StringIO(render(ablation, "csv"))))
    assert (rows[0]["params"], rows[0]["top1"], rows[0]["top1_std"]) == ("58234", "93.82", "1.03")
    assert (rows[2]["top1"], rows[2]["top1_state"]) == ("", "failed")
    assert [row["label"] for row in csv.DictReader(io.StringIO(render(difficult, "csv")))] == [
        row.label for row in difficult.rows
    ]


def test_csv_is_read_by_pandas_and_no_number_is_made_of_what_is_missing(ablation):
    frame = pandas.read_csv(io.StringIO(render(ablation, "csv")), index_col="row")
    assert frame.loc["learned", "params"] == 58234
    assert frame["top1"].notna().tolist() == [True, True, False, True, False]
    assert frame["top1_state"].tolist() == ["measured", "measured", "failed", "measured", "invalid"]
    assert frame.loc["none", "top1_difference"] == -26.3


@pytest.mark.parametrize("text", ["=1+1", "+ mixup", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx"])
def test_no_text_in_csv_is_a_formula(text):
    rows = (Row(row="r", label=text, group=text, fields={"f": text}, cells={"c": Cell(state="failed", reason=text)}),)
    columns = (Column(name="f", label="f", kind="field"), Column(name="c", label="c"))
    table = Table(study="s", title="t", columns=columns, rows=rows)
    head, cells = csv.reader(io.StringIO(render(table, "csv"), newline=""))
    said = "'" + text.replace("\r", "\n")
    assert dict(zip(head, cells, strict=True)) == dict.fromkeys(("label", "group", "f", "c_reason"), said) | {
        "row": "r",
        "c": "",
        "c_state": "failed",
    }


def test_a_negative_number_in_csv_is_one():
    cell = Cell(state="measured", value=-0.5)
    table = Table(
        study="s",
        title="t",
        columns=(Column(name="c", label="c"),),
        rows=(Row(row="-1", label="-1e3", cells={"c": cell}),),
    )
    assert render(table, "csv") == "row,label,c,c_state\n-1,-1e3,-0.5,measured\n"
