import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from bench import lease, machine, train, worker
from bench.errors import Interrupted, UserError
from bench.record import Quantity
from bench.store import Snapshot, Store
from bench.trial import Data, Input, Model, Trial
from bench.work import Work
from bench.worker import Event, Stop, perform

ROOT = Path(worker.__file__).parents[1]
pytestmark = pytest.mark.usefixtures("acting")


def _work(act="answer", *, seed=3, **more):
    trial = Trial(model=Model(name="vit"), input=Input(image=8), data=Data(name="d", options={"act": act}), seed=seed)
    return Work(key=f"{act.replace(' ', '-')}-{seed}", measure="acting", version=1, trial=trial, **more)


def _lines(*works):
    return b"".join(msgspec.json.encode(work) + b"\n" for work in works)


def _command(store, *more):
    return [sys.executable, "-P", "-m", "bench.worker", "--store", str(store.path), *more]


def _environment(**more):
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def _run(store, lines, *more, **environment):
    return subprocess.run(
        _command(store, *more), input=lines, env=_environment(**environment), capture_output=True, check=False
    )


def _until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_takes_lines_and_appends_a_start_and_a_record_for_each(tmp_path):
    store = Store(tmp_path)
    works = [_work(seed=seed) for seed in range(3)]
    ran = _run(store, _lines(*works))
    assert (ran.returncode, ran.stdout) == (0, b"")
    snapshot = store.read()
    assert {key: record.quantities["points"].samples for key, record in snapshot.records.items()} == {
        "answer-0": (0.0,),
        "answer-1": (1.0,),
        "answer-2": (4.0,),
    }
    assert [(start.key, start.attempt) for start in snapshot.starts] == [
        (record.key, record.attempt) for record in snapshot.records.values()
    ]
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_failure_is_a_record_and_the_next_line_is_done(tmp_path):
    store = Store(tmp_path)
    ran = _run(store, _lines(_work("raise value"), _work()))
    records = store.read().records
    assert ran.returncode == 0
    failure = records["raise-value-3"].failure
    assert (failure.kind, failure.reason) == ("crashed", "ValueError: first line")
    assert failure.traceback.endswith("\nValueError")
    assert records["answer-3"].failure is None
    assert b"Traceback" in ran.stderr


def test_events_come_on_their_own_pipe_in_order(tmp_path):
    ours, theirs = os.pipe()
    work = _work(label="study/row:3")
    ran = subprocess.run(
        _command(Store(tmp_path), "--events-fd", str(theirs)),
        input=_lines(work),
        pass_fds=(theirs,),
        env=_environment(),
        capture_output=True,
        check=True,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        events = [msgspec.json.decode(line, type=Event) for line in file]
    assert [event.event for event in events] == ["ready", "started", "done"]
    assert {event.key for event in events[1:]} == {work.key}
    assert events[1].attempt == events[2].attempt == Store(tmp_path).read().records[work.key].attempt
    assert b" study/row:3 acting " in ran.stderr


def test_what_the_work_starts_cannot_read_the_workers_lines(tmp_path):
    ran = _run(Store(tmp_path), _lines(_work("read"), _work()))
    assert ran.returncode == 0
    assert {record.failure for record in Store(tmp_path).read().records.values()} == {None}


def test_a_line_that_is_no_work_is_one_line_and_exit_code_2(tmp_path):
    ran = _run(Store(tmp_path), _lines(_work()) + b'{"key": 1}\n')
    assert ran.returncode == 2
    assert ran.stderr.decode().splitlines()[-1] == "line 2 is no work: Expected `str`, got `int` - at `$.key`"


def test_a_store_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "file").write_text("")
    ran = _run(Store(tmp_path / "file"), _lines(_work()))
    assert (ran.returncode, ran.stderr.decode()) == (
        2,
        f"store '{tmp_path}/file' cannot be written: not a directory\n",
    )


def test_a_users_file_that_hides_a_package_of_ours_is_one_line(tmp_path):
    (tmp_path / "reports.py").write_text("")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    ran = _run(Store(tmp_path / "runs"), _lines(_work()), PYTHONPATH=paths)
    assert ran.returncode == 2
    assert ran.stderr.decode() == (
        f"{tmp_path}/reports.py hides a package of vitab's; rename it or take its folder off PYTHONPATH\n"
    )


@pytest.mark.parametrize("act", ["sleep 60", "swallow 60"])
def test_sigterm_ends_a_worker_without_a_record_and_lets_the_lease_go(tmp_path, act):
    store = Store(tmp_path)
    process = subprocess.Popen(_command(store), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment())
    process.stdin.write(_lines(_work(act)))
    process.stdin.flush()
    _until(lambda: store.read().starts)
    process.send_signal(signal.SIGINT)  # for the parent to decide
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=5) == 128 + signal.SIGTERM
    process.stdin.close()
    assert store.read().records == {}
    assert list((tmp_path / "leases").iterdir()) == []


