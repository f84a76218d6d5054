"""The table of the fault run: what counts as right, and where it is written."""

from pathlib import Path

import pytest

from bench.errors import UserError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, None),
        ({"lost": 1}, "| 2, 1 | 10 | 1 | 0 | identical | 7 |"),
        ({"doubled": 1}, "| 2, 1 | 10 | 0 | 1 | identical | 7 |"),
        ({"anew": 1}, "| 2, 1 (1 from the beginning) | 10 | 0 | 0 | identical | 7 |"),
        ({"identical": False}, "| 2, 1 | 10 | 0 | 0 | DIFFERENT | 7 |"),
        ({"starts": (1, 1)}, "| 1, 1 | 10 | 0 | 0 | identical | 7 |"),
        ({"starts": (1, 3)}, "| 1, 3 | 10 | 0 | 0 | identical | 7 |"),
        ({"failures": ("killed: twice",)}, "| 2, 1 | 10 | 0 | 0 | identical; failed: killed | 7 |"),
    ],
)
def test_a_fault_came_out_right_only_where_every_count_is(wrong, said, faults):
    fault = faults.FAULTS["worker_killed"]
    counted = {"starts": (2, 1), "lines": 10, "lost": 0, "doubled": 0, "anew": 0, "identical": True}
    found = faults.Result(**counted | wrong)
    assert faults.right(fault, found) is (said is None)
    assert faults.row(fault, found, 7.4) == f"| a worker killed {said or '| 2, 1 | 10 | 0 | 0 | identical | 7 |'}"


def test_the_table_is_written_between_its_comments_and_nowhere_else(faults, tmp_path):
    file = tmp_path / "README.md"
    file.write_text("before <!-- faults -->\nold\n<!-- /faults --> after")
    faults.write("| new |", file)
    assert file.read_text() == "before <!-- faults -->\n| new |\n<!-- /faults --> after"
    file.write_text("nothing to write between")
    with pytest.raises(UserError, match=r"README\.md: no <!-- faults -->"):
        faults.write("| new |", file)


def test_the_readme_has_a_line_for_every_fault_and_for_no_other(faults):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition(faults.COMMENTS[0])[2].partition(faults.COMMENTS[1])[0]
    titles = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert titles == ["fault", *(fault.title for fault in faults.FAULTS.values())]
