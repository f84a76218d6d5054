"""Sweeps survive: the short ones of what `faults.py` provokes, and what is said of a job that cannot work."""

import msgspec
import pytest

from bench import micro_batches
from slurm import lives, sending, states
from slurm.states import JobState


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where sweeps lie, beside the one that nothing was done to."""
    return tmp_path_factory.mktemp("faults")


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["preempted_with_signal", "cancelled_one", "leftovers", "two_senders"])
def test_a_sweep_that_is_disturbed_ends_as_if_nothing_had_happened(name, slurm, faults, home):
    found = faults.provoke(name, home, slurm, epochs=40)
    assert (found.lost, found.doubled, found.anew, found.identical, found.failures) == (0, 0, 0, True, ())
    assert all(1 <= starts <= faults.FAULTS[name].most_starts for starts in found.starts)


@pytest.mark.slurm
def test_what_uses_up_the_memory_of_its_job_is_out_of_memory_and_its_neighbours_end_well(slurm, faults, home):
    found = faults.provoke("out_of_memory", home, slurm, epochs=40)
    assert (found.lost, found.doubled) == (0, 0)
    assert {failure.partition(": ")[0] for failure in found.failures} == {"out_of_memory", "upstream"}


@pytest.mark.slurm
def test_a_job_that_does_not_see_the_store_says_so_in_one_line_and_ends(slurm, faults, home):
    sweep = faults.Sweep(cluster=slurm, folder=home / "unseen")
    sweep.send(jobs=1, hold=True)
    (sweep.folder / "runs").rename(sweep.folder / "elsewhere")
    for name in sweep.jobs():
        sweep.call("scontrol", "release", name)
    sweep.wait(lambda: set(sweep.jobs().values()) == {"FAILED"}, "the end of the job")
    said = [line for line in sweep.logs().splitlines() if line and not line.startswith("srun: error")]
    assert said == [
        f"the store {sweep.folder / 'runs'} is not there; this node does not see the folder that was sent from"
    ]
    assert not (sweep.folder / "runs").exists()


@pytest.fixture
def ended(monkeypatch):
    """A function that says how Slurm ended jobs of array 1, by index; and makes this process job 1_9."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "1")

    def say(*words):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
        said = {("1", index): JobState(array="1", index=index, state=word) for index, word in enumerate(words)}
        monkeypatch.setattr(states, "states", lambda ids: said if ids else {})

    return say


def begin(monkeypatch, sent, index, *works):
    """Job 1_INDEX begins on work, and says no more."""
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
    monkeypatch.setenv("SLURMD_NODENAME", f"n{index}")
    life = lives.Life(sent.folder)
    for work in works:
        life.began(work.key, f"attempt {index}")
    return life


def settled(sweep, sent):
    """What is to be tried again, and what was recorded."""
    again = lives.settle(sent.folder.parent, sending.manifest(sent.folder), sweep.store)
    failures = {record.key: f"{record.failure.kind}: {record.failure.reason}" for record in sweep.records()}
    return [(one.began.key, one.began.node, one.state) for one in again], failures


@pytest.mark.parametrize(
    ("state", "log", "recorded"),
    [
        ("OUT_OF_MEMORY", "", "out_of_memory: it used up the memory of its job twice, lastly of job 1_1"),
        ("FAILED", "StepId=4.0 exceeded memory limit (9 > 8)", "out_of_memory: it used up the memory of its job twice,"
         " lastly of job 1_1"),
        ("CANCELLED", "Exceeded job memory limit", "out_of_memory: it used up the memory of its job twice, lastly of"
         " job 1_1"),
        ("FORGOTTEN", "Detected 1 oom_kill event", "out_of_memory: it used up the memory of its job twice, lastly of"
         " job 1_1"),
        ("FAILED", "task 0: Killed", "killed: its whole job was killed twice, lastly job 1_1"),
        ("PREEMPTED", "", None),
        ("CANCELLED", "CANCELLED AT 2026-11-21T10:50:35", None),
        ("TIMEOUT", "", None),
        ("RUNNING", "Exceeded job memory limit", None),
    ],
)  # fmt: skip
def test_what_took_two_whole_jobs_with_it_is_recorded_by_what_slurm_says_of_them(
    state, log, recorded, faults, tmp_path, monkeypatch, ended
):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for index in (0, 1):
        begin(monkeypatch, sent, index, work)
        (sent.folder / "jobs" / f"1_{index}_0_log.err").write_text(f"srun: error: {log}\n")
    ended(state, state)
    assert settled(sweep, sent) == ([], {} if recorded is None else {work.key: recorded})


def test_one_death_of_a_job_or_two_that_left_in_order_blame_nobody(faults, tmp_path, monkeypatch, ended):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for index in (0, 1, 2):
        life = begin(monkeypatch, sent, index, work)
        if index:
            life.left()
    with life.path.open("ab") as file:
        file.write(b'{"key": "tor')  # its job was ended within a line
    ended("FAILED", "FAILED", "FAILED")
    assert settled(sweep, sent) == ([(work.key, "n0", "FAILED")], {})


def test_two_lost_nodes_blame_nobody_and_are_known(faults, tmp_path, monkeypatch, ended):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for index in (0, 1):
        begin(monkeypatch, sent, index, work)
    ended("NODE_FAIL", "NODE_FAIL")
    assert settled(sweep, sent) == ([(work.key, "n0", "NODE_FAIL"), (work.key, "n1", "NODE_FAIL")], {})


def test_what_is_tried_again_after_its_record_is_forgiven_what_it_did_before(faults, tmp_path, monkeypatch, ended):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sent = sweep.prepare()
    (work, *_) = sending.manifest(sent.folder)
    for index in (0, 1):
        begin(monkeypatch, sent, index, work)
    ended("FAILED", "FAILED", "FAILED", "FAILED")
    assert list(settled(sweep, sent)[1]) == [work.key]
    tried = msgspec.structs.replace(work, replaces=("attempt 1",))
    assert lives.settle(sent.folder.parent, [tried], sweep.store) == []
    begin(monkeypatch, sent, 2, work)
    ended("FAILED", "FAILED", "FAILED", "FAILED")
    (lost,) = lives.settle(sent.folder.parent, [tried], sweep.store)
    assert (lost.job, len(sweep.records())) == ("1_2", 1)
    begin(monkeypatch, sent, 3, work)
    ended("FAILED", "FAILED", "FAILED", "FAILED")
    assert lives.settle(sent.folder.parent, [tried], sweep.store) == []
    assert len(sweep.records()) == 2


def test_a_training_that_may_be_split_is_tried_with_half_after_each_job_that_it_took_with_it(
    faults, tmp_path, monkeypatch, ended
):
    sweep = faults.Sweep(cluster=None, folder=tmp_path / "sweep")
    sweep.spec.write_text(sweep.text().replace("loader_workers: 2", "out_of_memory: split"))
    sent = sweep.prepare()
    work = next(work for work in sending.manifest(sent.folder) if work.measure == "train")
    for index in range(5):
        begin(monkeypatch, sent, index, work)
        ended(*["OUT_OF_MEMORY"] * 9)
        assert settled(sweep, sent)[1] == {}
        assert settled(sweep, sent)[1] == {}  # however often somebody looks
        assert micro_batches.noted(work, sweep.store).trial.execution.micro_batch == 16 // 2**index
    for index in (5, 6):  # one image at once is too many
        begin(monkeypatch, sent, index, work)
    ended(*["OUT_OF_MEMORY"] * 9)
    assert settled(sweep, sent)[1] == {
        work.key: "out_of_memory: it used up the memory of its job twice, lastly of job 1_6"
    }
