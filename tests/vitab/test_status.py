"""`vitab status`: from any shell, what was asked for and how far it is."""

import time

import pytest

from bench.store import Store

STUDY = """\
study: quick
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged}
design:
  one_factor: {data.act: [sleep 0.01, raise value, sleep 60]}
columns: [points]
settings:
  other: {base: {model.patch: 2}}
"""


@pytest.fixture
def quick(here, staged):
    (here / "quick.yaml").write_text(STUDY)
    return here


def test_nothing_was_run(call, quick):
    assert call("status").out == "nothing was run with the store 'runs' yet\n"
    assert call("status", "quick.yaml").out == (
        "quick · done 0 · running 0 · waiting 4 · failed 0 · nobody works on it: `vitab run quick.yaml` goes on\n"
    )


def test_calls_of_one_variation_are_told_together_and_others_apart(call, quick):
    call("run", "quick.yaml", "--only", "answer", "--on", "debug")
    assert call("status").out == "quick · done 1 · running 0 · waiting 0 · failed 0\n"
    call("run", "quick.yaml", "--only", "raise value", "--on", "debug")
    assert call("status").out == (
        "quick · done 1 · running 0 · waiting 0 · failed 1 (1 × crashed: ValueError: first line)\n"
    )
    call("run", "quick.yaml", "--only", "answer", "--on", "debug", "--setting", "other")
    assert [line.partition(" · done")[0] for line in call("status").out.splitlines()] == [
        "quick",
        "quick --setting other",
    ]
    assert len(call("status", "quick").out.splitlines()) == 2


def test_what_runs_is_named_from_another_shell(call, start, quick):
    start("run", "quick.yaml", "--workers", "2")
    deadline = time.monotonic() + 20
    while len(Store(quick / "runs").read().records) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    lines = call("status").out.splitlines()
    assert lines[0] == "quick · done 2 · running 1 · waiting 0 · failed 1 (1 × crashed: ValueError: first line)"
    assert lines[1].startswith("  quick/sleep 60:seed0 acting on ")
    said = call("status", "--json").json
    assert said["studies"][0]["active"] is True
    assert len(said["running"]) == 1
    assert "running" in call("table", "quick.yaml").out
    assert "running      1 (acting 1)" in call("plan", "quick.yaml").out


def test_a_spec_that_is_gone_hides_no_other_study(call, quick):
    call("run", "quick.yaml", "--only", "answer", "--on", "debug")
    (quick / "second.yaml").write_text(STUDY.replace("study: quick", "study: second"))
    call("run", "second.yaml", "--only", "answer", "--on", "debug")
    (quick / "quick.yaml").unlink()
    assert call("status").out.splitlines() == [
        "quick · no file 'quick.yaml'; allowed: second.yaml",
        "second · done 1 · running 0 · waiting 0 · failed 0",
    ]
