"""What is done about failures on a real Slurm: split, sent elsewhere, stopped; and what a second round is for."""

import importlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bench import registry
from bench.store import Store
from slurm import sending, states, submission
from slurm.limits import limits
from slurm.request import request
from vitab import jobs
from vitab.__main__ import main

pytestmark = pytest.mark.slurm

ROOT = Path(sending.__file__).parents[1]
PLUGINS = [ROOT / "tests" / "bench" / "plugin", ROOT / "tests" / "vitab" / "plugin"]
MEMORY = ("--slurm", "memory_gb=0.9")
LONGEST_S = 180.0

WIDE = """\
study: wide
base:
  model: {name: vit, image: 8, patch: 1, dim: 64, depth: 2, heads: 4}
  data: {name: digits, subset: 1.0}
  train: {recipe: tiny, epochs: 10, batch: 1024, warmup_epochs: 0}
  execution: {out_of_memory: split}
design: {one_factor: {train.smoothing: [0.1]}}
columns: [top1]
"""

BROKEN = """\
study: broken
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged}
design: {one_factor: {data.act: [sleep a, sleep b, sleep c, sleep d, sleep e, sleep f, sleep g, sleep 0.1]}}
columns: [points]
"""

CHOSEN = """\
study: chosen
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.05}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  one_factor: {model.depth: [2]}
  best_of: {by: top1, over: {train.lr: [1e-3, 4e-3]}}
columns: [top1]
"""


@pytest.fixture
def call(slurm, tmp_path, monkeypatch, capsys):
    """A function that runs a command line in a folder of the test's own, beside a cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITAB_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("VITAB_STORE", "VITAB_DATA"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def staged(monkeypatch):
    """The measure `acting` and the data set `staged` are known, here and in jobs sent from here."""
    for plugin in PLUGINS:
        monkeypatch.syspath_prepend(plugin)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [*PLUGINS, ROOT])))
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
    yield
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()


@pytest.fixture
def sweep(slurm, tmp_path, monkeypatch):
    """A function that makes a small sweep on the cluster."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    made = importlib.import_module("sweep").Sweep
    return lambda **how: made(cluster=slurm, folder=tmp_path / "sweep", **how)


def wait(true, what):
    deadline = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_a_training_that_uses_up_the_memory_of_its_job_ends_in_smaller_parts_and_nobody_has_to_ask(call):
    Path("wide.yaml").write_text(WIDE)
    code, _, err = call("run", "wide.yaml", "--on", "slurm", *MEMORY)
    (record,) = [record for record in Store(Path("runs")).read().records.values() if record.measure == "train"]
    assert (code, record.failure) == (0, None), err
    assert record.trial.train.batch == 1024
    assert record.trial.execution.micro_batch in {512, 256, 128, 64}
    assert re.search(r"images at once", call("why", "wide.yaml", "0.1", "top1")[1])


def test_what_crashes_in_one_place_stops_all_jobs_of_the_send_with_one_traceback(call, staged):
    Path("broken.yaml").write_text(BROKEN)
    code, _, err = call(
        "run", "broken.yaml", "--on", "slurm", *MEMORY, "--slurm", "job_min=4", "--slurm", "parallel=1",
        "--stop-after", "3",
    )  # fmt: skip
    assert code == 1
    assert err.count("stopped: 3 × ValueError: could not convert string to float") == 1
    assert err.count(" in measure: time.sleep(float(argument))") == 1
    records = Store(Path("runs")).read().records.values()
    assert sum(record.failure is not None for record in records) == 3
    assert len(records) < 8
    logs = [path.read_text() for path in Path("runs.jobs").glob("*/jobs/*_log.out")]
    assert len(logs) > 1
    assert all("stopped: 3 × ValueError: could not convert string to float" in said for said in logs)


