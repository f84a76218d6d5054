import time
from types import SimpleNamespace

import msgspec
import pytest

from bench import machine, registry
from bench.errors import UserError
from bench.plan import answer, estimate, failed, missing, serving
from bench.record import Failure, Quantity, Record
from bench.store import Snapshot, best
from bench.trial import Command, Input, Model, Trial
from bench.work import Work


def _trial(model="vit"):
    return Trial(model=Model(name=model), input=Input(image=8))


def _count(key, **more):
    return Work(key=key, measure="params", version=1, trial=_trial(more.pop("model", "vit")), **more)


def _train(key, *after):
    return Work(
        key=key, measure="train", version=1, trial=_trial(), weights_key=key, after=after, label=f"study/{key}:0"
    )


def _top1(key, weights):
    return Work(key=key, measure="top1", version=1, trial=_trial(), weights_key=weights, after=(weights,))


def _record(key, *, measure="params", failure=None, attempt="a", at="1", bound=None, seconds=1.0, model="vit"):
    return Record(
        key=key,
        measure=measure,
        version=1,
        attempt=attempt,
        time=at,
        seconds=seconds,
        trial=_trial(model),
        quantities={} if failure else {"n": Quantity(samples=(1.0,), unit="parameters", better=None)},
        failure=Failure(kind=failure, reason="said so") if failure else None,
        bound=bound or {},
    )


def _held(*records):
    attempts = {}
    for record in records:
        attempts[record.key] = (*attempts.get(record.key, ()), record)
    return Snapshot(attempts=attempts, records={key: best(records) for key, records in attempts.items()})


@pytest.fixture(autouse=True)
def measures(monkeypatch):
    """`params` asks to be repeated when timm changes; `top1` does not."""
    modules = {"params": SimpleNamespace(REMEASURE_IF_CHANGED=("timm",)), "top1": SimpleNamespace()}
    monkeypatch.setattr(registry, "load", lambda kind, name: modules[name])


def _keys(works, snapshot=None, *, ready=(), retry_failed=False):
    planned = missing(works, snapshot or Snapshot(), weights_ready=lambda key: key in ready, retry_failed=retry_failed)
    return [work.key for work in planned]


def test_equal_keys_are_the_same_work_and_the_first_is_taken():
    planned = missing([_count("a", label="x"), _count("b"), _count("a")], Snapshot(), weights_ready=lambda key: False)
    assert [(work.key, work.label) for work in planned] == [("a", "x"), ("b", "")]


def test_what_has_a_record_is_left_out():
    assert _keys([_count("a"), _count("b")], _held(_record("a"))) == ["b"]


def test_weights_come_before_what_needs_them_wherever_they_were_listed():
    works = [_top1("t2", "w2"), _count("c"), _train("w2", "w1"), _top1("t1", "w1"), _train("w1")]
    assert _keys(works) == ["w1", "w2", "t2", "c", "t1"]


def test_weights_that_are_complete_are_not_trained_again():
    works = [_train("w1"), _train("w2", "w1"), _top1("t2", "w2")]
    assert _keys(works, ready=("w1",)) == ["w2", "t2"]
    assert _keys(works, ready=("w2",)) == ["t2"]


def test_nothing_is_trained_for_measurements_that_are_there_although_the_weights_are_gone():
    works = [_train("w1"), _top1("t1", "w1")]
    assert _keys(works, _held(_record("t1", measure="top1"))) == []


def test_deleted_weights_are_trained_again_when_something_new_needs_them():
    snapshot = _held(_record("w1", measure="train", attempt="first"), _record("t1", measure="top1"))
    works = [_train("w1"), _top1("t1", "w1"), _top1("t1 by another protocol", "w1")]
    planned = missing(works, snapshot, weights_ready=lambda key: False)
    assert [work.key for work in planned] == ["w1", "t1 by another protocol"]
    assert planned[0].replaces == ("first",)
    assert answer(planned[0], snapshot) is None


def test_what_failed_before_is_left_out_unless_it_is_to_be_tried_again():
    snapshot = _held(_record("a", failure="crashed", attempt="bad"))
    assert _keys([_count("a"), _count("b")], snapshot) == ["b"]
    (again,) = missing([_count("a")], snapshot, weights_ready=lambda key: False, retry_failed=True)
    assert again.replaces == ("bad",)
    assert failed(_count("a"), snapshot).attempt == "bad"
    assert serving(_count("a"), snapshot) is None


def test_what_was_measured_after_a_failure_serves():
    snapshot = _held(_record("a", failure="crashed"), _record("a", attempt="b", at="2"))
    assert _keys([_count("a")], snapshot) == []
    assert failed(_count("a"), snapshot) is None
    assert serving(_count("a"), snapshot).attempt == "b"


def test_a_measurement_of_weights_that_failed_to_train_is_planned_once_to_say_so():
    works = [_train("w"), _top1("t", "w")]
    diverged = _record("w", measure="train", failure="diverged")
    assert _keys(works, _held(diverged)) == ["t"]
    assert _keys(works, _held(diverged, _record("t", measure="top1", failure="upstream"))) == []
    assert _keys(works, _held(diverged), retry_failed=True) == ["w", "t"]