@pytest.mark.parametrize("act", ["idle", "sleep 600", "hog", "spawn"])
def test_no_worker_outlives_its_parent_however_busy(tmp_path, act):
    store = Store(tmp_path)
    ours, lines = os.pipe()  # stays open here: the end of the lines is not what ends the worker
    parent_code = """
import os, subprocess, sys
lives, alive = os.pipe()
command = [*sys.argv[2:], "--alive-fd", str(lives)]
worker = subprocess.Popen(command, stdin=int(sys.argv[1]), pass_fds=[lives], start_new_session=True)
print(worker.pid, flush=True)
worker.wait()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code, str(ours), *_command(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[ours],
        env=_environment(),
    )
    family = [int(parent.stdout.readline())]
    if act != "idle":
        os.write(lines, _lines(_work(act)))
        _until(lambda: store.read().starts)
    if act == "hog":
        _until((tmp_path / "hogging").exists)
        time.sleep(0.2)
    if act == "spawn":
        _until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        family.append(int((tmp_path / "child").read_text()))
    assert all(machine.start_time(pid) is not None for pid in family)
    parent.kill()
    parent.communicate()
    _until(lambda: all(machine.start_time(pid) is None for pid in family), seconds=5)
    os.close(ours)
    os.close(lines)


def _perform(work, store, snapshot=None):
    events = []
    seen = perform(work, store, snapshot or Snapshot(), say=events.append, stop=Stop())
    return events, seen


def test_work_that_another_process_holds_is_left_alone(tmp_path):
    store = Store(tmp_path)
    mine = lease.acquire(store, _work().key)
    events, _ = _perform(_work(), store)
    assert events == [Event(event="held", key=_work().key)]
    assert store.read().starts == ()
    lease.release(mine)


def test_work_that_was_done_since_it_was_planned_is_not_done_again(tmp_path):
    store = Store(tmp_path)
    _perform(_work(), store)
    events, _ = _perform(_work(), store)
    assert [event.event for event in events] == ["done"]
    assert len(store.read().starts) == 1


def test_work_that_replaces_what_was_known_is_done_once_more_and_only_once(tmp_path):
    store = Store(tmp_path)
    _perform(_work("raise value"), store)
    (known,) = store.read().attempts["raise-value-3"]
    again = msgspec.structs.replace(_work("raise value"), replaces=(known.attempt,))
    for _ in range(2):
        events, _ = _perform(again, store)
        assert (events[-1].failure.kind, events[-1].failure.reason) == ("crashed", "ValueError: first line")
    assert len(store.read().starts) == 2


def test_a_lease_is_let_go_whatever_is_raised(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(worker, "attempt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        _perform(_work(), store)
    assert lease.acquire(store, _work().key) is not None


def test_a_request_to_stop_is_raised_at_once_or_after_what_looks_for_it_itself():
    stop = Stop()
    with pytest.raises(Interrupted):
        stop.ask()
    stop = Stop()
    polled = contextlib.ExitStack()
    polled.enter_context(stop.polling())
    stop.ask()
    assert stop.asked
    with pytest.raises(Interrupted):
        polled.close()


def _training(key="w"):
    return Work(key=key, measure="train", version=1, trial=_work().trial, weights_key=key)


def test_a_training_that_is_asked_to_stop_sees_it_saves_and_leaves_no_record(tmp_path, monkeypatch):
    store, stop, saved = Store(tmp_path), Stop(), []

    def train_until_asked(trial, subject, watch):
        watch.progress({"epoch": 1.0})
        stop.ask()  # as the signal would: nothing is raised in the middle of a step
        assert watch.stop()
        saved.append(watch.still_mine())
        raise Interrupted

    monkeypatch.setattr(train, "run", train_until_asked)
    events = []
    with pytest.raises(Interrupted):
        perform(_training(), store, Snapshot(), say=events.append, stop=stop)
    assert saved == [True]
    assert [event.event for event in events] == ["started", "progress"]
    assert events[1].progress == {"epoch": 1.0}
    assert store.read().records == {}
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_training_that_ends_although_it_is_asked_to_stop_has_its_record(tmp_path, monkeypatch, complete):
    store, stop = Store(tmp_path), Stop()

    def finish(trial, subject, watch):
        stop.ask()
        complete(subject.weights_folder)
        subject.bound["data"] = "abc"
        return {"loss": Quantity(samples=(0.5,), unit="nats", better="lower")}

    monkeypatch.setattr(train, "run", finish)
    with pytest.raises(Interrupted):
        perform(_training(), store, Snapshot(), say=lambda event: None, stop=stop)
    record = store.read().records["w"]
    assert (record.measure, record.bound, record.failure) == ("train", {"data": "abc"}, None)
    assert store.weights_ready("w")


def test_a_training_without_complete_weights_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "run", lambda trial, subject, watch: {})
    events = []
    perform(_training(), Store(tmp_path), Snapshot(), say=events.append, stop=Stop())
    failure = events[-1].failure
    assert (failure.kind, failure.reason) == ("crashed", "RuntimeError: the training ended without complete weights")
    assert failure.traceback.endswith("\nRuntimeError")


def test_a_holder_that_lost_its_key_may_not_replace_a_checkpoint(tmp_path, monkeypatch):
    store, seen = Store(tmp_path), []

    def lose_the_lease(trial, subject, watch):
        (path,) = (store.path / "leases").iterdir()
        lease._let_die(path)
        os.utime(path, (time.time() - lease.DEAD_AFTER_S - 1,) * 2)
        assert lease.acquire(store, "w") is not None
        seen.append(watch.still_mine())
        raise Interrupted

    monkeypatch.setattr(train, "run", lose_the_lease)
    events = []
    perform(_training(), store, Snapshot(), say=events.append, stop=Stop())
    assert seen == [False]
    assert [event.event for event in events] == ["started", "held"]
    assert list(lease.running(store)) == ["w"]


def test_our_packages_are_where_they_belong():
    worker.check_packages()


def test_a_hidden_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "vitab").mkdir()
    (tmp_path / "vitab" / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "vitab", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"vitab/__init__\.py hides a package of vitab's"):
        worker.check_packages()
