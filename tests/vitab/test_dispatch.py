"""Sending to Slurm, without one: what is refused, what a budget leaves, what a bill says."""

import pytest

from bench.errors import UserError
from bench.store import Snapshot, Store
from slurm import submission
from slurm.packing import units
from slurm.request import Request
from vitab import bill, retry
from vitab.bill import Prices
from vitab.journal import Call
from vitab.works import select, works

STUDY = """\
study: small
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.2}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  one_factor: {model.patch: [4]}
seeds: 2
columns: [top1]
"""


@pytest.fixture
def todo(here):
    """Four trainings and the measurement of each, trainings first."""
    (here / "small.yaml").write_text(STUDY)
    found = works(select("small.yaml"), Snapshot())
    return sorted(found, key=lambda work: work.measure != "train")


@pytest.fixture
def timed(finished):
    """A store that knows how long such work takes."""
    return Store(finished.path).read()


def test_no_slurm_here_is_one_line(call, study, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    refused = call("run", "small.yaml", "--on", "slurm", "--detach")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "--on slurm: no Slurm on this machine: sbatch is not on the PATH; send from a login node,"
        " or leave --on away to run here\n"
    )
    assert not study.with_name("runs").exists()


@pytest.mark.parametrize(("problem", "folders"), [(UserError, 0), (submission.Unsettled, 1)])
def test_what_slurm_may_have_taken_keeps_its_folder(call, here, monkeypatch, problem, folders):
    (here / "small.yaml").write_text(STUDY)
    for name in ("sbatch", "squeue", "sacct"):
        program = here / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(here / "bin"))

    def submit(sent, *, hold):
        raise problem("sbatch: nothing was heard")

    monkeypatch.setattr(submission, "submit", submit)
    refused = call("run", "small.yaml", "--on", "slurm", "--detach")
    assert (refused.code, refused.err.splitlines()[-1]) == (2, "sbatch: nothing was heard")
    assert len(list((here / "runs.jobs").glob("*/send.json"))) == folders


def test_a_budget_needs_to_know_what_work_costs(todo):
    prices = Prices(snapshot=Snapshot(), asked=Request())
    with pytest.raises(UserError, match="the store holds no timing of work like small/2:seed0 train"):
        bill.within(units(todo, lambda work: None), prices, 1.0)


def test_a_budget_pays_whole_units_and_all_where_there_is_none(todo, timed):
    prices = Prices(snapshot=timed, asked=Request(cpus=2))
    found = units(todo, lambda work: None)
    assert [unit.works[0].measure for unit in found] == ["train"] * 4
    costs = [prices.hours(prices.cost(unit.works).seconds) for unit in found]
    assert bill.within(found, prices, None) == (found, [])
    assert bill.within(found, prices, 1.01 * sum(costs)) == (found, [])
    assert bill.within(found, prices, costs[0] * 1.001)[0][:1] == found[:1]
    assert bill.within(found, prices, costs[0] / 1000) == ([], found)


def test_a_bill_says_what_is_known(todo, timed):
    prices = Prices(snapshot=timed, asked=Request(cpus=2, nodes=2))
    cost = prices.cost(todo)
    assert cost.untimed == 0
    assert prices.hours(cost.seconds) == pytest.approx(4 * cost.seconds / 3600)
    assert prices.said(todo) == "under 0.01 core-hours"
    many = Prices(snapshot=timed, asked=Request(cpus=1000, nodes=1000))
    assert many.said(todo) == f"about {1e6 * cost.seconds / 3600:.3g} core-hours"
    unknown = Prices(snapshot=Snapshot(), asked=Request(gpus=1))
    assert unknown.said(todo) == "GPU-hours unknown: the store holds no timing of work like it"


def test_what_failed_is_tried_again(call, here, staged):
    (here / "quick.yaml").write_text(
        "study: quick\nbase:\n  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}\n"
        "  data: {name: staged}\ndesign:\n  one_factor: {data.act: [raise value]}\ncolumns: [points]\n"
    )
    call("run", "quick.yaml", "--on", "debug")
    assert call("retry", "quick", "--failed", "out-of-memory").out == "quick · nothing failed with out-of-memory\n"
    shown = call("retry", "quick", "--failed", "crashed", "--dry-run", "--on", "local")
    assert shown.out == "quick · would try again: 0 trainings, 1 measurement\n"
    tried = call("retry", "quick", "--failed", "--set", "execution.threads=2", "--workers", "1")
    assert tried.code == 1
    again = [records for records in Store(here / "runs").read().attempts.values() if len(records) == 2]
    assert [[record.failure.kind for record in records] for records in again] == [["crashed", "crashed"]]
    assert len(call("status").out.splitlines()) == 1  # the same variation of its study still


def test_other_execution_fields_leave_every_key_as_it_was(todo):
    call = Call(study="small.yaml", name="small", time="", host="", pid=0, started="")
    changed = retry.changed(call, ["execution.micro_batch=8"])
    tried = {work.key: work.trial.execution.micro_batch for work in works(changed, Snapshot())}
    assert tried == dict.fromkeys([work.key for work in todo], 8)
    assert changed.sets == ()
