import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from bench import lease, local, machine, plan, slot
from bench.errors import UserError
from bench.local import Outcome, run, run_here
from bench.record import Failure, Record
from bench.store import Store, now
from bench.trial import Data, Input, Model, Trial
from bench.work import Work

ROOT = Path(local.__file__).parents[1]
pytestmark = pytest.mark.usefixtures("acting")


def _work(act="answer", *, seed=3, **more):
    trial = Trial(model=Model(name="vit"), input=Input(image=8), data=Data(name="d", options={"act": act}), seed=seed)
    return Work(key=f"{act.replace(' ', '-')}-{seed}", measure="acting", version=1, trial=trial, **more)


def _works(count, act="answer"):
    return [_work(act, seed=seed) for seed in range(count)]


def _values(store):
    return {
        key: record.failure.kind if record.failure else record.quantities["points"].samples[0]
        for key, record in store.read().records.items()
    }


def _in_flight(store):
    """Starts without an end, by key."""
    snapshot = store.read()
    ended = {record.attempt for attempts in snapshot.attempts.values() for record in attempts}
    return [start.key for start in snapshot.starts if start.attempt not in ended]


def _until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


COMMAND = """
import sys
from pathlib import Path
import msgspec
from bench import local, plan
from bench.store import Store
from bench.work import Work
local.POLL_S = 0.1
store, workers = Store(sys.argv[1]), int(sys.argv[2])
works = msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=list[Work])
todo = plan.missing(works, store.read(), weights_ready=store.weights_ready)
try:
    outcome = local.run(todo, store, workers=workers)
except KeyboardInterrupt:
    sys.exit(130)
print(len(outcome.measured), len(outcome.failed), len(outcome.elsewhere))
"""


