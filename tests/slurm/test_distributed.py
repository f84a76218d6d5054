import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bench import local
from bench.errors import UserError
from bench.record import TRAIN, Failure
from bench.store import Store
from slurm import distributed, sending, submission
from slurm.distributed import Place
from slurm.packing import pack, units
from slurm.request import request
from vitab.works import select, works

SPEC = """
study: {name}
base:
  model: {{name: vit, image: 8, patch: 2, dim: 48, depth: 2, heads: 4}}
  data: {{name: digits, subset: 0.1}}
  train: {{recipe: tiny, epochs: {epochs}, warmup_epochs: 1, augment: shift1}}
  execution: {{processes: {processes}, checkpoint_every_s: 0.1}}
columns: [top1]
"""


LONG = 50
"""Epochs that outlast what is done to a training: some seconds."""


def _works(folder, *, processes, epochs=3):
    path = folder / f"spread{processes}.yaml"
    path.write_text(SPEC.format(name=path.stem, processes=processes, epochs=epochs))
    return works(select(str(path)), Store(folder).read())


def _clear(monkeypatch, **said):
    for name in ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NODELIST", "SLURM_JOB_ID", "SLURM_LAUNCH_NODE_IPADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("gpu1", ["gpu1"]),
        ("gpu[01-03,7],login-1", ["gpu01", "gpu02", "gpu03", "gpu7", "login-1"]),
        ("r[1-2]n[09-10]", ["r1n09", "r1n10", "r2n09", "r2n10"]),
    ],
)
def test_a_list_of_nodes_is_read_where_scontrol_is_missing(monkeypatch, nodes, names):
    monkeypatch.setenv("PATH", "")
    assert distributed.hosts(nodes) == names


@pytest.mark.slurm
def test_scontrol_reads_a_list_of_nodes_alike(slurm, monkeypatch):
    nodes = "gpu[01-03,7],login-1,r[1-2]n[09-10]"
    by_slurm = distributed.hosts(nodes)
    with monkeypatch.context() as nowhere:
        nowhere.setenv("PATH", "")
        assert distributed.hosts(nodes) == by_slurm
    assert len(by_slurm) == 9


def test_a_task_knows_its_place_by_what_slurm_says(monkeypatch, tmp_path):
    _clear(monkeypatch, NTASKS="2", PROCID="1", JOB_NODELIST="localhost,n2", JOB_ID="12345")
    monkeypatch.setenv("PATH", "")
    place = distributed.place(_works(tmp_path, processes=4))
    assert place == Place(processes=4, nodes=2, node=1, host="localhost", port=14690)
    assert distributed.place(_works(tmp_path, processes=1)) is None
    with pytest.raises(UserError, match=r"^execution.processes 3 do not spread evenly over 2 nodes$"):
        distributed.place(_works(tmp_path, processes=3))
    with pytest.raises(UserError, match=r"has one number of processes for its trials; here \[2, 4\]$"):
        distributed.place([*_works(tmp_path, processes=2), *_works(tmp_path, processes=4)])
    assert list(place.ranks) == [2, 3]
    _clear(monkeypatch)
    assert distributed.place(_works(tmp_path, processes=3)) is None  # on one node workers see to it


def test_a_port_that_something_else_has_is_one_line(monkeypatch, tmp_path):
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(distributed, "port", lambda job: port)
        _clear(monkeypatch, NTASKS="2", PROCID="0", JOB_NODELIST="localhost,n2", JOB_ID="1")
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("SLURMD_NODENAME", "n1")
        with pytest.raises(UserError) as refused:
            distributed.place(_works(tmp_path, processes=2))
    assert str(refused.value) == f"port {port} of n1: address already in use; another job will have another one"


@pytest.mark.parametrize(
    ("processes", "asked", "nodes", "cpus"),
    [
        (1, {"gpus": 8}, 1, 1),
        (4, {"gpus": 8}, 1, 1),  # two at once
        (16, {"gpus": 8, "cpus": 4}, 2, 4),
        (16, {"gpus": 8, "nodes": 4}, 4, 1),  # four GPUs of eight on each
        (2, {"cpus": 3}, 1, 6),
        (4, {"nodes": 2}, 2, 2),
    ],
)
def test_a_job_asks_for_the_nodes_and_cores_of_all_processes(tmp_path, processes, asked, nodes, cpus):
    works = _works(tmp_path, processes=processes)
    found = distributed.asking(request(asked), works, given="nodes" in asked)
    assert (found.nodes, found.cpus, found.gpus) == (nodes, cpus, asked.get("gpus", 0))


@pytest.mark.parametrize(
    ("processes", "asked", "refusal"),
    [
        (15, {"gpus": 8}, "execution.processes 15 do not spread evenly over 2 nodes"),
        (
            16,
            {"gpus": 4, "nodes": 2},
            "execution.processes 16 are 8 on a node, one a GPU; a job asks 4 of each of 2"
            " (--slurm gpus=N --slurm nodes=N)",
        ),
    ],
)
def test_processes_that_do_not_fit_are_refused_before_anything_is_sent(tmp_path, processes, asked, refusal):
    with pytest.raises(UserError) as raised:
        distributed.asking(request(asked), _works(tmp_path, processes=processes), given="nodes" in asked)
    assert str(raised.value) == refusal


