"""What commands print is text, whatever a library raised; a reason without words is said so, and never left blank."""

import pytest

from bench import machine
from bench.record import Failure, Record
from bench.store import Store, now
from vitab.works import select, works

EVIL = "\x1b]0;owned\x07\x9b2J"
TAMED = "]0;owned2J"


@pytest.fixture
def failing(call, study):
    """A function that lets every measurement of the small study fail in one way."""

    def fail(**failure):
        store = Store(study.parent / "runs")
        for work in works(select(str(study)), store.read()):
            facts = {"key": work.key, "measure": work.measure, "version": work.version, "trial": work.trial}
            store.append(Record(**facts, attempt=work.key, time=now(), seconds=1.0, failure=Failure(**failure)))

    return fail


@pytest.mark.parametrize("kind", ["crashed", "needs"])
@pytest.mark.parametrize("words", ["table", "why", "plan", "status", "check"])
def test_no_command_says_a_control_character(call, failing, kind, words):
    failing(kind=kind, reason=f"it {EVIL} broke")
    options = {"why": ["4", "params"], "check": ["--gate", "failed,pending"]}.get(words, [])
    said = call(words, "small.yaml", *options)
    assert all(letter.isprintable() or letter == "\n" for letter in said.out + said.err)
    assert TAMED in said.out


@pytest.mark.parametrize("kind", ["crashed", "needs", "upstream"])
@pytest.mark.parametrize("words", ["table", "why", "plan", "status", "check"])
def test_a_failure_without_a_reason_leaves_no_gap(call, failing, kind, words):
    failing(kind=kind, reason=" ")
    options = {"why": ["4", "params"], "check": ["--gate", "failed,pending"]}.get(words, [])
    said = call(words, "small.yaml", *options).out
    assert not any(gap in said for gap in (": ;", ":  ", ": \n", "× )", "×  ", ": .", "( × ", ": ·")), said
    told = {"crashed": ["crashed"], "needs": ["needs", "what it did not name"], "upstream": ["no weights"]}[kind]
    assert any(word in said for word in told) or words == "check"


def test_resources_that_only_jobs_can_be_given_are_said_to_be(call, study):
    assert "resources" not in call("plan", study).out
    study.write_text(study.read_text() + "resources: {cpus: 4, memory_gb: 2.5, timeout_min: 10}\n")
    said = "cpus 4, memory_gb 2.5: for Slurm jobs; a local worker has `execution.threads`, and a GPU where there is one"
    assert call("plan", study).out.splitlines()[-1] == f"  resources    {said}"
    assert f"resources: {said}\n" in call("run", study, "--columns", "params", "--on", "debug").err
    assert "for Slurm jobs" in call("schema").json["$defs"]["Resources"]["description"]


def test_a_training_with_more_processes_than_gpus_is_said_before_anything_runs(call, study, monkeypatch):
    study.write_text(study.read_text().replace("base:\n", "base:\n  execution: {processes: 4}\n"))
    assert "GPUs" not in call("plan", study).out  # none here: cores do
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "gpus", lambda: ("H100", "H100"))
    said = "execution.processes 4 wants 4 GPUs, one a process; 2 here: send it with --on slurm"
    (line,) = [line for line in call("plan", study).out.splitlines() if said in line]
    assert line.startswith("  needs        ")