def _command(store, works, *, workers=2):
    """A whole command in a process of its own: plan what is missing, run it."""
    listed = store.folder() / "works.json"
    listed.write_bytes(msgspec.json.encode(works))
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(store.path), str(workers), str(listed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _workers_of(store):
    """Ids of the worker processes that serve a store."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"bench.worker" in words and str(store.path).encode() in words:
            found.append(int(path.parent.name))
    return found


def test_everything_is_measured_and_no_worker_is_left(tmp_path):
    store = Store(tmp_path)
    heard = []
    outcome = run(_works(6), store, workers=2, on_event=lambda event, work: heard.append((event.event, work.key)))
    assert sorted(outcome.measured) == [f"answer-{seed}" for seed in range(6)]
    assert (outcome.failed, outcome.elsewhere) == ((), ())
    assert _values(store) == {f"answer-{seed}": float(seed**2) for seed in range(6)}
    assert sorted(heard) == sorted((said, f"answer-{seed}") for seed in range(6) for said in ("started", "done"))
    assert _workers_of(store) == []
    assert list((tmp_path / "leases").iterdir()) == []
    assert _in_flight(store) == []


def test_no_work_starts_no_worker(tmp_path):
    assert run([], Store(tmp_path), workers=2) == Outcome(measured=(), failed=(), elsewhere=())
    assert not (tmp_path / "records").exists()


def test_a_trial_that_fails_does_not_keep_its_neighbours(tmp_path):
    store = Store(tmp_path)
    outcome = run([_work("raise value"), *_works(3)], store, workers=1)
    assert outcome.failed == ("raise-value-3",)
    assert len(outcome.measured) == 3


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("die SIGKILL", "its process was killed twice, by SIGKILL"),
        ("die SIGSEGV", "its process was killed twice, by SIGSEGV"),
        ("exit 7", "its process ended twice, with exit code 7"),
    ],
)
def test_a_trial_that_ends_its_process_twice_is_a_failure_and_its_neighbours_go_on(tmp_path, act, reason):
    store = Store(tmp_path)
    heard = []
    outcome = run([_work(act), *_works(4)], store, workers=2, on_event=lambda event, _: heard.append(event.event))
    key = _work(act).key
    assert outcome.failed == (key,)
    assert len(outcome.measured) == 4
    assert store.read().records[key].failure == Failure(kind="killed", reason=reason)
    assert heard.count("died") == 1
    starts = [start for start in store.read().starts if start.key == key]
    assert len(starts) == 2
    assert store.read().records[key].attempt == starts[-1].attempt
    assert lease.running(store) == {}


def test_a_trial_whose_process_was_killed_once_is_tried_again_and_measured(tmp_path):
    store = Store(tmp_path)
    outcome = run(_works(2, "die-once"), store, workers=1)
    assert outcome.failed == ()
    assert _values(store) == {"die-once-0": 0.0, "die-once-1": 1.0}
    assert sorted(_in_flight(store)) == ["die-once-0", "die-once-1"]


def test_what_takes_too_long_is_ended_and_recorded_and_not_tried_again(tmp_path):
    store = Store(tmp_path)
    outcome = run([_work("hog", timeout_s=0.5), _work()], store, workers=1)
    assert outcome.failed == ("hog-3",)
    record = store.read().records["hog-3"]
    assert record.failure == Failure(kind="timed_out", reason="longer than 0.5 s")
    assert 0.5 <= record.seconds < 3
    assert len([start for start in store.read().starts if start.key == "hog-3"]) == 1


def test_workers_that_cannot_start_stop_the_run_with_their_last_line(tmp_path, monkeypatch):
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "reports.py").write_text("")
    environment = slot.environment
    hiding = os.pathsep.join([str(tmp_path / "hiding"), str(ROOT)])
    monkeypatch.setattr(slot, "environment", lambda gpu: {**environment(gpu), "PYTHONPATH": hiding})
    with pytest.raises(UserError) as caught:
        run(_works(3), Store(tmp_path / "runs"), workers=1)
    assert str(caught.value).startswith(
        f"workers end before they begin: {tmp_path}/hiding/reports.py hides a package of vitab's; rename it or"
    )


def test_a_bench_file_of_the_users_beside_their_spec_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "bench.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], ""]))
    assert len(run(_works(1), Store("runs"), workers=1).measured) == 1


def test_a_worker_killed_from_outside_costs_nothing_that_was_done(tmp_path):
    store = Store(tmp_path)
    works = _works(30, "sleep 0.05")
    chance = random.Random(0)
    over = threading.Event()

    def kill_now_and_then():  # rarely enough for a worker to begin, and for no work to be struck twice
        done = -1
        while not over.wait(0.1):
            if len(store.read().records) > done and (victims := _workers_of(store)):
                os.kill(chance.choice(victims), signal.SIGKILL)
                done = len(store.read().records) + 8

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        outcome = run(works, store, workers=2)
    finally:
        over.set()
        killer.join()
    assert {key: record.failure for key, record in store.read().records.items() if record.failure} == {}
    assert len(outcome.measured) == 30
    assert _values(store) == {work.key: float(work.trial.seed**2) for work in works}
    assert {len(attempts) for attempts in store.read().attempts.values()} == {1}


def test_a_worker_that_dies_between_its_record_and_its_word_is_not_made_to_do_it_again(tmp_path, monkeypatch):
    store = Store(tmp_path)
    hear = slot.hear

    def deaf_to_done(filled):
        events = hear(filled)
        if events and any(event.event == "done" for event in events):
            slot.kill(filled)
            return [event for event in events if event.event != "done"]
        return events

    monkeypatch.setattr(slot, "hear", deaf_to_done)
    outcome = run(_works(3), store, workers=1)
    assert sorted(outcome.measured) == ["answer-0", "answer-1", "answer-2"]
    assert outcome.elsewhere == ()
    assert len(store.read().starts) == 3


def test_a_command_killed_at_random_moments_and_continued_ends_as_an_undisturbed_one(tmp_path):
    works = _works(24, "sleep 0.03")
    undisturbed, killed = Store(tmp_path / "undisturbed"), Store(tmp_path / "killed")
    run(works, undisturbed, workers=2)
    chance = random.Random(1)
    for _ in range(5):
        command = _command(killed, works)
        time.sleep(chance.uniform(0.2, 0.6))
        command.kill()
        command.communicate()
        _until(lambda: _workers_of(killed) == [], seconds=5)
    said, errors = _command(killed, works).communicate()
    assert errors == ""
    assert said.split()[1:] == ["0", "0"]
    assert _values(killed) == _values(undisturbed)
    assert {len(attempts) for attempts in killed.read().attempts.values()} == {1}
    assert len(killed.read().starts) == 24 + len(_in_flight(killed))
    assert len(_in_flight(killed)) <= 5 * 2  # what two workers had in flight at each kill


def test_a_second_run_finds_nothing_to_do(tmp_path):
    store = Store(tmp_path)
    works = _works(3)
    assert _command(store, works).communicate() == ("3 0 0\n", "")
    assert _command(store, works).communicate() == ("0 0 0\n", "")
    assert len(store.read().starts) == 3


def test_a_record_that_was_torn_by_a_kill_is_measured_again(tmp_path):
    store = Store(tmp_path)
    run(_works(3), store, workers=1)
    (path,) = (tmp_path / "records").iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    assert len(store.read().problems) == 1
    assert _command(store, _works(3)).communicate() == ("1 0 0\n", "")
    assert len(_values(store)) == 3


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_takes_its_workers_along_and_records_nothing_unfinished(tmp_path, sent):
    store = Store(tmp_path)
    command = _command(store, [_work(), _work("sleep 60"), _work("spawn")])
    _until(lambda: len(store.read().starts) == 3 and (tmp_path / "child").exists())
    _until(lambda: store.read().records)
    command.send_signal(sent)
    began = time.monotonic()
    assert command.communicate() == ("", "")
    assert command.returncode == 130
    assert time.monotonic() - began < 4
    assert _workers_of(store) == []
    assert machine.start_time(int((tmp_path / "child").read_text())) is None
    assert list(_values(store)) == ["answer-3"]


def test_a_command_that_is_killed_leaves_no_worker(tmp_path):
    store = Store(tmp_path)
    command = _command(store, [_work("hog"), _work("spawn")])
    _until(lambda: (tmp_path / "child").exists() and (tmp_path / "hogging").exists())
    _until(lambda: (tmp_path / "child").read_text())
    assert len(_workers_of(store)) == 2
    command.kill()
    command.communicate()
    _until(lambda: _workers_of(store) == [], seconds=5)
    _until(lambda: machine.start_time(int((tmp_path / "child").read_text())) is None, seconds=5)


def test_sixteen_submitters_at_once_run_each_trial_once_and_all_end_with_everything(tmp_path):
    store = Store(tmp_path)
    works = _works(20, "sleep 0.02")
    submitters = [_command(store, works, workers=1) for _ in range(16)]
    said = [submitter.communicate() for submitter in submitters]
    assert [errors for _, errors in said] == [""] * 16
    assert _values(store) == {work.key: float(work.trial.seed**2) for work in works}
    assert sorted(start.key for start in store.read().starts) == sorted(work.key for work in works)
    counts = [tuple(map(int, text.split())) for text, _ in said]
    assert sum(measured - elsewhere for measured, _, elsewhere in counts) == 20


def test_what_another_submitter_holds_is_waited_for_and_taken_over_when_that_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "POLL_S", 0.1)
    store = Store(tmp_path)
    other = _command(store, [_work("sleep 60", seed=1), _work("sleep 0.5", seed=2)])
    _until(lambda: len(store.read().starts) == 2)
    heard = []

    def listen(event, work):
        heard.append((event.event, work.key))
        if event.event == "done" and work.key == "sleep-0.5-2":
            other.kill()

    works = [_work("sleep 60", seed=1, timeout_s=0.3), _work("sleep 0.5", seed=2)]
    outcome = run(works, store, workers=2, on_event=listen)
    other.communicate()
    assert outcome == Outcome(measured=("sleep-0.5-2",), failed=("sleep-60-1",), elsewhere=("sleep-0.5-2",))
    assert ("held", "sleep-60-1") in heard
    assert store.read().records["sleep-60-1"].failure.kind == "timed_out"


def test_weights_that_failed_elsewhere_make_what_needs_them_fail_with_the_reason(tmp_path):
    store = Store(tmp_path)
    needing = _work(after=("w",), weights_key="w")
    store.append(
        Record(
            key="w",
            measure="train",
            version=1,
            attempt="a",
            time=now(),
            seconds=1.0,
            trial=needing.trial,
            failure=Failure(kind="diverged", reason="the loss diverged at step 12", step=12),
        )
    )
    assert run([needing], store, workers=1).failed == (needing.key,)
    assert store.read().records[needing.key].failure == Failure(
        kind="upstream", reason="its weights w: diverged: the loss diverged at step 12"
    )


def test_work_that_waits_for_itself_is_one_line(tmp_path):
    with pytest.raises(UserError, match="weights need themselves: a, b"):
        run(
            [_work(seed=1, after=("answer-2",), label="a"), _work(seed=2, after=("answer-1",), label="b")],
            Store(tmp_path),
            workers=1,
        )


def test_the_same_in_this_process_for_a_debugger(tmp_path):
    store = Store(tmp_path)
    outcome = run_here([*_works(2), _work("raise value")], store)
    assert (outcome.measured, outcome.failed, outcome.elsewhere) == (("answer-0", "answer-1"), ("raise-value-3",), ())
    assert {start.pid for start in store.read().starts} == {os.getpid()}


def test_in_this_process_what_is_held_elsewhere_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "POLL_S", 0.1)
    store = Store(tmp_path)
    other = _command(store, [_work("sleep 0.5")])
    _until(lambda: store.read().starts)
    assert run_here([_work("sleep 0.5")], store).elsewhere == ("sleep-0.5-3",)
    other.communicate()
    assert len(store.read().starts) == 1


def test_what_a_worker_says_is_in_its_log(tmp_path):
    run([_work("raise value", label="study/row:3")], Store(tmp_path / "runs"), workers=1)
    (log,) = (tmp_path / "runs" / "logs").iterdir()
    text = log.read_text()
    assert " study/row:3 acting " in text
    assert "ValueError: first line" in text


def test_plans_and_runs_agree_on_what_is_left(tmp_path):
    store = Store(tmp_path)
    works = [_work("raise value"), _work()]
    run(works, store, workers=1)
    assert plan.missing(works, store.read(), weights_ready=store.weights_ready) == []
    (again,) = plan.missing(works, store.read(), weights_ready=store.weights_ready, retry_failed=True)
    run([again], store, workers=1)
    assert len(store.read().attempts["raise-value-3"]) == 2
