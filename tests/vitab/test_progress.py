"""What a run says while it runs: a live line on a terminal, plain lines elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from bench.record import Failure
from bench.trial import Input, Model, Trial
from bench.work import Work
from bench.worker import Event
from vitab import progress
from vitab.progress import Progress


def _work(key, measure="params", study="study"):
    trial = Trial(model=Model(name="vit"), input=Input(image=8))
    return Work(key=key, measure=measure, version=1, trial=trial, label=f"{study}/{key}:seed0")


def _progress(*works, **more):
    todo = {work.key: work for work in works}
    return Progress(**({"todo": todo, "workers": 2, "typical_s": {}, "one_study": True} | more))


def _done(key, seconds=0.1, failure=None):
    return Event(event="done", key=key, seconds=seconds, failure=failure)


def test_the_line_says_what_is_done_what_failed_what_is_left_and_what_runs():
    works = [_work(f"row{n}", "train") for n in range(4)]
    one = _progress(*works, typical_s={"train": 30.0})
    assert one.line() == "0/4 done · 0 failed · 01:00 left"
    one.hear(Event(event="started", key="row0"), works[0])
    assert one.line() == "0/4 done · 0 failed · 01:00 left · row0:seed0 train"
    one.hear(Event(event="progress", key="row0", progress={"epoch": 3, "epochs": 20}), works[0])
    assert one.line() == "0/4 done · 0 failed · 01:00 left · row0:seed0 epoch 3/20"
    one.hear(_done("row0", seconds=20.0), works[0])
    assert one.line() == "1/4 done · 0 failed · 00:30 left"
    one.hear(Event(event="held", key="row1"), works[1])
    assert one.line() == "1/4 done · 0 failed · 1 elsewhere · 00:30 left"
    one.hear(_done("row1", failure=Failure(kind="crashed", reason="it broke")), works[1])
    assert one.line() == "2/4 done · 1 failed · 00:20 left"


def test_time_left_is_not_guessed_without_history():
    one = _progress(_work("a"), _work("b", "train"), typical_s={"params": 1.0})
    assert one.line() == "0/2 done · 0 failed · 00:00"


def test_a_log_has_a_line_for_what_took_long_and_for_what_failed(capsys):
    works = [_work("quick"), _work("long", "train"), _work("broken"), _work("died")]
    one = _progress(*works)
    one.hear(_done("quick", seconds=0.2), works[0])
    one.hear(_done("long", seconds=12.34), works[1])
    one.hear(_done("broken", failure=Failure(kind="out_of_memory", reason="no memory left")), works[2])
    one.hear(Event(event="died", key="died"), works[3])
    assert capsys.readouterr().err.splitlines() == [
        "[2/4] long:seed0 train 12.3 s",
        "broken:seed0 params: out of memory: no memory left",
        "died:seed0 params: its process died; tried once more",
    ]


def test_a_log_hears_now_and_then_how_far_it_is(capsys, monkeypatch):
    works = [_work("a"), _work("b")]
    one = _progress(*works)
    monkeypatch.setattr(progress, "SUMMARY_EVERY_S", 0.0)
    one.hear(_done("a"), works[0])
    assert capsys.readouterr().err == "1/2 done · 0 failed · 00:00 left\n"


def test_studies_are_named_where_there_are_several():
    works = [_work("a", study="one"), _work("a2", study="other")]
    one = _progress(*works, one_study=False)
    one.hear(Event(event="started", key="a"), works[0])
    assert one.line().endswith(" · one/a:seed0 params")


STUDY = """\
study: quick
question: How long is a second?
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: staged, act: sleep 0.2}
design:
  one_factor: {data.act: [sleep 0.21, sleep 0.22, sleep 0.23]}
columns: [points]
"""


def _on_a_terminal(folder, columns, **environment):
    """Everything that a run writes to a terminal so wide, and its exit code."""
    (folder / "quick.yaml").write_text(STUDY)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "vitab", "run", "quick.yaml", "--workers", "1"],
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    return said.decode(), process.wait()


ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.usefixtures("staged")
@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal_one_line_moves_and_leaves_nothing_behind(here, columns):
    said, code = _on_a_terminal(here, columns)
    assert code == 0
    frames = [ESCAPE.sub("", frame).rstrip() for frame in re.split(r"[\r\n]+", said) if "━" in frame]
    assert frames
    assert {len(frame.partition(" ")[0]) for frame in frames} == {columns // 4}  # the bar keeps its width
    assert max(map(len, frames)) <= columns
    assert frames[-1].partition(" ")[2].lstrip().startswith("4/4 done")  # older versions of rich leave a wider gap
    assert "\x1b[32m" in said
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1  # the cursor comes back
    last = said.rpartition("\x1b[2K")[2]  # what stands there after the moving line was wiped away
    assert ESCAPE.search(last) is None
    assert last.startswith("4 done, 0 failed in ")
    assert "\r\n\r\nquick · How long is a second?" in last


@pytest.mark.usefixtures("staged")
def test_who_wants_no_colour_gets_none(here):
    said, code = _on_a_terminal(here, 80, NO_COLOR="1")
    assert code == 0
    assert "━" in said
    assert re.search(r"\x1b\[[0-9;]+m", said) is None


@pytest.mark.usefixtures("staged")
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(here):
    said, code = _on_a_terminal(here, 80, TERM="dumb")
    assert code == 0
    assert "\x1b" not in said
    assert "━" not in said
    assert "0 to train, 4 to measure · 1 worker" in said
