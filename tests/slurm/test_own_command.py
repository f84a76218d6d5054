"""A program of the user's own as jobs of a real Slurm: put back into the queue, it goes on from what it has left."""

import json
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slurm

SPEC = """\
study: own
base: {task: command, command: {name: mine, width: 2}}
design: {one_factor: {command.width: [3]}}
quantities: {accuracy: {unit: "%", better: higher}}
columns: [accuracy]
"""
PROGRAM = """\
import json, os, signal, sys, time
trial = json.load(open(sys.argv[1]))
left = trial["checkpoints"] + "/epoch"
def save(*_):
    open(left, "w").write("1")
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
if not trial["resume"]:
    open(trial["checkpoints"] + "/../began", "w").write("1")
    time.sleep(600)
open(trial["quantities"], "w").write(json.dumps({"accuracy": 10 * trial["arguments"]["width"]}))
"""


def test_a_job_that_is_put_back_goes_on_from_what_the_program_left(shell):
    program = shell.write("program.py", PROGRAM)
    listed = shell.write("commands.yaml", f'mine: ["{sys.executable}", "{program}", "{{trial}}"]\n')
    shell.variables["VITAB_COMMANDS"] = str(listed)
    shell.write("own.yaml", SPEC)
    sent = shell.send("own.yaml", "--detach", "--slurm", "timeout_min=5", "--slurm", "job_min=0.01")
    assert sent.returncode == 0, sent.stderr
    began = shell.folder / "runs" / "weights"
    _until(lambda: len(list(began.glob("*/began"))) == 2)
    queued = set(_output("squeue", "--noheader", "--array", "--format=%A").split())
    _output("scancel", "--signal=USR2", *queued)
    _until(lambda: all(cell["state"] == "measured" for cell in _cells(shell).values()))
    assert {row: cell["value"] for row, cell in _cells(shell).items()} == {"2": 20.0, "3": 30.0}


def _cells(shell):
    table = shell.call("table", "own.yaml", "--as", "json")
    return {row["row"]: row["cells"]["accuracy"] for row in json.loads(table.stdout)["rows"]}


def _output(*command):

    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _until(condition, patience_s=120):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.3)
