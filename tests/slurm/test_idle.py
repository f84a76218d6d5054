"""Jobs that are put back again and again: what ends them, what is said of it, and what is recorded."""

import os
import signal
import subprocess
import sys
import time

import pytest

from slurm import idle, lives, sending
from slurm.idle import MOST


@pytest.fixture
def sweep(faults, tmp_path, monkeypatch):
    """A small sweep of which this process is job 1_0."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    return faults.Sweep(cluster=None, folder=tmp_path / "sweep")


@pytest.fixture
def live(monkeypatch):
    """A function: one more life of the job begins on work; the numbers of lives count from 0."""

    def begin(sent, number, *works):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(number))
        life = lives.Life(sent.folder)
        for work in works:
            life.began(work.key, f"attempt {number}")
        return life

    return begin


def test_lives_of_which_nothing_came_end_with_a_record_of_what_was_in_hand_in_all_of_them(sweep, live):
    sent = sweep.prepare()
    works = sending.manifest(sent.folder)
    stuck, other = works[:2]
    for number in range(MOST):
        assert idle.idle(sent.folder, sweep.store, begun=False) is None
        life = live(sent, number, stuck, *[other] * (number > 0))
        life.left()
    found = idle.idle(sent.folder, sweep.store)
    assert str(found) == f"nothing came of {MOST} lives of this job in a row, not even a checkpoint"
    idle.settle(found, works, sweep.store)
    (record,) = sweep.records()
    assert (record.key, record.attempt, record.failure.kind) == (stuck.key, f"attempt {MOST - 1}", "killed")
    assert record.failure.reason == f"{found}, lastly of job 1_0"
    assert idle.idle(sent.folder, sweep.store) is None  # a record is something


@pytest.mark.parametrize("began", ["first", "last"])
def test_a_checkpoint_in_any_of_the_lives_is_something(began, sweep, live):
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    path = sweep.store.weights_folder(work.key) / "checkpoint.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (0, 0))  # of long ago: it is none of theirs
    for number in range(MOST):
        live(sent, number, work)
        if number == (0 if began == "first" else MOST - 1):
            assert idle.idle(sent.folder, sweep.store, most=1) is not None
            os.utime(path, (time.time() + 1, time.time() + 1))
    assert idle.idle(sent.folder, sweep.store) is None


def test_a_life_that_could_not_begin_on_anything_is_idle_and_blames_nothing(sweep, live):
    sent = sweep.prepare()
    for number in range(MOST):
        live(sent, number)
    found = idle.idle(sent.folder, sweep.store)
    assert found is not None
    assert found.last == ()


STUCK = """\
import os, signal, sys
from bench import local
from bench.interruption import Stopped
from slurm import job

def run(todo, store, *, on_event, **_):
    from bench.worker import Event
    on_event(Event(event="started", key=todo[0].key, attempt=f"attempt {os.environ['SLURM_RESTART_COUNT']}"), todo[0])
    raise Stopped(signal.SIGTERM)  # as `distributed` does where the task of another node is gone

local.run, job.END_S = run, 0
sys.exit(job.main(sys.argv[1:]))
"""


def test_a_job_that_ends_itself_every_time_is_put_back_so_often_and_then_no_more(sweep, tmp_path):
    sent = sweep.prepare()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"squeue": "echo RUNNING", "scontrol": f"echo $* >> {tmp_path}/put", "sacct": "true"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    said = []
    for number in range(MOST):
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_RESTART_COUNT": str(number)}
        command = [sys.executable, "-c", STUCK, str(sent.folder), "0"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (128 + signal.SIGTERM, "")
        said += [line.partition(" ")[2] for line in ran.stdout.splitlines()]
    assert (tmp_path / "put").read_text().splitlines() == ["requeue 1_0"] * (MOST - 1)
    (record,) = sweep.records()
    (label,) = [work.label for work in sending.manifest(sent.folder) if work.key == record.key]
    assert said.count("stopped by SIGTERM; checkpoints are saved") == MOST
    assert said[-1] == (
        f"nothing came of {MOST} lives of this job in a row, not even a checkpoint: {label}: not tried again by itself"
    )
    assert record.failure.kind == "killed"
