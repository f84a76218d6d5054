"""Property tests of packing: what goes in comes out once, in an order in which it can be done, spread about evenly."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.record import TRAIN
from bench.trial import Input, Model, Trial
from bench.work import Work
from slurm.packing import UNKNOWN_S, Job, Unit, pack, units

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine

TRIAL = Trial(model=Model(name="vit"), input=Input(image=8))


def a_training(key: str, *after: str) -> Work:
    return Work(key=key, measure=TRAIN, version=1, trial=TRIAL, weights_key=key, after=after)


def a_measurement(key: str, *after: str) -> Work:
    return Work(key=key, measure="top1", version=1, trial=TRIAL, after=after)


@st.composite
def plans(draw: st.DrawFn) -> list[Work]:
    """Trainings that start from earlier ones or from weights in the store, and measurements of any of them."""
    works: list[Work] = []
    trainings: list[str] = []
    for number in range(draw(st.integers(1, 25))):
        known = draw(st.lists(st.sampled_from([*trainings, "in the store"]), max_size=3, unique=True))
        if draw(st.booleans()):
            works.append(a_training(f"w{number}", *known))
            trainings.append(f"w{number}")
        else:
            works.append(a_measurement(f"m{number}", *known))
    return works


def seconds_of(work: Work) -> float:
    return float(1 + 7 * int(work.key[1:]) % 11)


def packed(plan: list[Work], most_jobs: int, worth_s: float) -> list[list[Job]]:
    return pack(units(plan, seconds_of), most_jobs=most_jobs, worth_s=worth_s)


@unhurried
@given(plan=plans(), most_jobs=st.integers(1, 12), worth_s=st.floats(0.5, 50))
def test_every_piece_of_work_is_in_exactly_one_job(plan, most_jobs, worth_s):
    inside = [work.key for wave in packed(plan, most_jobs, worth_s) for job in wave for work in job.works]
    assert sorted(inside) == sorted(work.key for work in plan)


@unhurried
@given(plan=plans(), most_jobs=st.integers(1, 12), worth_s=st.floats(0.5, 50))
def test_weights_come_before_what_needs_them_in_the_same_job_or_in_an_earlier_wave(plan, most_jobs, worth_s):
    place = {
        work.key: (wave_number, job_number, position)
        for wave_number, wave in enumerate(packed(plan, most_jobs, worth_s))
        for job_number, job in enumerate(wave)
        for position, work in enumerate(job.works)
    }
    for work in plan:
        for key in work.after:
            if key in place:
                mine, theirs = place[work.key], place[key]
                assert theirs[0] < mine[0] or (theirs[:2] == mine[:2] and theirs[2] < mine[2])


@unhurried
@given(plan=plans(), most_jobs=st.integers(1, 12), worth_s=st.floats(0.5, 50))
def test_no_more_jobs_than_allowed_and_none_without_work(plan, most_jobs, worth_s):
    waves = packed(plan, most_jobs, worth_s)
    assert 1 <= sum(len(wave) for wave in waves) <= most_jobs
    assert all(job.works for wave in waves for job in wave)


@unhurried
@given(plan=plans(), most_jobs=st.integers(1, 12), worth_s=st.floats(0.5, 50))
def test_a_job_counts_the_seconds_of_its_work(plan, most_jobs, worth_s):
    for wave in packed(plan, most_jobs, worth_s):
        assert [job.seconds for job in wave] == [sum(seconds_of(work) for work in job.works) for job in wave]


@unhurried
@given(plan=plans(), most_jobs=st.integers(1, 12), worth_s=st.floats(0.5, 50))
def test_the_same_plan_is_packed_alike(plan, most_jobs, worth_s):
    assert packed(plan, most_jobs, worth_s) == packed(plan, most_jobs, worth_s)


def best_makespan(seconds: list[int], jobs: int) -> int:
    """By trying every assignment."""
    return min(
        max(sum(one for one, place in zip(seconds, chosen, strict=True) if place == job) for job in range(jobs))
        for chosen in product(range(jobs), repeat=len(seconds))
    )


@settings(max_examples=60, deadline=None)
@given(seconds=st.lists(st.integers(1, 20), min_size=1, max_size=7), jobs=st.integers(1, 3))
def test_independent_work_is_spread_within_a_third_of_the_best(seconds, jobs):
    plan = [a_measurement(f"m{number}") for number in range(len(seconds))]
    took = dict(zip((work.key for work in plan), seconds, strict=True))
    (wave,) = pack(units(plan, lambda work: float(took[work.key])), most_jobs=jobs, worth_s=0.01)
    assert max(job.seconds for job in wave) <= (4 / 3) * best_makespan(seconds, jobs)


@given(seconds=st.lists(st.integers(0, 100), min_size=1, max_size=40), jobs=st.integers(1, 6))
def test_the_longest_comes_first_in_a_job_and_among_jobs(seconds, jobs):
    plan = [a_measurement(f"m{number}") for number in range(len(seconds))]
    took = dict(zip((work.key for work in plan), seconds, strict=True))
    (wave,) = pack(units(plan, lambda work: float(took[work.key])), most_jobs=jobs, worth_s=10)
    for job in wave:
        inside = [took[work.key] for work in job.works]
        assert inside == sorted(inside, reverse=True)
    assert [job.seconds for job in wave] == sorted((job.seconds for job in wave), reverse=True)


def test_a_training_and_what_measures_it_alone_are_one_unit():
    plan = [a_training("w0"), a_measurement("m1", "w0"), a_measurement("m2", "w0"), a_measurement("m3")]
    found = units(plan, lambda work: 2.0)
    assert [[work.key for work in unit.works] for unit in found] == [["w0", "m1", "m2"], ["m3"]]
    assert [(unit.seconds, unit.wave) for unit in found] == [(6.0, 0), (2.0, 0)]


def test_a_student_waits_for_its_teacher_in_a_later_wave():
    plan = [a_training("w0"), a_training("w1", "w0"), a_measurement("m2", "w0", "w1")]
    assert [unit.wave for unit in units(plan, seconds_of)] == [0, 1, 2]


def test_what_was_never_timed_counts_a_minute_and_what_takes_no_time_counts_none():
    known = {"m0": None, "m1": 0.0}
    (unknown, instant) = units([a_measurement("m0"), a_measurement("m1")], lambda work: known[work.key])
    assert (unknown.seconds, instant.seconds) == (UNKNOWN_S, 0.0)


def test_more_waves_than_jobs_share_the_last_one_in_their_order():
    chain = [a_training("w0"), *(a_training(f"w{number}", f"w{number - 1}") for number in range(1, 5))]
    waves = pack(units(chain, seconds_of), most_jobs=2, worth_s=1)
    assert [[[work.key for work in job.works] for job in wave] for wave in waves] == [
        [["w0"]],
        [["w1", "w2", "w3", "w4"]],
    ]


@pytest.mark.parametrize(("worth_s", "jobs"), [(10.0, 10), (25.0, 4), (100.0, 1), (1000.0, 1), (1.0, 10)])
def test_a_job_is_given_about_the_work_that_is_worth_its_start(worth_s, jobs):
    (wave,) = pack(
        [Unit(works=[a_measurement(f"m{number}")], seconds=10.0) for number in range(10)], most_jobs=99, worth_s=worth_s
    )
    assert len(wave) == jobs


def test_nothing_is_packed_into_nothing():
    assert pack([], most_jobs=5, worth_s=60) == []