def test_the_level_that_a_selection_chose_is_measured_by_a_second_send(call):
    Path("chosen.yaml").write_text(CHOSEN)
    code, _, err = call("run", "chosen.yaml", "--on", "slurm", *MEMORY, "--detach", "--hold")
    later = "what a selection decides is known when its jobs are done: the same command sends what is left then"
    assert (code, err.splitlines()[-1]) == (0, later)
    assert call("status")[1].splitlines()[-1] == f"  {later}"
    (sent,) = sending.sends(Store(Path("runs")))
    subprocess.run(["scontrol", "release", str(sent.send.arrays[0].id)], check=True)
    wait(lambda: not jobs.look(Store(Path("runs"))).living, "the end of the first round")
    (line, *_) = call("status")[1].splitlines()
    assert line.endswith("nobody works on it: `vitab run chosen.yaml --on slurm --detach` goes on")
    code, out, _ = call("run", "chosen.yaml", "--on", "slurm", *MEMORY)
    local = call("run", "chosen.yaml", "--store", "elsewhere", "--workers", "1")
    assert (code, out) == (0, local[1])


def test_a_call_that_watches_sends_both_rounds(call):
    Path("chosen.yaml").write_text(CHOSEN)
    code, _, err = call("run", "chosen.yaml", "--on", "slurm", *MEMORY)
    assert (code, len(re.findall(r"^sent ", err, re.MULTILINE))) == (0, 2)


def test_what_a_lost_node_took_and_slurm_did_not_put_back_is_sent_elsewhere(call, slurm, sweep):
    sweep = sweep(epochs=150)
    sweep.send(jobs=1)
    sweep.wait_until_busy(1)
    node = sweep.node_of_a_job()
    slurm.call("scontrol", "update", f"jobid={sweep.ids[0]}_0", "requeue=0", check=True)
    victims = importlib.import_module("victims")
    gone = victims.of_node(slurm.places.slurm_conf, node)
    victims.signal_all(gone, signal.SIGSTOP)  # of processes that are ended one by one, the last tell of the first
    sweep.cluster.node(node).kill()
    try:
        sweep.wait(lambda: "RUNNING" not in sweep.jobs().values(), "the loss of the node")
        victims.signal_all(gone, signal.SIGKILL)
        sweep.wait_until_ended()
        assert set(sweep.jobs().values()) == {"NODE_FAIL"}
    finally:
        sweep.revive(node)
    code, _, err = call("run", sweep.spec, "--store", sweep.store.path, "--on", "slurm", *MEMORY)
    assert (code, f"not on {node}: lost with work of this study" in err) == (0, True), err
    assert [sent.send.request.exclude for sent in sending.sends(sweep.store)] == [None, node]
    found = sweep.result()
    assert (found.lost, found.doubled) == (0, 0)


def test_jobs_of_a_sender_that_died_before_it_knew_their_id_are_found(sweep):
    sweep = sweep(epochs=4)
    sent = sweep.prepare()
    written = (sent.folder / "send.json").read_bytes()
    submission.submit(sent, hold=True)
    (sent.folder / "send.json").write_bytes(written)  # as it was before `sbatch` had answered
    queue = jobs.look(sweep.store)
    assert [job.state.state for job in queue.living] == ["PENDING", "PENDING"]
    assert {work.key for work in sending.manifest(sent.folder)} == jobs.queued(queue, sweep.store.read())
    assert (sent.folder / "send.json").read_bytes() == written
    states.cancel([queue.living[0].name.partition("_")[0]])


def test_a_qos_that_goes_before_the_partitions_does(slurm):
    def account(*words):
        slurm.call("sacctmgr", "--immediate", *words, check=True)

    account("add", "qos", "narrow", "set", "maxsubmitjobsperuser=9")
    account("modify", "qos", "scavenge", "set", "maxsubmitjobsperuser=20")
    slurm.call("scontrol", "update", "partitionname=low", "qos=narrow", check=True)
    try:
        assert limits(request({"partition": "low", "qos": "scavenge"}))[1] == 9
        account("modify", "qos", "scavenge", "set", "flags=OverPartQOS")
        assert limits(request({"partition": "low", "qos": "scavenge"}))[1] == 20
        assert limits(request({"partition": "low"}))[1] == 9
    finally:
        slurm.call("scontrol", "update", "partitionname=low", "qos=", check=True)
        account("modify", "qos", "scavenge", "set", "maxsubmitjobsperuser=-1", "flags=-1")
        account("delete", "qos", "narrow")
