import os
import sys

import msgspec
import pytest

from bench import machine
from bench.attempt import Watch, attempt, failure_of
from bench.errors import Invalid, Needs
from bench.record import Failure, Quantity, Record
from bench.store import Store, now
from bench.trial import Data, Execution, Input, Model, Trial
from bench.work import Work

pytestmark = pytest.mark.usefixtures("acting")
WATCH = Watch(stop=lambda: False, still_mine=lambda: True, progress=lambda said: None)


def _work(act="answer", *, seed=3, version=1, **more):
    trial = Trial(
        model=Model(name="vit"),
        input=Input(image=8),
        data=Data(name="digits", options={"act": act}),
        seed=seed,
        execution=more.pop("execution", Execution()),
    )
    return Work(key=f"{act}-{seed}", measure="acting", version=version, trial=trial, **more)


def _failure(tmp_path, act, **more):
    record = attempt(_work(act, **more), Store(tmp_path), "a", WATCH)
    assert record.quantities == {}
    Store(tmp_path).append(record)
    assert Store(tmp_path).read().records == {record.key: record}
    assert (record.failure.traceback is not None) == (record.failure.kind == "crashed")
    return msgspec.structs.replace(record.failure, traceback=None)


def test_a_record_says_what_was_measured_where_and_of_what(tmp_path):
    before = now()
    work = _work()
    record = attempt(work, Store(tmp_path), "a", WATCH)
    assert record.quantities == {"points": Quantity(samples=(9.0,), unit="points", better="higher")}
    assert (record.key, record.measure, record.version, record.attempt) == (work.key, "acting", 1, "a")
    assert record.trial == work.trial
    assert record.failure is None
    assert record.environment == machine.environment()
    assert before <= record.time <= now()
    assert 0 < record.seconds < 10


def test_the_version_of_a_library_that_asks_for_a_repeat_is_bound(tmp_path):
    assert attempt(_work(), Store(tmp_path), "a", WATCH).bound == {"msgspec": machine.version("msgspec")}


@pytest.mark.parametrize(
    ("act", "failure"),
    [
        ("raise invalid", Failure(kind="invalid", reason="patch 3 does not divide the image")),
        ("raise needs", Failure(kind="needs", reason="no ImageNet")),
        ("raise diverged", Failure(kind="diverged", reason="the loss diverged at step 12", step=12, value=7.5)),
        ("raise memory", Failure(kind="out_of_memory", reason="no memory left")),
        ("raise value", Failure(kind="crashed", reason="ValueError: first line")),
        ("raise exit", Failure(kind="crashed", reason="SystemExit: 3")),
        ("raise import", Failure(kind="needs", reason="the Python package 'timm', not installed here")),
        ("raise silent", Failure(kind="crashed", reason="RuntimeError")),
        ("nan nan", Failure(kind="crashed", reason="ValueError: points came out as nan")),
        ("nan inf", Failure(kind="crashed", reason="ValueError: points came out as inf")),
        ("nan 1e300", Failure(kind="crashed", reason="ValueError: points came out as 1e+300")),
        ("bind", Failure(kind="crashed", reason="TypeError: 'thing' is bound to a object, which is no plain data")),
        (
            "torch gpu",
            Failure(kind="out_of_memory", reason="CUDA out of memory. Tried to allocate 2.00 GiB."),
        ),
    ],
)
def test_whatever_is_raised_becomes_a_failure_with_one_line(tmp_path, act, failure):
    assert _failure(tmp_path, act) == failure


def test_memory_that_the_cpu_does_not_have_is_out_of_memory(tmp_path):
    failure = _failure(tmp_path, "torch allocate")
    assert failure.kind == "out_of_memory"
    assert failure.reason.startswith("can't allocate memory: you tried to allocate 4000000000000000 bytes")


def test_an_unknown_measure_is_invalid(tmp_path):
    work = Work(key="k", measure="actin", version=1, trial=_work().trial)
    failure = attempt(work, Store(tmp_path), "a", WATCH).failure
    assert failure == Failure(kind="invalid", reason="no measure 'actin'; nearest: 'acting'")


def test_a_measure_of_another_version_than_planned_is_not_recorded_as_that(tmp_path):
    assert _failure(tmp_path, "answer", version=2) == Failure(
        kind="crashed", reason="RuntimeError: acting is version 1 here and was planned as version 2"
    )


def test_the_traceback_goes_to_the_log(tmp_path, capfd):
    _failure(tmp_path, "raise value")
    assert "Traceback" in capfd.readouterr().err


def test_work_whose_weights_failed_says_which_and_why(tmp_path):
    store = Store(tmp_path)
    missing = _work(after=("w",), weights_key="w")
    assert attempt(missing, store, "a", WATCH).failure == Failure(
        kind="upstream", reason="weights w are not in the store"
    )
    diverged = Record(
        key="w",
        measure="train",
        version=1,
        attempt="b",
        time=now(),
        seconds=1.0,
        trial=missing.trial,
        failure=Failure(kind="diverged", reason="the loss diverged at step 12", step=12),
    )
    store.append(diverged)
    assert attempt(missing, store, "a", WATCH).failure == Failure(
        kind="upstream", reason="its weights w: diverged: the loss diverged at step 12"
    )


def test_a_record_says_the_threads_of_its_own_trial(tmp_path, monkeypatch):
    for setting in machine.THREAD_SETTINGS:
        monkeypatch.setenv(setting, "1")
    records = [attempt(_work(execution=Execution(threads=count)), Store(tmp_path), "a", WATCH) for count in (1, 2, 1)]
    assert [set(record.environment["threads"].values()) for record in records] == [{"1"}, {"2"}, {"1"}]
    assert records[0].environment == records[2].environment
    assert records[0].environment.keys() == records[1].environment.keys()


def test_a_failure_without_a_word_says_so():
    assert failure_of(Needs("")) == Failure(kind="needs", reason="Needs without a reason")
    assert failure_of(Invalid(" \n")) == Failure(kind="invalid", reason="Invalid without a reason")


@pytest.mark.parametrize("loaded", [False, True])
def test_torch_gets_the_trials_threads_whether_it_was_loaded_before_or_not(tmp_path, monkeypatch, loaded):
    for setting in machine.THREAD_SETTINGS:
        monkeypatch.setenv(setting, "1")
    if loaded:
        import torch  # noqa: F401
    count = 2 if loaded else 1
    record = attempt(_work("torch", execution=Execution(threads=count)), Store(tmp_path), "a", WATCH)
    assert record.quantities["points"].samples == (count,)
    assert os.environ["OMP_NUM_THREADS"] == str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
