"""What Slurm says of jobs, read from lines as it writes them, and from a real one."""

import subprocess
import time

import pytest

from bench.store import now
from slurm import states
from slurm.states import ENDED, RUNNING, WAITING, JobState, read_sacct, read_squeue

SQUEUE = """\
123|0|RUNNING|None
123|1|COMPLETED|None
123|4-9%2|PENDING|Dependency
77|0|RUNNING|None
124|N/A|RUNNING|None
125|2|PENDING|(Resources|x)
slurm_load_jobs error
"""


def words(found: dict[tuple[str, int], JobState]) -> dict[tuple[str, int], str]:
    return {place: one.state for place, one in found.items()}


def a_slurm_that_says(monkeypatch: pytest.MonkeyPatch, **said: str | None) -> list[tuple[str, ...]]:
    """Programs by name, and what they say; the commands that were asked."""
    asked: list[tuple[str, ...]] = []

    def ask(*command: str) -> str | None:
        asked.append(command)
        return said.get(command[0])

    monkeypatch.setattr(states, "ask", ask)
    return asked


def test_lines_of_squeue_are_read_one_by_one_and_as_ranges_of_arrays_that_were_asked_for():
    found = read_squeue(SQUEUE, {"123", "124", "125"})
    assert words(found) == {
        ("123", 0): "RUNNING",
        ("123", 1): "COMPLETED",
        **{("123", index): "PENDING" for index in range(4, 10)},
        ("125", 2): "PENDING",
    }
    assert found["123", 4].reason == "Dependency"
    assert found["125", 2].reason == "(Resources|x)"


def test_lines_of_sacct_are_read_with_their_waiting_rest():
    said = """\
123_0|COMPLETED
123_0.batch|COMPLETED
123_1|CANCELLED by 1000
123_2|TIMEOUT
123_2.batch|CANCELLED
123_3|FAILED
123_3.batch|FAILED
123_3.0|OUT_OF_MEMORY
123_[4-9%2]|PENDING
123_[12,14-15,20-24:2]|PENDING
123|RUNNING

123_30|
broken
"""
    assert words(read_sacct(said)) == {
        ("123", 0): "COMPLETED",
        ("123", 1): "CANCELLED",
        ("123", 2): "TIMEOUT",
        ("123", 3): "OUT_OF_MEMORY",
        **{("123", index): "PENDING" for index in (4, 5, 6, 7, 8, 9, 12, 14, 15, 20, 22, 24)},
    }


def test_a_list_that_slurm_cut_has_what_it_shows():
    assert words(read_sacct("9_[1-3,7...]|PENDING\n")) == {("9", index): "PENDING" for index in (1, 2, 3)}


def test_a_job_that_runs_again_is_not_out_of_memory_because_a_step_once_was():
    assert words(read_sacct("9_0|RUNNING\n9_0.0|OUT_OF_MEMORY\n")) == {("9", 0): "RUNNING"}


def test_the_queue_knows_what_lives_and_accounting_what_ended(monkeypatch):
    a_slurm_that_says(
        monkeypatch,
        squeue="9|0|RUNNING|None\n9|1|PENDING|BeginTime\n9|3|FAILED|NonZeroExitCode\n",
        sacct="9_0|PENDING\n9_1|NODE_FAIL\n9_2|COMPLETED\n9_3|FAILED\n9_3.0|OUT_OF_MEMORY\n",
    )
    found = states.states(["9"])
    assert found is not None
    assert words(found) == {
        ("9", 0): "RUNNING",
        ("9", 1): "PENDING",
        ("9", 2): "COMPLETED",
        ("9", 3): "OUT_OF_MEMORY",
    }


def test_a_job_that_lives_in_accounting_alone_has_ended(monkeypatch):
    a_slurm_that_says(monkeypatch, squeue="", sacct="9_0|RUNNING\n9_[1-2]|PENDING\n")
    found = states.states(["9"])
    assert found is not None
    assert {(one.state, one.life) for one in found.values()} == {("FORGOTTEN", "ended")}
    assert len(found) == 3


def test_without_an_answer_of_the_queue_accounting_is_believed(monkeypatch):
    a_slurm_that_says(monkeypatch, squeue=None, sacct="9_0|RUNNING\n")
    assert words(states.states(["9"]) or {}) == {("9", 0): "RUNNING"}


def test_without_accounting_what_the_queue_forgot_is_absent(monkeypatch):
    a_slurm_that_says(monkeypatch, squeue="9|1|RUNNING|None\n", sacct=None)
    assert words(states.states(["9"]) or {}) == {("9", 1): "RUNNING"}