def test_a_first_node_whose_name_stands_for_nothing_is_found_by_the_address_of_srun(monkeypatch, tmp_path):
    _clear(monkeypatch, NTASKS="2", PROCID="1", JOB_NODELIST="nowhere.invalid", LAUNCH_NODE_IPADDR="127.0.0.1")

    def unknown(*_):
        raise socket.gaierror

    monkeypatch.setattr(distributed.socket, "getaddrinfo", unknown)
    place = distributed.place(_works(tmp_path, processes=2))
    assert place is not None
    assert place.host == "127.0.0.1"


def test_ports_of_jobs_are_two_each_below_those_of_outgoing_connections():
    ports = [distributed.port(str(job)) for job in range(1, 10_001)]
    assert len({*ports, *(port + 1 for port in ports)}) == 20_000
    assert min(ports) >= 1024
    assert max(ports) + 1 < 32768
    assert distributed.port("10001") == distributed.port("1")


def _ready(folder, *, processes=2, epochs=LONG, **asked):
    """Trainings in a job over two nodes, ready to be sent."""
    store = Store(folder / "runs")
    listed = _works(folder, processes=processes, epochs=epochs)
    waves = pack(units(listed, lambda _: 5.0), most_jobs=1, worth_s=60)
    layer = {"timeout_min": 5, "memory_gb": 1.9, "nodes": 2, "partition": "low"}
    return sending.prepare(waves, store, request(layer | asked), study="spread", max_array_size=101)


def _until(true, sent, most_s=150):
    deadline = time.monotonic() + most_s
    while not true():
        assert time.monotonic() < deadline, _logs(sent)
        time.sleep(0.1)


def _wait(sent):
    """Until the job is gone with the tasks of both nodes; what it recorded."""
    asked = ["squeue", "--noheader", f"--jobs={sent.send.arrays[0].id}"]
    _until(lambda: not subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip(), sent)
    return Store(Path(sent.send.store)).read().records


def _logs(sent):
    return "\n".join(path.read_text() for path in sorted((sent.folder / "jobs").glob("*_log.*")))


def _saved(sent):
    """Whether a training is under way and has a checkpoint."""
    return any((Path(sent.send.store) / "weights").glob("*/checkpoint.pt"))


def _peers(sent, node):
    """Processes of trainings on a node other than the first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = ((entry / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        mine = f"SLURM_JOB_ID={sent.send.arrays[0].id}".encode() in variables
        if mine and b"bench.train.peer" in words and f"SLURMD_NODENAME={node}".encode() in variables:
            found.append(int(entry.name))
    return found


def _weights(records):
    (record,) = [record for record in records.values() if record.measure == TRAIN]
    assert record.failure is None
    return record.bound["weights"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights that two processes of one machine train."""
    folder = tmp_path_factory.mktemp("undisturbed")
    store = Store(folder / "runs")
    local.run(_works(folder, processes=2, epochs=LONG), store, workers=1)
    return _weights(store.read().records)


@pytest.mark.slurm
def test_two_nodes_train_what_one_process_does(slurm, tmp_path):
    alone = Store(tmp_path / "alone")
    assert local.run(_works(tmp_path, processes=1), alone, workers=1).failed == ()
    sent = submission.submit(_ready(tmp_path, epochs=3, gpus=1))
    here, there = alone.read().records, _wait(sent)
    assert there.keys() == here.keys(), _logs(sent)
    for key, record in there.items():
        assert record.failure is None
        for name, quantity in record.quantities.items():
            # digits' loss rounds in another place of float32; which image is right does not change
            wanted = pytest.approx(here[key].quantities[name].samples, rel=1e-5 if record.measure == TRAIN else 0)
            assert quantity.samples == wanted, name


@pytest.mark.slurm
def test_a_training_over_two_nodes_that_is_preempted_ends_with_the_same_bits(slurm, tmp_path, undisturbed):
    sent = submission.submit(_ready(tmp_path))
    _until(lambda: _saved(sent), sent)
    slurm.call("sbatch", "--partition=high", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    records = _wait(sent)
    # a preemption without grace sends both, and either may come first
    assert re.search("stopped by SIG(USR2|TERM); checkpoints are saved", _logs(sent)), _logs(sent)
    assert _weights(records) == undisturbed
    assert len([start for start in Store(Path(sent.send.store)).read().starts if start.measure == TRAIN]) == 2


@pytest.mark.slurm
def test_a_training_that_loses_a_process_on_another_node_goes_on_to_the_same_bits(slurm, tmp_path, undisturbed):
    sent = submission.submit(_ready(tmp_path))
    _until(lambda: _saved(sent), sent)
    first, second = distributed.hosts(slurm.call("squeue", "--noheader", "--format=%N").strip())
    assert _peers(sent, first) == []
    (peer,) = _peers(sent, second)
    os.kill(peer, signal.SIGKILL)
    assert _weights(_wait(sent)) == undisturbed
    assert f"process 1 of 2, on {second}, was ended by SIGKILL" in _logs(sent)
    assert len([start for start in Store(Path(sent.send.store)).read().starts if start.measure == TRAIN]) == 1


@pytest.mark.slurm
def test_a_node_whose_processes_cannot_start_is_a_failure_in_one_line(slurm, tmp_path):
    ready = _ready(tmp_path)
    (ready.folder / "code" / "bench" / "train" / "peer.py").write_text("raise SystemExit(7)\n")
    records = _wait(submission.submit(ready))
    failure = next(record.failure for record in records.values() if record.measure == TRAIN)
    assert failure == Failure(kind="killed", reason="process 1 of 2 ended with exit code 7; tried twice")
