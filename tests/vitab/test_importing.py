"""Numbers that were measured elsewhere: shown as such, and never in the place of what is measured here."""

import hashlib
import json

import pytest

from bench.store import Store

SPEC = """\
study: elsewhere
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: digits
  train: {recipe: tiny}
design:
  one_factor: {model.patch: [4]}
seeds: 3
quantities: {pq: {unit: "%", better: higher}}
columns: [params, top1, pq]
reported:
  top1: {"4": "80.0"}
"""
CSV = """\
row,column,value,seed,unit
2,top1,90,0,%
2,top1,91,1,%
2,top1,92,2,%
4,top1,80,0,
4,top1,82,1,
4,top1,81,2,
2,pq,45.5,,%
"""


@pytest.fixture
def study(here):
    (here / "elsewhere.yaml").write_text(SPEC)
    (here / "numbers.csv").write_text(CSV)
    return here


def _cells(call):
    table = call("table", "elsewhere.yaml", "--as", "json").json
    return {row["row"]: row["cells"] for row in table["rows"]}


def test_imported_numbers_are_shown_as_such_and_compare_among_themselves(study, call):
    said = call("import", "numbers.csv", "--as", "elsewhere.yaml")
    assert (said.code, said.out, said.err) == (0, "", "7 numbers of numbers.csv imported as elsewhere\n")
    cells = _cells(call)
    four = cells["4"]["top1"]
    assert (four["state"], four["value"], four["std"], four["n"], four["unit"]) == ("imported", 81.0, 1.0, 3, "%")
    assert four["difference"]["value"] == pytest.approx(-10)
    assert [claim["verdict"] for claim in four["claims"]] == ["not_comparable"]
    assert four["reason"].startswith("from numbers.csv, by ")
    assert (cells["2"]["pq"]["state"], cells["2"]["pq"]["value"]) == ("imported", 45.5)
    assert cells["4"]["pq"]["state"] == "needs"
    assert cells["2"]["params"]["state"] == "pending"
    printed = call("table", "elsewhere.yaml").out
    assert "imported: from numbers.csv, by " in printed
    checked = call("check", "elsewhere.yaml")
    assert checked.code == 1
    assert checked.out == "compared 0 of 1 claim · 1 not comparable\n"


def test_why_names_the_file_its_line_and_its_digest(study, call):
    call("import", "numbers.csv", "--as", "elsewhere.yaml")
    said = call("why", "elsewhere.yaml", "4", "top1").out
    assert said.startswith("elsewhere · 4 · top-1: 81")
    digest = hashlib.sha256((study / "numbers.csv").read_bytes()).hexdigest()[:12]
    assert "imported, not measured here" in said.splitlines()[0]
    (line,) = [line for line in said.splitlines() if line.startswith("seed 1: 82 imported")]
    assert f"(line 6, sha256 {digest}…)" in line


def test_what_is_measured_here_stays_and_is_said(finished, here, call):
    before = call("table", "small.yaml").out
    (here / "numbers.csv").write_text("row,column,value\n2,params,17\n")
    said = call("import", "numbers.csv", "--as", "small.yaml")
    assert (said.code, said.err) == (
        0,
        "params of row '2' is measured here: tables go on showing that\n1 number of numbers.csv imported as small\n",
    )
    assert call("table", "small.yaml").out == before
    assert "17 imported, not measured here" in call("why", "small.yaml", "2", "params").out


def test_an_import_leaves_nothing_done(study, call):
    call("import", "numbers.csv", "--as", "elsewhere.yaml")
    assert "6 trainings" in call("plan", "elsewhere.yaml").out  # all is still to be measured here


def test_a_later_import_stands_and_says_so(study, call):
    call("import", "numbers.csv", "--as", "elsewhere.yaml")
    (study / "more.csv").write_text("row,column,value,seed\n4,top1,60,0\n")
    said = call("import", "more.csv", "--as", "elsewhere.yaml")
    assert said.err.startswith("1 of them were imported before: the later ones stand\n")
    assert _cells(call)["4"]["top1"]["samples"] == [60.0, 82.0, 81.0]


def test_json_is_read_like_csv(study, call):
    (study / "numbers.json").write_text(json.dumps([{"row": "2", "column": "top1", "value": 90.5}]))
    assert call("import", "numbers.json", "--as", "elsewhere.yaml").code == 0
    cell = _cells(call)["2"]["top1"]
    assert (cell["state"], cell["value"], "n" in cell) == ("imported", 90.5, False)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "a.csv: no number in it"),
        ("a.csv", "row,colum,value\n", "a.csv:1: no column of numbers 'colum'; nearest: 'column'"),
        ("a.csv", "row,value\n", "a.csv:1: no column; a file of numbers has row, column, value, seed, unit"),
        ("a.csv", "row,column,value\n2,top1\n", "a.csv:2: 2 fields under 3 heads"),
        ("a.csv", "row,column,value\n2,top1,many\n", "a.csv:2: value 'many' is no number"),
        ("a.csv", "row,column,value\n2,top1,nan\n", "a.csv:2: value 'nan' is no number that can be shown"),
        ("a.csv", "row,column,value\n\n3,top1,1\n", "a.csv:3: no row '3'; allowed: 2, 4"),
        ("a.csv", "row,column,value\n2,top11,1\n", "a.csv:2: no column 'top11'; nearest: 'top1'"),
        ("a.csv", "row,column,value,seed\n2,top1,1,7\n", "a.csv:2: no seed 7 in elsewhere; its seeds: 0, 1, 2"),
        ("a.csv", "row,column,value,seed\n2,top1,1,x\n", "a.csv:2: seed 'x' is no whole number"),
        ("a.csv", "row,column,value,seed\n2,params,1,0\n", "a.csv:2: params of row '2' is the same for every seed"),
        ("a.csv", "row,column,value,unit\n2,top1,1,s\n", "a.csv:2: unit 's'; top1 is in '%'"),
        ("a.csv", "row,column,value\n2,top1,1\n2,top1,2\n", "a.csv:3: top1 of row '2' stands twice"),
        ("a.csv", 'row,column,value\n2,"top1,1\n', "a.csv:2: unexpected end of data"),
        ("a.json", "{}", "a.json:1:1: must be a list of {row, column, value}"),
        ("a.json", '[\n {"row": "2", "column": "top1"}]', "a.json:2:2: no value; a file of numbers has row, column"),
        ("a.json", "[3]", "a.json:1:2: must be {row, column, value}"),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_is_imported(study, call, name, text, said):
    (study / name).write_text(text)
    answer = call("import", name, "--as", "elsewhere.yaml")
    assert answer.code == 2
    assert answer.err.startswith(said)
    assert answer.err.count("\n") == 1
    assert Store(study / "runs").read().records == {}
