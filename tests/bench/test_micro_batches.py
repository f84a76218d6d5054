import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from bench import local, micro_batches, models, slot
from bench.attempt import Watch, attempt
from bench.identity import weights_key
from bench.record import TRAIN
from bench.store import Store
from bench.trial import Execution, Trial
from bench.work import Work

WATCH = Watch(stop=lambda: False, still_mine=lambda: True, progress=lambda said: None)
SPLIT = Execution(out_of_memory="split")

LIMITED = """
import re, resource, sys
from pathlib import Path
import msgspec, torch
from bench import data
from bench.attempt import Watch, attempt
from bench.store import Store
from bench.work import Work
from torch.utils.flop_counter import FlopCounterMode  # what a training imports late must not count as its memory

def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

work = msgspec.json.decode(sys.argv[1], type=Work)
data.load(work.trial.data, "train")
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]), -1))
watch = Watch(stop=lambda: False, still_mine=lambda: True, progress=lambda said: None)
record = attempt(work, Store(Path(sys.argv[2])), "a", watch)
print(msgspec.json.encode([kilobytes("VmPeak") * 1024, record]).decode())
"""
"""One training in a process of its own, which may have so many bytes of addresses; its peak, and its record."""


def _work(trial):
    return Work(key=weights_key(trial), measure=TRAIN, version=1, trial=trial, weights_key=weights_key(trial))


def _large(trial, **execution):
    """A step on a batch whose activations take some hundred megabytes."""
    return msgspec.structs.replace(trial, execution=Execution(**execution))


def _trained(work, store, *limit):
    command = [sys.executable, "-c", LIMITED, msgspec.json.encode(work).decode(), str(store), *map(str, limit)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(local.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peak, record = json.loads(done.stdout)
    return peak, record, done.stderr


@pytest.fixture
def wide(digits_trial):
    """Two steps on batches of 512, at 64 tokens an image."""
    knobs = {"patch": 1, "dim": 48, "depth": 2, "heads": 4}
    trial = digits_trial(knobs=knobs, train={"epochs": 2, "batch": 512, "warmup_epochs": 0})
    return msgspec.structs.replace(trial, data=msgspec.structs.replace(trial.data, subset=1.0))


def test_a_training_that_has_too_little_memory_goes_on_in_parts_and_comes_to_the_same(wide, tmp_path):
    whole, unsplit, _ = _trained(_work(wide), tmp_path / "whole")
    parts, _, _ = _trained(_work(_large(wide, micro_batch=64)), tmp_path / "parts")
    between = (whole + parts) // 2
    assert whole - parts > 100e6  # of bytes: else there is nothing to split
    _, refused, _ = _trained(_work(wide), tmp_path / "refused", between)
    assert refused["failure"]["kind"] == "out_of_memory"
    _, split, said = _trained(_work(_large(wide, out_of_memory="split")), tmp_path / "split", between)
    assert split["failure"] is None
    assert split["trial"]["execution"]["micro_batch"] in {64, 128, 256}
    assert "no memory for 512 images at once: half of them from here on" in said
    assert split["key"] == unsplit["key"]
    losses = [record["quantities"]["train_loss"]["samples"][0] for record in (unsplit, split)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    weights = [
        load_file(tmp_path / name / "weights" / split["key"] / "weights.safetensors") for name in ("whole", "split")
    ]
    assert max(float(np.abs(weights[0][name] - weights[1][name]).max()) for name in weights[0]) < 1e-3  # a third of lr


def test_a_process_that_the_kernel_ended_for_want_of_memory_is_followed_by_one_with_half(
    digits_trial, tmp_path, monkeypatch
):
    ended = iter(range(1000))
    monkeypatch.setattr(slot, "out_of_memory", lambda: next(ended))
    heard = []

    def hear(event, work):
        heard.append(event.event)
        if event.event == "progress" and heard.count("died") < 2:
            os.kill(int(next(iter(_starts(store)))), signal.SIGKILL)

    store = Store(tmp_path)
    work = _work(digits_trial(train={"epochs": 40}, execution=SPLIT))
    assert local.run([work], store, workers=1, on_event=hear).measured == (work.key,)
    assert heard.count("died") == 2
    record = store.read().records[work.key]
    assert record.trial.execution.micro_batch == 8  # of 32, halved twice
    assert record.trial.train.batch == 32


def _starts(store):
    """Processes of attempts, the latest first."""
    return [start.pid for start in sorted(store.read().starts, key=lambda start: start.time, reverse=True)]


def test_one_image_at_once_is_the_end_and_each_attempt_halves_it_once(digits_trial, tmp_path):
    store, work = Store(tmp_path), _work(digits_trial(execution=SPLIT))
    assert micro_batches.noted(work, store) is work
    for attempts, at_once in (("a", 16), ("a", 16), ("b", 8), ("a", 8), ("c", 4), ("d", 2), ("e", 1)):
        assert micro_batches.split(work, store, attempts)
        assert micro_batches.noted(work, store).trial.execution.micro_batch == at_once
    assert not micro_batches.split(work, store, "f")
    given = msgspec.structs.replace(work.trial.execution, micro_batch=12)
    smaller = _work(msgspec.structs.replace(work.trial, execution=given))
    assert micro_batches.noted(smaller, Store(tmp_path / "other")).trial.execution.micro_batch == 12
    assert micro_batches.noted(smaller, store).trial.execution.micro_batch == 1


def test_nobody_splits_what_is_to_fail_or_what_trains_nothing(digits_trial, tmp_path):
    store, work = Store(tmp_path), _work(digits_trial())
    assert not micro_batches.split(work, store, "a")
    measured = msgspec.structs.replace(_work(digits_trial(execution=SPLIT)), measure="top1")
    assert not micro_batches.split(measured, store, "a")
    assert not (tmp_path / "weights").exists()


def test_a_model_that_normalises_over_the_batch_is_out_of_memory_and_not_invalid(digits_trial, tmp_path):
    trial: Trial = digits_trial(model=models.resolve("timm:resnet10t", {}), train={"epochs": 2}, execution=SPLIT)
    store, work = Store(tmp_path), _work(trial)
    assert micro_batches.split(work, store, "ended by Slurm")
    failure = attempt(work, store, "a", WATCH).failure
    assert failure.kind == "out_of_memory"
    assert failure.reason.startswith("no memory for more images at once, and timm:resnet10t normalises over the batch")
