"""What becomes of a training when one of its processes is lost, says that it cannot, or does not come."""

import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest
import torch

from bench.attempt import failure_of
from bench.errors import Interrupted
from bench.record import Failed, Failure
from bench.train import others, processes
from bench.train.others import Others
from bench.trial import Execution

POPEN = subprocess.Popen

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def spread(digits_trial):
    """A trial of two processes, which saves after every step."""
    return msgspec.structs.replace(digits_trial(), execution=Execution(processes=2, checkpoint_every_s=0))


@pytest.fixture
def starting(monkeypatch):
    """A function that lets every peer be another command; the processes that were started."""

    def will(*command):
        started = []

        def start(_, **options):
            started.append(POPEN(command, **options))
            return started[-1]

        monkeypatch.setattr(processes.subprocess, "Popen", start)
        return started

    return will


def test_a_training_that_loses_a_process_goes_on_from_its_checkpoint_to_the_same_bits(
    spread, trained, forked_peers, tmp_path, capfd
):
    forked_peers(KILLED)
    disturbed = trained(spread, store=tmp_path / "disturbed")
    assert "process 1 of 2 was ended by SIGKILL; once more from the last checkpoint" in capfd.readouterr().err
    forked_peers()
    assert disturbed.weights == trained(spread).weights


def test_a_training_that_loses_a_process_twice_is_a_failure_in_one_line(spread, trained, forked_peers):
    forked_peers(KILLED, KILLED.replace("SIGKILL", "SIGSEGV"))
    with pytest.raises(Failed) as raised:
        trained(spread)
    assert failure_of(raised.value) == Failure(kind="killed", reason="process 1 of 2 was ended by SIGSEGV; tried twice")
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("act", "kind", "reason"),
    [
        ("raise RuntimeError('no disk')", "crashed", "process 1 of 2: RuntimeError: no disk"),
        (
            "import torch; raise torch.OutOfMemoryError('tried to allocate 2 GiB')",
            "out_of_memory",
            "process 1 of 2: tried to allocate 2 GiB",
        ),
    ],
)
def test_what_a_process_says_is_wrong_is_the_failure_of_the_training(spread, trained, forked_peers, act, kind, reason):
    forked_peers(act)
    with pytest.raises(Failed) as raised:
        trained(spread)
    failure = failure_of(raised.value)
    assert (failure.kind, failure.reason) == (kind, reason)


def test_a_process_that_does_not_come_is_named(spread, trained, starting):
    started = starting(sys.executable, "-c", "raise SystemExit(7)")
    with pytest.raises(Failed, match=r"^process 1 of 2 ended with exit code 7; tried twice$"):
        trained(spread)
    assert len(started) == 2
    starting(sys.executable, "-c", "")
    with pytest.raises(Failed, match=r"^process 1 of 2 ended before it came; tried twice$"):
        trained(spread)


def test_nobody_is_waited_for_for_ever(spread, trained, starting, monkeypatch):
    monkeypatch.setattr(others, "COMING_S", 0.2)
    started = starting("sleep", "60")
    with pytest.raises(Failed, match=r"^process 1 of 2 did not come in 0\.2 s$"):
        trained(spread)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_worker_that_is_asked_to_go_does_not_wait_for_the_others(spread, trained, starting):
    started = starting("sleep", "60")
    with pytest.raises(Interrupted):
        trained(spread, stop_after=1)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def _others(count):
    """Processes on other nodes, and the store of the first."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    return Others(store=store, count=count, started={}, heard=len(others.said_by_nodes()))


def _saying(monkeypatch, tmp_path):
    """What other nodes say, to be written on."""
    said = tmp_path / "ends"
    said.write_text("1 was ended by SIGKILL\n")  # in an earlier training
    monkeypatch.setenv("VITAB_ENDS", str(said))
    return said.open("a", buffering=1)


def test_what_other_nodes_say_of_their_processes_is_behind_a_broken_connection(monkeypatch, tmp_path):
    with _saying(monkeypatch, tmp_path) as said:
        them = _others(4)
        assert them.ends() == []
        broke = RuntimeError("gloo: Connection closed by peer")
        threading.Timer(0.2, said.write, ["3 was ended by SIGKILL\n"]).start()  # it is seen later than the connection
        with pytest.raises(others.Lost, match=r"^process 3 of 4 was ended by SIGKILL$"):
            others.explain(them, broke)


def test_a_broken_connection_that_nobody_explains_is_said_as_such(monkeypatch):
    monkeypatch.setattr(others, "LEAVING_S", 0.1)
    with pytest.raises(others.Lost, match=r"^the connection to another of the 2 processes broke$"):
        others.explain(_others(2), RuntimeError("NCCL communicator was aborted"))
    others.explain(_others(2), RuntimeError("a fault of the first process alone"))  # which raises it itself


def test_a_process_of_another_node_that_cannot_start_is_not_waited_for(monkeypatch, tmp_path):
    class Watch:
        stop = staticmethod(lambda: False)

    with _saying(monkeypatch, tmp_path) as file:
        them = _others(2)
        file.write("1 ended with exit code 1\n" * others.STARTS)  # one alone is started again by its node
        with pytest.raises(others.Lost, match=r"^process 1 of 2 ended with exit code 1$"):
            others.wait_for(them, Watch)


WAITING = """
import sys, time
import torch
from bench.train import others
others.LEAVING_S = 0.1
store = torch.distributed.TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False, wait_for_workers=False)
others.end_without(store, "task")
store.set("here", "")
time.sleep(60)
"""


def test_a_process_that_waits_for_a_first_one_that_is_gone_ends_by_itself():
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store.set("task", "")
    waiting = subprocess.Popen([sys.executable, "-c", WAITING, str(store.port)], stderr=subprocess.PIPE, text=True)
    store.wait(["here"])
    del store
    began = time.monotonic()
    assert waiting.communicate()[1].endswith("the first process is gone, and this one waits for it in vain\n")
    assert waiting.returncode == others.TOLD
    assert time.monotonic() - began < 10


DEAF = """
import subprocess, time
from bench.train import others
others.LEAVING_S = 0.1
process = subprocess.Popen(["sh", "-c", "kill -9 $$"])
with others.watched(others.Others(store=None, count=2, started={1: process})):
    time.sleep(60)
"""


def test_a_first_process_that_waits_for_one_that_was_ended_ends_by_itself():
    ended = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, check=False, timeout=30)
    assert ended.stderr == "process 1 of 2 was ended by SIGKILL, and this one waits for it in vain\n"
    assert ended.returncode == others.TOLD
