"""Trials that crash in one place stop their sweep: the traceback is shown once, and there is a way on."""

import pytest

from bench.store import Store

STUDY = """\
study: broken
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged}
design:
  one_factor: {data.act: [sleep a, sleep b, sleep c, sleep d, sleep e, sleep f]}
columns: [points]
"""


@pytest.fixture
def broken(here, staged):
    """A study of which six of seven trials crash, each with a message of its own."""
    (here / "broken.yaml").write_text(STUDY)
    return Store(here / "runs")


def test_a_sweep_stops_with_one_traceback_and_goes_on_as_it_says(broken, call):
    said = call("run", "broken.yaml", "--workers", "1", "--stop-after", "3")
    lines = said.err.splitlines()
    assert said.code == 1
    assert sum(line.startswith("stopped: 3 × ValueError: could not convert string to float: '") for line in lines) == 1
    assert sum(line.endswith(" in measure: time.sleep(float(argument))") for line in lines) == 1
    assert lines[lines.index("  ValueError") + 1] == (
        "mended, the same command with --retry-failed tries these again too; as it is, it does the rest;"
        " --stop-after 0 stops at nothing"
    )
    assert len(broken.read().records) == 4
    assert "crashed: ValueError: could not convert string to float: 'a'" in said.out
    again = call("run", "broken.yaml", "--workers", "1", "--stop-after", "4")
    assert "stopped" not in again.err  # what crashed before is not counted against the rest
    assert len(broken.read().records) == 7
    tried = call("retry", "broken", "--failed", "crashed", "--workers", "1", "--stop-after", "5")
    assert "stopped: 5 × ValueError: could not convert" in tried.err
    assert [len(records) for records in broken.read().attempts.values()].count(2) == 5


def test_a_sweep_that_is_to_stop_at_nothing_does_all(broken, call):
    said = call("run", "broken.yaml", "--on", "debug", "--stop-after", "0")
    assert (said.code, "stopped" in said.err, len(broken.read().records)) == (1, False, 7)
