import pytest

from bench import crashes
from bench.attempt import Watch, attempt, failure_of
from bench.store import Store
from bench.trial import Data, Input, Model, Trial
from bench.work import Work

WATCH = Watch(stop=lambda: False, still_mine=lambda: True, progress=lambda said: None)


def _works(act, count):
    data = Data(name="digits", options={"act": act})
    trials = [Trial(model=Model(name="vit"), input=Input(image=8), data=data, seed=seed) for seed in range(count)]
    return [Work(key=f"{act}-{trial.seed}", measure="acting", version=1, trial=trial) for trial in trials]


def _raised(number):
    try:
        int(f"no number {number}")
    except ValueError as problem:
        return failure_of(problem)


def test_where_it_crashed_is_the_same_on_every_machine_and_whatever_the_message_says():
    one, other = _raised(1), _raised(2)
    assert one.reason != other.reason
    assert one.traceback == other.traceback
    frame, name = one.traceback.splitlines()
    assert frame.startswith("tests/bench/test_crashes.py:")
    assert frame.endswith(' in _raised: int(f"no number {number}")')
    assert name == "ValueError"


@pytest.mark.usefixtures("acting")
def test_crashes_in_one_place_are_counted_and_those_in_others_are_not(tmp_path):
    store = Store(tmp_path)
    works = [*_works("raise value", 2), *_works("answer", 1), *_works("raise silent", 1), *_works("raise needs", 3)]
    for work in works:
        store.append(attempt(work, store, f"attempt {work.key}", WATCH))
    snapshot = store.read()
    stopped = crashes.repeated(works, snapshot, 2)
    assert (str(stopped), stopped.failure.kind) == ("stopped: 2 × ValueError: first line", "crashed")
    assert crashes.repeated(works, snapshot, 3) is None
    assert crashes.repeated(works, snapshot, 0) is None
    assert crashes.repeated(works[1:], snapshot, 2) is None