def test_a_failure_for_want_of_weights_is_over_when_they_are_there_or_can_be_had():
    works = [_train("w"), _top1("t", "w")]
    upstream = _record("t", measure="top1", failure="upstream")
    diverged = _record("w", measure="train", failure="diverged")
    assert _keys(works, _held(diverged, upstream), ready=("w",)) == ["t"]
    assert _keys(works, _held(upstream)) == ["w", "t"]
    assert _keys([_top1("t", "w")], _held(upstream)) == []


def test_a_student_waits_for_its_teacher_and_says_so_when_that_failed():
    works = [_train("teacher"), _train("student", "teacher"), _top1("t", "student")]
    assert _keys(works) == ["teacher", "student", "t"]
    failures = [_record("teacher", measure="train", failure="diverged")]
    assert _keys(works, _held(*failures)) == ["student", "t"]
    failures.append(_record("student", measure="train", failure="upstream"))
    assert _keys(works, _held(*failures)) == ["t"]


def test_a_count_is_repeated_when_a_library_changed_and_only_then(monkeypatch):
    monkeypatch.setattr(machine, "version", {"timm": "1.0.31"}.get)
    assert _keys([_count("a")], _held(_record("a", bound={"timm": "1.0.31"}))) == []
    stale = _held(_record("a", bound={"timm": "1.0.20"}))
    assert _keys([_count("a")], stale) == ["a"]
    assert serving(_count("a"), stale) is None
    assert _keys([_count("a")], _held(_record("a", bound={}))) == []
    assert _keys([_top1("t", "w")], _held(_record("t", measure="top1", bound={"timm": "1.0.20"}))) == []
    failed_since = _record("a", bound={"timm": "1.0.31"}, failure="crashed", attempt="b", at="2")
    assert _keys([_count("a")], _held(_record("a", bound={"timm": "1.0.20"}), failed_since)) == []
    monkeypatch.setattr(machine, "version", lambda library: None)  # a login node without timm cannot tell
    assert _keys([_count("a")], stale) == []


def test_trainings_that_wait_for_each_other_are_named():
    works = [_train("a", "b"), _train("b", "c"), _train("c", "b"), _top1("t", "a")]
    with pytest.raises(UserError) as caught:
        _keys(works)
    assert str(caught.value) == "weights need themselves: study/b:0 → study/c:0 → study/b:0"


def test_an_answer_is_a_record_that_the_planner_did_not_know():
    old, new = _record("a", failure="crashed", attempt="old"), _record("a", failure="crashed", attempt="new", at="2")
    (work,) = missing([_count("a")], _held(old), weights_ready=lambda key: False, retry_failed=True)
    assert answer(work, _held(old)) is None
    assert answer(work, _held(old, new)) == new


def test_time_is_estimated_from_the_median_of_the_same_model_else_of_the_same_measure():
    snapshot = _held(
        _record("a", seconds=1.0),
        _record("b", seconds=3.0),
        _record("c", seconds=100.0),
        _record("d", seconds=7.0, model="swin"),
        _record("e", seconds=1000.0, failure="crashed"),
    )
    assert estimate([_count("x")], snapshot) == 3.0
    assert estimate([_count("x"), _count("y", model="swin")], snapshot) == 10.0
    assert estimate([_count("x", model="new")], snapshot) == 5.0
    assert estimate([], snapshot) == 0.0


def test_a_training_of_another_size_says_nothing_about_how_long_one_takes():
    def training(dim, pos_embed="learned"):
        model = Model(name="vit", knobs={"dim": dim, "pos_embed": pos_embed})
        return msgspec.structs.replace(_train("w"), trial=Trial(model=model, input=Input(image=8)))

    held = _held(
        msgspec.structs.replace(_record("a", measure="train", seconds=9.0), trial=training(dim=48).trial),
    )
    assert estimate([training(dim=48, pos_embed="none")], held) == 9.0
    assert estimate([training(dim=96)], held) is None


def test_a_program_takes_as_long_as_with_the_same_arguments_else_as_usual():
    def ran(epochs):
        named = Command(name="mine", arguments={"epochs": epochs})
        return Trial(task="command", command=named, model=Model(name="command:mine"), input=Input(image=None))

    def work(epochs):
        return Work(key=f"k{epochs}", measure="command", version=1, trial=ran(epochs))

    records = [_record(f"r{seconds}", measure="command", seconds=seconds) for seconds in (1.0, 9.0, 100.0)]
    trials = [ran(1), ran(9), ran(9)]
    held = _held(*(msgspec.structs.replace(record, trial=trial) for record, trial in zip(records, trials, strict=True)))
    assert estimate([work(1)], held) == 1.0
    assert estimate([work(5)], held) == 9.0


def test_time_is_not_guessed_without_history():
    assert estimate([_count("x")], Snapshot()) is None
    assert estimate([_count("x"), _top1("t", "w")], _held(_record("a"))) is None


def test_ten_thousand_works_are_planned_in_a_fraction_of_a_second():
    works = [work for n in range(5_000) for work in (_train(f"w{n}"), _top1(f"t{n}", f"w{n}"))]
    snapshot = _held(*(_record(f"t{n}", measure="top1") for n in range(0, 5_000, 2)))
    began = time.process_time()
    planned = _keys(works, snapshot)
    spent_s = time.process_time() - began
    assert len(planned) == 5_000
    assert spent_s < 0.5  # several times what it takes, for a slow machine
