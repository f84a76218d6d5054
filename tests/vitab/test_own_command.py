"""A program of the user's own, from a spec to a table and back: through the command line, on processes of its own."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from bench.store import Store

SPEC = """\
study: own
base:
  task: command
  command: {name: mine, width: 2}
design:
  one_factor: {command.width: [3]}
seeds: 3
quantities: {accuracy: {unit: "%", better: higher}}
columns: [accuracy]
"""
PROGRAM = """\
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--out")
given = parser.parse_args()
print("width", given.width)
if given.width < 0:
    raise ValueError("no width")
open(given.out, "w").write(json.dumps({"accuracy": 10 * given.width + given.seed}))
"""


@pytest.fixture
def own(here, monkeypatch):
    """A spec, a program, and the list that names it."""
    (here / "own.yaml").write_text(SPEC)
    (here / "program.py").write_text(PROGRAM)
    words = f'"{here}/program.py", "{{arguments}}", --seed, "{{seed}}", --out, "{{quantities}}"'
    listed = here / "commands.yaml"
    listed.write_text(f'mine: ["{sys.executable}", {words}]\n')
    listed.chmod(0o600)
    monkeypatch.setenv("VITAB_COMMANDS", str(listed))
    return here


def _cells(table):
    return {row["row"]: row["cells"]["accuracy"] for row in table["rows"]}


def test_a_program_becomes_a_table_with_seeds_and_does_not_run_twice(own, call):
    ran = call("run", "own.yaml", "--workers", "1", "--as", "json")
    assert ran.code == 0, ran.err
    cells = _cells(ran.json)
    assert {row: (cell["value"], cell["std"], cell["n"], cell["unit"]) for row, cell in cells.items()} == {
        "2": (21.0, 1.0, 3, "%"),
        "3": (31.0, 1.0, 3, "%"),
    }
    assert cells["3"]["difference"] == {"value": 10.0, "half_width": 0.0}
    again = call("run", "own.yaml", "--workers", "1")
    assert "nothing missing" in again.err
    assert len(Store(own / "runs").read().starts) == 6
    why = call("why", "own.yaml", "3", "accuracy").out
    assert "command.arguments.width  3" in why
    (log,) = {line.split()[-1] for line in why.splitlines() if line.startswith("seed 0: log ")}
    assert (own / "runs" / log).read_text() == "width 3.0\n"


def test_a_program_runs_for_a_debugger_too_and_is_told_its_threads(own, call):
    (own / "program.py").write_text(PROGRAM + "import os\nprint('threads', os.environ['OMP_NUM_THREADS'])\n")
    ran = call("run", "own.yaml", "--on", "debug", "--seeds", "1", "--set", "execution.threads=2")
    assert ran.code == 0, ran.err
    assert {path.read_text() for path in own.glob("runs/weights/*/log.txt")} == {
        "width 2.0\nthreads 2\n",
        "width 3.0\nthreads 2\n",
    }


def test_what_fails_keeps_its_row_with_one_line_and_its_neighbours_go_on(own, call):
    (own / "own.yaml").write_text(SPEC.replace("width: 2", "width: -1"))
    ran = call("run", "own.yaml", "--workers", "1", "--as", "json")
    assert ran.code == 1
    failed = _cells(ran.json)["-1"]
    assert failed["state"] == "failed"
    assert failed["reason"] == "crashed: mine ended with exit code 1: ValueError: no width"
    assert _cells(ran.json)["3"]["state"] == "measured"


def test_a_program_that_takes_too_long_is_ended(own, call):
    (own / "program.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    (own / "own.yaml").write_text(SPEC.replace("seeds: 3", "seeds: 1\nresources: {timeout_min: 0.02}"))
    ran = call("run", "own.yaml", "--workers", "1", "--only", "3", "--as", "json")
    assert ran.code == 1
    assert _cells(ran.json)["3"]["reason"] == "timed out: longer than 1.2 s"
    for pid in own.glob("runs/weights/*/pid"):
        process = pid.read_text()
        _until(partial(_has_ended, process))


def test_ctrl_c_ends_the_program_too(own, start):
    (own / "program.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    running = start("run", "own.yaml", "--workers", "1", start_new_session=True)
    _until(lambda: any(path.read_text() for path in own.glob("runs/weights/*/pid")))
    os.killpg(running.pid, signal.SIGINT)
    running.wait(timeout=60)
    (pid,) = own.glob("runs/weights/*/pid")
    _until(lambda: _has_ended(pid.read_text()))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("  command: {name: mine, width: 2}\n", "", "task command names none: `command: NAME` or `command: {na"),
        ("task: command", "task: classify", "task 'classify' is done here and by no command: leave `command` out"),
        ("  task: command\n", "  train: {recipe: tiny}\n", "train is not a command's: what it is to do its own "),
    ],
)
def test_a_command_that_is_told_wrongly_is_one_line_at_its_place(own, call, before, after, said):
    (own / "own.yaml").write_text(SPEC.replace(before, after))
    planned = call("plan", "own.yaml")
    assert planned.code == 2
    assert said in planned.err
    assert planned.err.startswith("own.yaml:")
    assert planned.err.count("\n") == 1


def test_what_is_not_registered_is_a_need_and_is_tried_again(own, call):
    (own / "commands.yaml").write_text("other: [python]\n")
    ran = call("run", "own.yaml", "--workers", "1", "--seeds", "1", "--as", "json")
    assert {cell["state"] for cell in _cells(ran.json).values()} == {"needs"}
    assert _cells(ran.json)["3"]["reason"].startswith("no command 'mine'; allowed: other (")


def test_what_only_we_measure_is_not_asked_of_a_program(own, call):
    (own / "own.yaml").write_text(SPEC.replace("[accuracy]", "[accuracy, top1, params]"))
    cells = call("table", "own.yaml", "--as", "json").json["rows"][0]["cells"]
    assert cells["top1"]["reason"] == "to be declared, if the command gives it: `quantities: {top1: {unit: …}}`"
    assert cells["params"]["reason"] == "a model to measure params of: the command's own is not known here"


def _until(condition, patience_s=60):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def _has_ended(process):
    """Whether a process is gone, or dead and not reaped: it has no command line then."""
    try:
        return not Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
