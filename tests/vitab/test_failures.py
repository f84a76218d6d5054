"""A trial that raises, kills its process or wants too much memory is a failed cell with a reason; the rest goes on."""

from collections import Counter

import pytest

from bench.store import Store

STAGED = """\
study: troubled
question: What if?
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged}
design:
  one_factor: {data.act: [raise value, raise memory, die SIGKILL, exit 7, raise needs]}
columns: [params, points]
"""

STATES = {
    "answer": ("measured", None),
    "raise value": ("failed", "crashed: ValueError: first line"),
    "raise memory": ("failed", "out of memory: no memory left"),
    "die SIGKILL": (
        "failed",
        "killed: its process was killed twice, by SIGKILL",
    ),
    "exit 7": ("failed", "killed: its process ended twice, with exit code 7"),
    "raise needs": ("needs", "no ImageNet"),
}

DIVERGING = """\
study: diverging
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.1}
  train: {recipe: tiny, epochs: 2, warmup_epochs: 0, clip_grad: null}
design:
  one_factor: {train.lr: [1e30]}
columns: [params, top1]
"""


@pytest.mark.usefixtures("staged")
def test_what_fails_keeps_its_row_and_its_reason_and_its_neighbours_go_on(here, call):
    (here / "troubled.yaml").write_text(STAGED)
    said = call("run", "troubled.yaml", "--workers", "2")
    assert said.code == 1
    lines = said.err.splitlines()
    assert lines[0] == "troubled · 6 rows on staged · 7 measurements · 7 to do"
    assert lines[-3].startswith("7 done, 4 failed, 1 with unmet needs in ")
    assert lines[-2] == "4 failed; --retry-failed tries them again"
    assert lines[-1] == "1 with unmet needs; the same command tries again"
    assert "raise value:seed0 acting: crashed: ValueError: first line" in lines
    assert "die SIGKILL:seed0 acting: its process died; tried once more" in lines
    assert "Traceback" not in said.err + said.out
    table = call("table", "troubled.yaml", "--as", "json").json
    cells = {row["row"]: row["cells"] for row in table["rows"]}
    assert {row: (cell["points"]["state"], cell["points"].get("reason")) for row, cell in cells.items()} == STATES
    assert {cell["params"]["state"] for cell in cells.values()} == {"measured"}
    (reason,) = [line for line in call("status").out.splitlines() if line.startswith("troubled")]
    assert " · waiting 1 (1 × no ImageNet) · failed 4 (1 × " in reason

    before = [start.key for start in Store(here / "runs").read().starts]
    again = call("run", "troubled.yaml")
    assert again.code == 1
    assert again.err.splitlines()[0] == "troubled · 6 rows on staged · 7 measurements · 1 to do"
    starts = [start.key for start in Store(here / "runs").read().starts]
    (lacking,) = [row["cells"]["points"]["keys"][0] for row in table["rows"] if row["row"] == "raise needs"]
    assert starts == [*before, lacking]  # what it lacked may have come
    plan = call("plan", "troubled.yaml").out
    assert "  needs        no ImageNet (1 × earlier; tried again)\n" in plan
    assert "4 earlier (1 × " in plan
    assert "to run       1 (acting 1)" in plan
    assert "to run       5 (acting 5)" in call("plan", "troubled.yaml", "--retry-failed").out

    retried = call("run", "troubled.yaml", "--retry-failed", "--only", "raise value", "--on", "debug")
    assert retried.code == 1
    attempts = Counter(len(attempts) for attempts in Store(here / "runs").read().attempts.values())
    assert attempts == {1: 5, 2: 2}


@pytest.mark.usefixtures("staged")
def test_a_failure_is_shown_by_why_with_its_reason(here, call):
    (here / "troubled.yaml").write_text(STAGED)
    call("run", "troubled.yaml", "--only", "raise value", "--columns", "points", "--on", "debug")
    lines = call("why", "troubled.yaml", "raise value", "points").out.splitlines()
    assert lines[0] == "troubled · raise value · points: failed: crashed: ValueError: first line"
    assert lines[1].startswith("seed 0: crashed: ValueError: first line · acting v1 on vit @ 8 (")
    assert "  data.options.act        raise value" in lines


def test_a_training_that_diverges_is_said_once_and_not_measured(here, call):
    (here / "diverging.yaml").write_text(DIVERGING)
    said = call("run", "diverging.yaml", "--workers", "1")
    assert said.code == 1
    table = call("table", "diverging.yaml", "--as", "json").json
    base, row = (row["cells"]["top1"] for row in table["rows"])
    assert base["state"] == "measured"
    assert row["state"] == "failed"
    assert "diverged" in row["reason"]
    records = Store(here / "runs").read().records.values()
    assert sorted(record.failure.kind for record in records if record.failure) == ["diverged", "upstream"]
