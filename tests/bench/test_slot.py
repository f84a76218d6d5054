"""Slots: which GPUs a worker has, and what it finds in its environment."""

import os
from pathlib import Path

import pytest

from bench import machine, slot
from bench.record import TRAIN
from bench.train import processes
from bench.trial import Execution, Input, Model, Trial
from bench.work import Work

ROOT = Path(slot.__file__).parents[1]


@pytest.fixture
def gpus(monkeypatch):
    """A function that lets this machine have so many GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda count: monkeypatch.setattr(machine, "gpus", lambda: ("H100",) * count)


def _training(count, *, measure=TRAIN, **execution):
    trial = Trial(
        model=Model(name="vit"), input=Input(image=8), seed=0, execution=Execution(processes=count, **execution)
    )
    return Work(key=f"{measure}-{count}", measure=measure, version=1, trial=trial)


def test_each_slot_has_a_gpu_of_its_own_where_there_are_some(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert slot.gpus() == [] or machine.gpus()
    monkeypatch.setattr(machine, "gpus", lambda: ("A100", "A100", "A100"))
    assert slot.gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8a")
    assert slot.gpus() == ["2", "GPU-8a"]
    assert slot.environment("GPU-8a")["CUDA_VISIBLE_DEVICES"] == "GPU-8a"


def test_a_worker_gets_one_thread_and_paths_that_stay_true_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["mine", "/theirs"]))
    monkeypatch.setenv("VITAB_DATA", "images")
    environment = slot.environment(None)
    assert [environment[setting] for setting in machine.THREAD_SETTINGS] == ["1"] * 3
    assert environment["PYTHONPATH"] == os.pathsep.join([str(ROOT), f"{tmp_path}/mine", "/theirs"])
    assert environment["VITAB_DATA"] == f"{tmp_path}/images"


@pytest.mark.parametrize(
    ("count", "workers", "each", "places"),
    [
        (4, 3, 1, ["0", "1", "2"]),
        (2, 3, 1, ["0", "1", "0"]),  # several small trials share a GPU
        (4, 64, 2, ["0,1", "2,3"]),  # what has several does not
        (5, 64, 2, ["0,1", "2,3"]),
        (8, 1, 4, ["0,1,2,3"]),
        (0, 4, 1, [None] * 4),
        (0, 4, 2, [None] * 2),  # as many processes as there are workers
        (0, 1, 4, [None]),
    ],
)
def test_a_slot_has_as_many_gpus_as_its_trials_have_processes(gpus, count, workers, each, places):
    gpus(count)
    assert slot.places(workers, each) == places


def test_slots_are_for_the_largest_training_that_fits(gpus, monkeypatch):
    works = [_training(1), _training(2), _training(8), _training(4, measure="top1"), _training(3, device="cpu")]
    gpus(4)
    assert processes.most(works) == 2
    assert processes.lacking(works) == [works[2]]
    gpus(0)
    assert processes.most(works) == 8
    assert processes.lacking(works) == []
    monkeypatch.setenv("VITAB_MEETING", "n1:10001")  # a job over two nodes
    monkeypatch.setenv("VITAB_NODES", "2")
    gpus(4)
    assert processes.most(works) == 4
    assert processes.most([]) == 1
