"""Stopped at any moment and continued, and started sixteen times at once: the same table, and nothing done twice."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from bench import lease
from bench.store import Store

STUDY = """\
study: continued
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.5}
  train: {recipe: tiny, epochs: 100, warmup_epochs: 1}
  execution: {checkpoint_every_s: 0.1}
design:
  one_factor: {model.pos_embed: [none]}
seeds: 2
columns: [params, flops, top1]
"""

QUICK = """\
study: quick
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged, act: sleep 0.050}
design:
  one_factor: {data.act: [ACTS]}
columns: [points]
""".replace("ACTS", ", ".join(f"sleep 0.0{hundredths}" for hundredths in range(51, 62)))


def _workers(folder):
    """Ids of the workers of the store in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"bench.worker" in words and any(word.startswith(str(folder).encode()) for word in words):
            found.append(int(path.parent.name))
    return found


def _gone_within(folder, seconds):
    deadline = time.monotonic() + seconds
    while _workers(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _in_flight(snapshot):
    ended = {record.attempt for attempts in snapshot.attempts.values() for record in attempts}
    return [start for start in snapshot.starts if start.attempt not in ended]


def _wait(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_stopped_at_ten_random_moments_the_table_is_that_of_an_undisturbed_run(here, start, command, call):
    (here / "continued.yaml").write_text(STUDY)
    assert command("run", "continued.yaml", "--store", "undisturbed").code == 0
    chance, store, ran = random.Random(2), Store(here / "disturbed"), 0
    for stop in range(10):
        process = start("run", "continued.yaml", "--store", "disturbed")
        begun = len(store.read().starts)
        if stop % 3:  # in the midst of the work, a record's write or a checkpoint's rename
            _wait(lambda begun=begun, process=process: len(store.read().starts) > begun or process.poll() is not None)
        time.sleep(chance.uniform(0, 0.5))
        killer = signal.SIGINT if stop in (2, 4, 8) else signal.SIGKILL
        ran += process.poll() is None
        process.send_signal(killer)
        process.communicate(timeout=10)
        assert process.returncode == (-9 if killer == signal.SIGKILL else 130) or process.returncode == 0
        assert _gone_within(here / "disturbed", 5)
    assert ran >= 8  # it was not over before the moments came
    assert command("run", "continued.yaml", "--store", "disturbed").code == 0
    table, as_undisturbed = (
        call("table", "continued.yaml", "--store", name, "--as", "json").json for name in ("disturbed", "undisturbed")
    )
    assert table == as_undisturbed
    assert {cell["state"] for row in table["rows"] for cell in row["cells"].values()} == {"measured"}
    snapshot = store.read()
    assert {len(attempts) for attempts in snapshot.attempts.values()} == {1}
    assert len(snapshot.starts) == len(snapshot.records) + len(_in_flight(snapshot))
    assert len(_in_flight(snapshot)) <= 10 * 2  # what two workers had in hand at each stop
    assert lease.running(store) == {}


@pytest.mark.usefixtures("staged")
def test_sixteen_at_once_measure_everything_once_and_all_print_the_table(here, start):
    (here / "quick.yaml").write_text(QUICK)
    processes = [start("run", "quick.yaml", "--workers", "1") for _ in range(16)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 16
    snapshot = Store(here / "runs").read()
    assert len(snapshot.records) == 12
    assert len(snapshot.starts) == 12
    assert len({out for out, _ in said}) == 1
    assert "pending" not in said[0][0]
    assert "running" not in said[0][0]
    lasts = [err.splitlines()[-1] for _, err in said]
    assert [last for last in lasts if " done, 0 failed in " not in last and "nothing missing" not in last] == []


def test_ctrl_c_is_one_line_and_130_and_the_next_run_goes_on(here, start, call):
    (here / "continued.yaml").write_text(STUDY.replace("epochs: 100", "epochs: 2000"))
    process = start("run", "continued.yaml", "--columns", "top1")
    store = Store(here / "runs")
    _wait(lambda: len(list((here / "runs" / "weights").glob("*/checkpoint*"))) == 2)
    status = call("status").out.splitlines()
    assert status[0] == "continued · done 0 · running 2 · waiting 6 · failed 0"
    assert [line.strip().partition(" train on ")[0] for line in status[1:]] == [
        "continued/learned:seed0",
        "continued/learned:seed1",
    ]
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped after 0 of 8; the same command goes on from there"
    assert _workers(here) == []
    assert store.read().records == {}
    assert call("status").out == (
        "continued · done 0 · running 0 · waiting 8 · failed 0"
        " · nobody works on it: `vitab run continued.yaml` goes on\n"
    )


def test_nobody_reading_what_a_run_says_stops_it_like_ctrl_c(here, start):
    (here / "continued.yaml").write_text(STUDY.replace("epochs: 100", "epochs: 2000"))
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = start(
        "run", "continued.yaml", env=buffered
    )  # what could not be written is still to be written at the end
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert _gone_within(here, 5)
