"""What is no regular file is written to and never replaced, and no spec of one is read twice."""

import os
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest

from bench.store import Store
from vitab import journal
from vitab.journal import Call


def test_a_table_written_through_a_link_leaves_the_link(call, study):
    kept = study.parent / "kept.md"
    kept.write_text("old")
    link = study.parent / "link.md"
    link.symlink_to(kept)
    dangling = study.parent / "dangling.md"
    dangling.symlink_to(study.parent / "new.md")
    for path in (link, dangling):
        assert call("table", study, "--out", path).code == 0
        assert path.is_symlink()
    assert kept.read_text() == (study.parent / "new.md").read_text()
    assert "patch" in kept.read_text()


@pytest.mark.parametrize("command", ["table small.yaml --out", "check small.yaml --junit"])
def test_a_pipe_gets_what_is_written_and_stays_a_pipe(call, study, command):
    pipe = study.parent / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    call(*command.split(), pipe)
    reader.join(10)
    assert pipe.is_fifo()
    assert "patch" in read[0] or "testsuites" in read[0]


def test_a_device_stays_a_device_and_a_full_one_is_one_line(call, study):
    assert call("table", study, "--out", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()
    full = call("table", study, "--out", "/dev/full")
    assert (full.code, full.err) == (2, "/dev/full: no space left on device\n")


def test_what_stands_in_the_file_behind_standard_output_is_kept(start, study):
    log = study.parent / "log.txt"
    log.write_text("before\n")
    with log.open("a") as behind:
        process = start("table", "small.yaml", "--out", "/dev/stdout", stdout=behind)
        process.wait(60)
    assert log.read_text().startswith("before\n")
    assert "patch" in log.read_text()


def test_a_spec_from_a_pipe_is_not_looked_for_again(start, call, study):
    process = start("run", "/dev/stdin", "--columns", "params", "--on", "debug", stdin=subprocess.PIPE)
    _, err = process.communicate(study.read_text(), timeout=60)
    assert process.returncode == 0, err
    assert call("status").out == "nothing was run with the store 'runs' yet\n"


def test_status_does_not_wait_for_a_spec_that_an_earlier_call_read_from_a_pipe(call, study):
    pipe = study.parent / "pipe.yaml"
    os.mkfifo(pipe)
    call("run", study, "--columns", "params", "--on", "debug")
    store = Store(study.parent / "runs")
    (known,) = journal.calls(store)
    told = Call(study=str(pipe), name="piped", time=known.time, host=known.host, pid=known.pid, started="0")
    folder = store.folder("studies", "piped")
    (folder / "call.json").write_bytes(msgspec.json.encode(told))
    said = call("status").out.splitlines()
    assert f"piped · {pipe} was a spec that cannot be read again" in said
    assert len(said) == 2
