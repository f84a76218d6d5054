"""What a user of a cluster sees: who sends at once, what a terminal and a pipe show, how often Slurm is asked."""

import json
import os
import shutil
import subprocess
import time
from collections import Counter

import pytest

pytestmark = pytest.mark.slurm

COUNTS = """#!/bin/sh
echo "$@" >> "{log}"
exec {program} "$@"
"""


def lines(shell, event):
    """How often every key has an event in the raw lines of the store."""
    texts = [path.read_text() for path in (shell.folder / "runs/records").iterdir()]
    found = [json.loads(line) for text in texts for line in text.splitlines()]
    return Counter(line["key"] for line in found if line["event"] == event)


def wait(true, longest_s=120):
    deadline = time.monotonic() + longest_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_of_three_who_send_at_once_one_does_and_nothing_runs_twice(shell):
    asked = ("run", "counted.yaml", "--on", "slurm", "--detach", "--slurm", "memory_gb=0.9", "--slurm", "job_min=0.1")
    begun = [shell.start(*asked) for _ in range(3)]
    said = [one.communicate(timeout=120)[1] for one in begun]
    assert [one.returncode for one in begun] == [0, 0, 0]
    assert sum("sent 0 trainings, 3 measurements in 3 jobs" in one for one in said) == 1
    assert sum("3 pieces of work already with living jobs or in hand: not sent" in one for one in said) == 2
    wait(lambda: "done 3" in shell.call("status").stdout)
    assert (set(lines(shell, "start").values()), set(lines(shell, "end").values())) == ({1}, {1})


def test_on_a_terminal_a_line_lives_and_ctrl_c_ends_the_watching_alone(shell):
    words = ("run", "trained.yaml", "--on", "slurm", "--slurm", "memory_gb=0.9", "--hold")
    code, shown = shell.on_a_terminal(*words, then=lambda text: "waiting (1 × JobHeldUser)" in text)
    assert any("0/3 done · 0 failed" in line and "jobs: 1 waiting (1 × JobHeldUser)" in line for line in shown)
    assert shown[-1] == (
        "stopped after 0 of 3; the jobs go on; `vitab status trained` tells how far they are,"
        " `vitab cancel trained` ends them"
    )
    assert code == 130
    assert "1 waiting (1 × JobHeldUser)" in shell.call("status").stdout
    code, shown = shell.on_a_terminal("logs", "trained", "--follow", then=lambda text: "yet" in text)
    assert (code, [line for line in shown if line != "^C"]) == (130, ["no job has written anything yet"])
    assert shell.call("cancel", "trained").returncode == 0


def test_in_a_pipe_it_says_plain_lines_and_logs_end_with_the_jobs(shell):
    assert shell.send("trained.yaml", "--detach").returncode == 0
    followed = shell.start("logs", "trained/0.001", "--follow")
    watched = shell.call("run", "trained.yaml", "--on", "slurm")
    out, err = followed.communicate(timeout=120)
    assert (watched.returncode, followed.returncode) == (0, 0)
    assert err in ("", "no job has written anything yet\n")  # as soon as it is asked
    assert "\r" not in watched.stderr
    assert "\x1b" not in watched.stderr
    assert watched.stderr.splitlines()[0] == "3 pieces of work already with living jobs or in hand: not sent"
    assert watched.stderr.splitlines()[-1].startswith("3 done, 0 failed in ")
    assert "| 0.001 |" in watched.stdout
    told = [line.split(" ", 1)[1] for line in out.splitlines() if not line.startswith("==>")]
    assert [line.split(" in ")[0] for line in told] == [
        "trained/0.001:seed0 train …",
        "trained/0.001:seed0 train done",
        "trained/0.001:seed0 top1 …",
        "trained/0.001:seed0 top1 done",
        "trained/0.001 params …",
        "trained/0.001 params done",
    ]
    assert "done 3 · running 0 · waiting 0 · failed 0" in shell.call("status").stdout


def test_a_status_asks_slurm_once_however_many_jobs_and_sends_there_are(shell):
    text = (shell.folder / "counted.yaml").read_text()
    for name, levels in (("few", "1, 2"), ("more", "3, 4, 5")):
        shell.write(f"{name}.yaml", text.replace("1, 2, 3", levels).replace("counted", name))
        assert shell.send(f"{name}.yaml", "--detach", "--hold", "--slurm", "job_min=0.1").returncode == 0
    log = shell.folder / "asked"
    for name in ("squeue", "sacct", "scontrol", "sinfo", "sacctmgr"):
        path = shell.write(f"bin/{name}", COUNTS.format(log=log, program=shutil.which(name)))
        path.chmod(0o755)
    shell.variables["PATH"] = f"{shell.folder}/bin:{os.environ['PATH']}"
    said = shell.call("status").stdout
    assert ("2 waiting (2 × JobHeldUser)" in said, "3 waiting (3 × JobHeldUser)" in said) == (True, True)
    asked = log.read_text().splitlines()
    assert len(asked) == 2  # squeue once, sacct once
    assert sum("--states=all" in line for line in asked) == 1


PLUGIN = """
from bench.record import Quantity

VERSION = 1
DEPENDS_ON = ("model",)
PRODUCES = {"told": ("points", "higher")}

def measure(trial, subject):
    return {"told": Quantity(samples=(VALUE,), unit="points", better="higher")}
"""


def test_what_is_edited_while_jobs_wait_does_not_change_what_they_do(shell):
    shell.write("plugin/telling.py", PLUGIN.replace("VALUE", "1.0"))
    shell.write("plugin/telling-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: telling\nVersion: 1.0\n")
    shell.write("plugin/telling-1.0.dist-info/entry_points.txt", "[vitab.measures]\ntelling = telling\n")
    shell.variables["PYTHONPATH"] = f"{shell.folder}/plugin{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(":")
    text = (shell.folder / "counted.yaml").read_text()
    shell.write("telling.yaml", text.replace("[params]", "[told]").replace("counted", "telling"))
    sent = shell.send("telling.yaml", "--detach", "--hold")
    assert sent.returncode == 0, sent.stderr
    array = sent.stderr.rsplit("array ", 1)[1].split(";")[0]
    shell.write("plugin/telling.py", PLUGIN.replace("VALUE", "2.0"))
    shell.write("telling.yaml", "study: telling\nbase: {}\n")
    subprocess.run(["scontrol", "release", array], check=True)

    def ended():
        records = shell.folder / "runs/records"
        return records.is_dir() and sum(lines(shell, "end").values()) == 3

    wait(ended)
    texts = [path.read_text() for path in (shell.folder / "runs/records").iterdir()]
    records = [json.loads(line) for text in texts for line in text.splitlines()]
    ends = [one for one in records if one["event"] == "end"]
    assert [one["quantities"]["told"]["samples"] for one in ends] == [[1.0]] * 3
    (folder,) = (shell.folder / "runs.jobs").glob("*/send.json")
    commit = json.loads(folder.read_text()).get("commit")
    assert {one["environment"].get("commit") for one in ends} == {commit}
