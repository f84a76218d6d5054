"""The Python face: the same studies as pandas tables."""

import math
import subprocess
import sys

import pytest

import vitab
from bench.errors import UserError


def test_a_table_is_a_data_frame_that_shows_itself_as_the_table(finished, call):
    frame = vitab.table("small.yaml")
    assert list(frame.index) == ["2", "4"]
    assert frame.loc["4", "params"] == 3850
    assert frame.loc["4", "params.reported"] == "5k"
    assert frame.loc["4", "params.verdict"] == "deviates"
    assert frame.loc["2", "top1.n"] == 2
    assert repr(frame) == call("table", "small.yaml").out.removesuffix("\n")
    assert frame._repr_html_().startswith("<")


def test_a_cell_without_a_number_is_nan_and_says_why(finished):
    frame = vitab.table("small.yaml", sets={"train.lr": 0.5}, columns=["top1"])
    assert all(math.isnan(value) for value in frame["top1"])
    assert list(frame["top1.state"]) == ["pending", "pending"]
    assert "params" not in frame


def test_a_mistake_is_one_exception_with_one_line(finished):
    with pytest.raises(UserError, match=r"^--set train\.epoch=3: no field 'train\.epoch'; nearest: 'train\.epochs'$"):
        vitab.table("small.yaml", sets={"train.epoch": 3})


def test_run_measures_what_is_missing_and_returns_the_table(finished, here):
    script = "import vitab; print(vitab.run('small.yaml', seeds=2).loc['2', 'params'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=here, check=True)
    assert done.stdout == "3850.0\n"
    assert done.stderr.endswith(" · nothing missing\n")


def test_the_names_of_the_face_are_offered():
    assert dir(vitab) == ["assert_counts", "count", "run", "table"]