def test_no_answer_is_not_an_empty_queue(monkeypatch):
    a_slurm_that_says(monkeypatch, squeue=None, sacct=None)
    assert states.states(["9"]) is None
    assert states.arrays_called(["a"]) is None


def test_slurm_is_asked_twice_however_many_arrays_there_are(monkeypatch):
    asked = a_slurm_that_says(monkeypatch, squeue="", sacct="")
    assert states.states([str(number) for number in range(500)]) == {}
    assert [command[0] for command in asked] == ["squeue", "sacct"]


def test_nothing_is_asked_about_nothing(monkeypatch):
    asked = a_slurm_that_says(monkeypatch)
    assert (states.states([]), asked) == ({}, [])


@pytest.mark.parametrize(
    ("state", "life"),
    [
        *((state, "waiting") for state in sorted(WAITING)),
        *((state, "running") for state in sorted(RUNNING)),
        *((state, "ended") for state in sorted(ENDED)),
        ("SOMETHING_NEW", "unknown"),
    ],
)
def test_every_state_has_one_life(state, life):
    assert JobState(array="1", index=0, state=state).life == life


def test_a_suspended_job_is_still_to_be_expected():
    assert JobState(array="1", index=0, state="SUSPENDED").life == "running"


@pytest.mark.usefixtures("_clock")
def test_arrays_are_found_by_the_names_of_their_jobs(monkeypatch):
    asked = a_slurm_that_says(monkeypatch, squeue="9|a|b\n10|c\n11|other\n", sacct="12_0|d\n12_1|d\n13|e.f\n")
    assert states.arrays_called(["a|b", "c", "z"]) == {"a|b": "9", "c": "10"}
    monkeypatch.setenv("TZ", "Pacific/Honolulu")  # ten hours behind, and where sacct reads times
    time.tzset()
    assert states.arrays_accounted(["d", "e.f"], "2026-01-01T09:30:00.123+00:00") == {"d": "12", "e.f": "13"}
    assert "--starttime=2025-12-31T22:30:00" in asked[-1]


@pytest.fixture
def _clock(monkeypatch):
    """The time zone that this process began with, at the end."""
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_program_that_is_not_there_fails_or_hangs_does_not_answer(monkeypatch):
    assert states.ask("no-such-program-of-slurm") is None
    assert states.ask("false") is None
    assert states.ask("echo", "ja") == "ja\n"
    monkeypatch.setattr(states, "TIMEOUT_S", 0.1)
    assert states.ask("sleep", "5") is None


@pytest.mark.slurm
def test_a_real_array_is_seen_waiting_and_cancelled(slurm, tmp_path):
    script = tmp_path / "array.sh"
    script.write_text("#!/bin/bash\nsleep 60\n")
    said = subprocess.run(
        ["sbatch", "--parsable", "--hold", "--array=0-40%3", "--job-name=vitab-seen", "--output=/dev/null", script],
        capture_output=True,
        text=True,
        check=True,
    )
    job = said.stdout.strip()
    assert states.arrays_called(["vitab-seen", "vitab-other"]) == {"vitab-seen": job}
    found = states.states([job, "999999"])  # an id that Slurm never gave changes nothing
    assert found is not None
    assert words(found) == {(job, index): "PENDING" for index in range(41)}
    assert {one.reason for one in found.values()} == {"JobHeldUser"}
    states.cancel([job])
    deadline = time.monotonic() + 60
    while {one.state for one in (states.states([job]) or {}).values()} != {"CANCELLED"}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slurm
def test_a_real_array_that_has_ended_is_found_in_accounting(slurm):
    sent = now()
    said = subprocess.run(
        ["sbatch", "--parsable", "--wait", "--array=0", "--job-name=vitab-ended", "--output=/dev/null", "--wrap=true"],
        capture_output=True,
        text=True,
        check=True,
    )
    deadline = time.monotonic() + 60
    while states.arrays_accounted(["vitab-ended"], sent) != {"vitab-ended": said.stdout.strip()}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("exit 0", ""),
        ("echo 'scancel: error: Kill job error on job id 7: Access/permission denied' >&2; exit 1",
         "scancel: error: Kill job error on job id 7: Access/permission denied"),
        ("exit 3", "scancel: exit code 3"),
    ],
)  # fmt: skip
def test_what_slurm_says_against_a_cancel_is_told(program, said, fake):
    (fake / "bin" / "scancel").write_text(f"#!/bin/sh\n{program}\n")
    (fake / "bin" / "scancel").chmod(0o755)
    assert states.cancel(["7"]) == said


def test_a_cancel_that_cannot_be_asked_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert states.cancel(["7"]) == "scancel: [Errno 2] No such file or directory: 'scancel'"
