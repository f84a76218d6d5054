"""Sending to a real Slurm: what it refuses, what it answers late, and what then runs."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import slurm as package
from bench.errors import UserError
from bench.store import Store
from slurm import sending, snapshot, states, submission
from slurm.cluster.cluster import Cluster
from slurm.limits import limits
from slurm.packing import pack, units
from slurm.request import request
from slurm.sending import Sent
from vitab.works import select, works

pytestmark = pytest.mark.slurm

CHECKOUT = Path(package.__file__).resolve().parents[1]
SPEC = """
study: sent
base: {model: {name: vit, image: 8, patch: 4, dim: 16, heads: 2}, data: digits}
design: {factorial: {model.depth: [1, 2]}}
columns: [params]
"""
SEND = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests_of_sending import prepared
from slurm import sending, submission
sent = submission.submit(prepared(Path(sys.argv[1])), hold=len(sys.argv) > 3)
print(sent.folder)
"""


def prepared(folder: Path, **resources: object) -> Sent:
    """Two counts of parameters, in a job each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sent.yaml").write_text(SPEC)
    store = Store(folder / "runs")
    todo = works(select(str(folder / "sent.yaml")), store.read())
    asked = request({"timeout_min": 10, "memory_gb": 0.9}, resources)
    return sending.prepare(
        pack(units(todo, lambda work: 1.0), most_jobs=2, worth_s=1), store, asked, study="sent", max_array_size=101
    )


def wait(until: Callable[[], bool], *, most_s: float = 120) -> None:
    deadline = time.monotonic() + most_s
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ended(ids: list[str]) -> bool:
    found = states.states(ids)
    return bool(found) and all(one.life == "ended" for one in found.values())


def jobs_called(name: str) -> int:
    said = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", f"--name={name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return len(said.stdout.splitlines())


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"partition": "nope"}, "invalid partition specified: nope"),
        ({"account": "nobody"}, "Invalid account or account/partition combination specified"),
        ({"qos": "gold"}, "Invalid qos specification"),
        ({"memory_gb": 5000}, "Requested node configuration is not available: no node has what a job asks for"),
        ({"constraint": "h100"}, "Invalid feature specification"),
    ],
)
def test_a_refusal_is_one_line_of_slurms_own(slurm, tmp_path, resources, said):
    with pytest.raises(UserError) as problem:
        submission.submit(prepared(tmp_path, **resources))
    assert said in str(problem.value)
    assert str(problem.value).startswith("sbatch: ")
    assert "\n" not in str(problem.value)


def test_limits_are_those_of_the_site_the_account_and_the_qos(slurm: Cluster):
    def account(*words: str) -> None:
        slurm.call("sacctmgr", "--immediate", *words, check=True)

    assert limits() == (101, 60)
    account("modify", "account", "lab", "set", "grpsubmitjobs=50")
    account("modify", "qos", "scavenge", "set", "maxsubmitjobsperuser=7")
    try:
        assert limits(request({"account": "lab"})) == (101, 50)
        assert limits(request({"qos": "scavenge"})) == (101, 7)
        assert limits(request({"account": "lab", "qos": "scavenge"})) == (101, 7)
    finally:
        account("modify", "account", "lab", "set", "grpsubmitjobs=-1")
        account("modify", "qos", "scavenge", "set", "maxsubmitjobsperuser=-1")
    assert limits(request({"account": "lab"})) == (101, 60)


def test_a_controller_that_is_away_for_20_s_while_it_is_sent_to_gets_it_once(slurm: Cluster, tmp_path):
    sent = prepared(tmp_path)
    slurm.controller.down()
    back = threading.Timer(20, lambda: slurm.controller.up(slurm.environment))
    back.start()
    try:
        sent = submission.submit(sent, hold=True)
    finally:
        back.join()
    (array,) = sent.send.arrays
    assert states.arrays_called([array.name]) == {array.name: array.id}
    assert jobs_called(array.name) == 2


def test_a_controller_that_hangs_with_the_send_in_its_hands_gets_it_once(slurm: Cluster, tmp_path, monkeypatch):
    sent = prepared(tmp_path)
    controller = slurm.controller.pid
    assert controller is not None
    send, lost = submission._sbatch, []

    def frozen(*arguments: object, **named: object) -> str:
        monkeypatch.setattr(submission, "_sbatch", send)
        os.kill(controller, signal.SIGSTOP)
        try:
            return send(*arguments, **named)
        except ConnectionError as problem:
            lost.append(str(problem))
            raise

    monkeypatch.setattr(submission, "_sbatch", frozen)
    back = threading.Timer(20, lambda: os.kill(controller, signal.SIGCONT))
    back.start()
    try:
        sent = submission.submit(sent, hold=True)
    finally:
        back.join()
    (array,) = sent.send.arrays
    assert len(lost) == 1
    assert states.arrays_called([array.name]) == {array.name: array.id}
    assert jobs_called(array.name) == 2


def test_the_code_that_was_sent_is_the_code_that_runs_and_records_name_its_commit(slurm, tmp_path):
    checkout = tmp_path / "checkout"
    for name in snapshot.PACKAGES:
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(__file__, checkout / "tests_of_sending.py")
    work = tmp_path / 'it\'s a "store" $(touch pwned)'
    ran = subprocess.run(
        [sys.executable, "-P", "-c", SEND, work, checkout, "hold"],
        env={**os.environ, "PYTHONPATH": str(checkout), "VITAB_COMMIT": "0123abc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for path in (checkout / "slurm" / "job.py", checkout / "bench" / "worker.py"):
        path.write_text("raise SystemExit('edited after it was sent')\n")
    (sent,) = sending.sends(Store(work / "runs"))
    assert sent.folder == Path(ran.stdout.strip())
    ids = [str(array.id) for array in sent.send.arrays]
    subprocess.run(["scontrol", "release", *ids], check=True)
    wait(lambda: ended(ids))
    records = Store(work / "runs").read().records.values()
    assert [(record.measure, record.failure) for record in records] == [("params", None)] * 2
    assert {record.environment["commit"] for record in records} == {"0123abc"}
    assert not list(tmp_path.rglob("pwned"))


def test_a_job_can_send_jobs_that_are_nothing_like_itself(slurm, tmp_path):
    outer = tmp_path / "outer.sh"
    (tmp_path / "send.py").write_text(SEND)
    shutil.copy(__file__, tmp_path / "tests_of_sending.py")
    outer.write_text(f"#!/bin/bash\n'{sys.executable}' -P '{tmp_path}/send.py' '{tmp_path}/inner' '{tmp_path}'\n")
    subprocess.run(
        [
            *("sbatch", "--wait", "--cpus-per-task=2", "--mem=1500M", "--time=7", "--job-name=outer"),
            *("--gpus-per-node=1", f"--output={tmp_path}/log", outer),
        ],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=True,
    )
    (sent,) = sending.sends(Store(tmp_path / "inner" / "runs"))
    ids = [str(array.id) for array in sent.send.arrays]
    said = subprocess.run(["scontrol", "show", "job", ids[0]], capture_output=True, text=True, check=True).stdout
    assert "CPUs/Task=1" in said
    assert "TimeLimit=00:10:00" in said
    assert "gres" not in said
    wait(lambda: ended(ids))
    records = Store(tmp_path / "inner" / "runs").read().records.values()
    assert [(record.measure, record.failure) for record in records] == [("params", None)] * 2
