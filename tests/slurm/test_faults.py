"""Sweeps survive: the short ones of what `faults.py` provokes, and what is said of a job that cannot work."""

import importlib.util
import sys
from pathlib import Path

import pytest

from slurm import lives, sending

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def faults():
    """The script beside this file, as a module."""
    described = importlib.util.spec_from_file_location("faults", HERE / "faults.py")
    module = importlib.util.module_from_spec(described)
    sys.modules["faults"] = module
    described.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where sweeps lie, beside the one that nothing was done to."""
    return tmp_path_factory.mktemp("faults")


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["preempted_with_signal", "cancelled_one", "leftovers"])
def test_a_sweep_that_is_disturbed_ends_as_if_nothing_had_happened(name, slurm, faults, home):
    found = faults.provoke(name, home, slurm, epochs=40)
    assert (found.lost, found.doubled, found.identical, found.failures) == (0, 0, True, ())
    assert all(1 <= starts <= 2 for starts in found.starts)


@pytest.mark.slurm
def test_a_job_that_does_not_see_the_store_says_so_in_one_line_and_ends(slurm, faults, home):
    sweep = faults.Sweep(cluster=slurm, folder=home / "unseen")
    sweep.send(jobs=1, hold=True)
    (sweep.folder / "runs").rename(sweep.folder / "elsewhere")
    for name in sweep.jobs():
        sweep.call("scontrol", "release", name)
    sweep.wait(lambda: set(sweep.jobs().values()) == {"FAILED"}, "the end of the job")
    said = [line for line in sweep.logs().splitlines() if line and not line.startswith("srun: error")]
    assert said == [
        f"the store {sweep.folder / 'runs'} is not there; this node does not see the folder that was sent from"
    ]
    assert not (sweep.folder / "runs").exists()


@pytest.mark.parametrize(
    ("states", "recorded"),
    [
        ({"FAILED", "OUT_OF_MEMORY"}, "out_of_memory: it used up the memory of its job twice, lastly of job 2"),
        ({"FAILED"}, "killed: its whole job was killed twice, lastly job 2"),
        ({"PREEMPTED"}, None),
        ({"NODE_FAIL"}, None),
        ({"CANCELLED"}, None),
        ({"TIMEOUT"}, None),
        ({"UNKNOWN"}, None),
    ],
)
def test_what_took_two_whole_jobs_with_it_is_recorded_by_what_slurm_says_of_them(
    states, recorded, faults, tmp_path, monkeypatch
):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for job in ("1", "2"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        lives.Life(sent.folder).began(work.key, f"attempt {job}")
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setattr(lives, "_states", lambda jobs: dict.fromkeys(jobs, states))
    lives.settle(sent.folder, sweep.store)
    failures = {record.key: f"{record.failure.kind}: {record.failure.reason}" for record in sweep.records()}
    assert failures == ({} if recorded is None else {work.key: recorded})


def test_one_death_of_a_job_or_two_that_left_in_order_blame_nobody(faults, tmp_path, monkeypatch):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for job, leaves in (("1", False), ("2", True), ("3", True)):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        life = lives.Life(sent.folder)
        life.began(work.key, f"attempt {job}")
        if leaves:
            life.left()
    monkeypatch.setattr(lives, "_states", lambda jobs: {job: {"FAILED"} for job in jobs})
    lives.settle(sent.folder, sweep.store)
    assert sweep.records() == []
