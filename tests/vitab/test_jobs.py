"""Jobs as Slurm tells of them: why they ended, what they will still do, what to say."""

import pytest

from bench.record import Failure, Record
from bench.store import Snapshot, Store
from slurm import sending, states
from slurm.packing import Job
from slurm.request import Request
from slurm.states import JobState
from vitab import jobs
from vitab.works import select, works


@pytest.fixture
def sent(study):
    """The small study, sent in one array of two jobs; its store and its work."""
    store = Store(study.with_name("runs"))
    found = works(select("small.yaml"), Snapshot())
    waves = [[Job(works=tuple(found[:3]), seconds=1.0), Job(works=tuple(found[3:]), seconds=1.0)]]
    ready = sending.prepare(waves, store, Request(), study="small", max_array_size=10)
    sending.with_ids(ready, {ready.send.arrays[0].name: "7"})
    return store, found


def told(monkeypatch, *said):
    """Slurm says that of the jobs, in the order of their indices."""
    answer = {
        ("7", index): JobState(array="7", index=index, state=state, reason=reason)
        for index, (state, reason) in enumerate(said)
    }
    monkeypatch.setattr(states, "states", lambda ids: answer if ids == ["7"] else {})


def test_jobs_that_live_are_counted_with_their_reasons(sent, monkeypatch):
    store, found = sent
    told(monkeypatch, ("RUNNING", "None"), ("PENDING", "Priority"))
    queue = jobs.look(store)
    keys = {work.key for work in found}
    assert jobs.sentences(queue, keys) == ["jobs: 1 running, 1 waiting (1 × Priority)"]
    assert jobs.queued(queue, Snapshot()) == keys
    assert [job.name for job in queue.of_study("small").living] == ["7_0", "7_1"]
    assert queue.of_study("smaller").jobs == queue.of({"no such key"}).jobs == ()


def test_jobs_that_ended_are_told_while_work_of_theirs_is_left(sent, monkeypatch):
    store, found = sent
    told(monkeypatch, ("TIMEOUT", ""), ("COMPLETED", ""))
    queue = jobs.look(store)
    assert jobs.queued(queue, Snapshot()) == set()
    assert jobs.sentences(queue, {found[3].key}) == []
    assert jobs.sentences(queue, {found[0].key}) == [
        "jobs: 1 ended badly (1 × ran into its time limit)",
        "`--slurm timeout_min=N` gives a job more time",
    ]


def test_a_log_tells_that_memory_ran_out_and_no_log_that_a_node_saw_nothing(sent, monkeypatch):
    store, found = sent
    told(monkeypatch, ("FAILED", ""), ("FAILED", ""))
    queue = jobs.look(store)
    folder = queue.jobs[0].sent.folder
    (folder / "jobs" / "7_0_0_log.err").write_text("slurmstepd: error: Exceeded job memory limit\n")
    assert jobs.sentences(queue, {work.key for work in found}) == [
        "jobs: 2 ended badly (1 × out of memory, 1 × failed)",
        "`--slurm memory_gb=N` gives a job more memory",
        f"7_1 wrote no log: its node does not see {folder.parent}, which must be on a shared disk",
    ]


def test_what_failed_since_it_was_sent_is_not_queued_any_more(sent, monkeypatch):
    store, found = sent
    told(monkeypatch, ("RUNNING", "None"), ("RUNNING", "None"))
    work = found[0]
    failed = Record(
        key=work.key,
        measure=work.measure,
        version=work.version,
        attempt="a",
        time="2026-01-01T00:00:00.000+00:00",
        seconds=1.0,
        trial=work.trial,
        failure=Failure(kind="crashed", reason="it did"),
    )
    snapshot = Snapshot(attempts={work.key: (failed,)}, records={work.key: failed})
    assert jobs.queued(jobs.look(store), snapshot) == {one.key for one in found[1:]}


def test_slurm_that_does_not_answer_hides_nothing_of_the_store(sent, call, monkeypatch):
    monkeypatch.setattr(states, "states", lambda ids: None)
    said = call("status", "small.yaml").out.splitlines()
    assert said[0].startswith("small · done 0 · running 0 · waiting 12 · failed 0")
    assert said[1] == "  jobs: Slurm does not answer; the counts are the store's"
