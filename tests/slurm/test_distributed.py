import socket
import subprocess
import time

import pytest

from bench import local, plan
from bench.errors import UserError
from bench.record import TRAIN
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
  train: {{recipe: tiny, epochs: 3, warmup_epochs: 1, augment: shift1}}
  execution: {{processes: {processes}}}
columns: [top1]
"""


def _works(folder, *, processes):
    path = folder / f"spread{processes}.yaml"
    path.write_text(SPEC.format(name=path.stem, processes=processes))
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


def test_a_first_node_whose_name_stands_for_nothing_is_found_by_the_address_of_srun(monkeypatch, tmp_path):
    _clear(monkeypatch, NTASKS="2", JOB_NODELIST="nowhere.invalid", LAUNCH_NODE_IPADDR="127.0.0.1")

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


@pytest.mark.slurm
def test_two_nodes_train_what_one_process_does(slurm, tmp_path):
    alone, spread = Store(tmp_path / "alone"), Store(tmp_path / "spread")
    one, two = _works(tmp_path, processes=1), _works(tmp_path, processes=2)
    assert [work.key for work in one] == [work.key for work in two]
    assert local.run(one, alone, workers=1).failed == ()
    listed = plan.missing(two, spread.read(), weights_ready=spread.weights_ready)
    waves = pack(units(listed, lambda _: 5.0), most_jobs=1, worth_s=60)
    asked = request({"timeout_min": 5, "memory_gb": 1.5, "nodes": 2})
    sent = submission.submit(sending.prepare(waves, spread, asked, study="spread", max_array_size=101))
    job = sent.send.arrays[0].id
    deadline = time.monotonic() + 150
    while _in_queue(job):  # the tasks of both nodes end by themselves
        assert time.monotonic() < deadline, _logs(sent.folder)
        time.sleep(0.5)
    here, there = alone.read().records, spread.read().records
    assert there.keys() == here.keys(), _logs(sent.folder)
    for key, record in there.items():
        assert record.failure is None
        for name, quantity in record.quantities.items():
            # digits' loss rounds in another place of float32; which image is right does not change
            wanted = pytest.approx(here[key].quantities[name].samples, rel=1e-5 if record.measure == TRAIN else 0)
            assert quantity.samples == wanted, name


def _in_queue(job):
    asked = ["squeue", "--noheader", f"--jobs={job}"]
    return bool(subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip())


def _logs(folder):
    return "\n".join(path.read_text() for path in sorted((folder / "jobs").glob("*_log.*")))
