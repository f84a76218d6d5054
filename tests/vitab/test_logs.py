"""`vitab logs` without a Slurm: of all, of a row, of a seed, as they grow, until Ctrl-C."""

import pytest

from bench.store import Snapshot, Store
from slurm import sending, states
from slurm.packing import Job
from slurm.request import Request
from slurm.states import JobState
from vitab import journal, logs
from vitab.works import select, works

FIRST = "09:00:01 small/2:seed0 train …\n09:00:09 small/2:seed0 train done in 8.0 s\n09:00:09 small/4:seed0 train …\n"
SECOND = "09:00:02 small/2:seed1 train …\n"
KILLED = "srun: error: n1: task 0: Killed\n"


@pytest.fixture
def folder(study, monkeypatch):
    """The logs of the small study, sent in two jobs, which run."""
    store, chosen = Store(study.with_name("runs")), select("small.yaml")
    found = works(chosen, Snapshot())
    waves = [[Job(works=tuple(found[:3]), seconds=1.0), Job(works=tuple(found[3:]), seconds=1.0)]]
    sent = sending.prepare(waves, store, Request(), study="small", max_array_size=10)
    sending.with_ids(sent, {sent.send.arrays[0].name: "7"})
    journal.write(store, chosen, on="slurm")
    for name, text in {"7_0_0_log.out": FIRST, "7_1_0_log.out": SECOND, "7_1_0_log.err": KILLED}.items():
        (sent.folder / "jobs" / name).write_text(text)
    told(monkeypatch, "RUNNING")
    return sent.folder / "jobs"


def told(monkeypatch, state):
    answer = {("7", index): JobState(array="7", index=index, state=state) for index in range(2)}
    monkeypatch.setattr(states, "states", lambda ids: answer)


def test_logs_are_of_every_job_its_output_before_its_errors(folder, call):
    assert call("logs", "small").out == (
        f"==> job 7_0, output <==\n{FIRST}==> job 7_1, output <==\n{SECOND}==> job 7_1, errors <==\n{KILLED}"
    )


def test_of_a_row_they_are_what_names_it_and_the_errors_of_the_jobs_that_did_it(folder, call):
    assert call("logs", "small", "2").out == (
        f"==> job 7_0, output <==\n{''.join(FIRST.splitlines(keepends=True)[:2])}"
        f"==> job 7_1, output <==\n{SECOND}==> job 7_1, errors <==\n{KILLED}"
    )
    assert call("logs", "small", "4").out == "==> job 7_0, output <==\n09:00:09 small/4:seed0 train …\n"


@pytest.mark.parametrize("words", [("small", "2:seed1"), ("small/2:seed1",), ("small.yaml", "2:seed1")])
def test_a_row_may_be_typed_as_a_status_writes_it(folder, call, words):
    assert call("logs", *words).out == (f"==> job 7_1, output <==\n{SECOND}==> job 7_1, errors <==\n{KILLED}")


def test_a_row_that_nobody_sent_is_one_line(folder, call):
    refused = call("logs", "small/2:seed9")
    assert (refused.code, refused.out, refused.err) == (2, "", "no row '2:seed9' was sent; sent: 2, 4\n")


def test_logs_are_followed_line_by_line_until_no_job_is_left(folder, call, monkeypatch):
    def grow(seconds):
        with (folder / "7_0_0_log.out").open("a") as log:
            if grow.times == 0:
                log.write("09:00:15 small/4:seed0 train do")
            else:
                log.write("ne in 6.0 s\n")
                told(monkeypatch, "COMPLETED")
        grow.times += 1

    grow.times = 0
    monkeypatch.setattr(logs.time, "sleep", grow)
    monkeypatch.setattr(logs, "SLURM_EVERY_S", 0.0)
    followed = call("logs", "small", "4", "--follow")
    assert followed.out == (
        "==> job 7_0, output <==\n09:00:09 small/4:seed0 train …\n09:00:15 small/4:seed0 train done in 6.0 s\n"
    )
    assert (followed.code, grow.times) == (0, 2)


def test_a_slurm_that_does_not_answer_for_a_while_ends_no_following(folder, call, monkeypatch):
    answers = iter([None, {("7", index): JobState(array="7", index=index, state="COMPLETED") for index in range(2)}])

    def silent(seconds):
        monkeypatch.setattr(states, "states", lambda ids: next(answers))

    monkeypatch.setattr(logs.time, "sleep", silent)
    monkeypatch.setattr(logs, "SLURM_EVERY_S", 0.0)
    assert call("logs", "small", "4", "-f").code == 0
    assert list(answers) == []


def test_ctrl_c_ends_the_following_without_a_word(folder, call, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(logs.time, "sleep", interrupted)
    followed = call("logs", "small", "4", "--follow")
    assert (followed.code, followed.err) == (130, "")
