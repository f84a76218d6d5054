"""The command line and a real Slurm: what is sent once, refused in its words, told, cancelled, and comes back done."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from vitab.__main__ import main

pytestmark = pytest.mark.slurm

SPEC = """\
study: face
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.05}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  factorial: {train.lr: [1e-3, 2e-3]}
seeds: 2
columns: [params, top1]
"""

MEMORY = ("--slurm", "memory_gb=1")
LONGEST_S = 120


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def call(slurm, tmp_path, monkeypatch, capsys):
    """A function that runs a command line in a folder with a small study, beside a cluster."""
    (tmp_path / "face.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITAB_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("VITAB_STORE", "VITAB_DATA"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


def send(call, *words):
    return call("run", "face.yaml", "--on", "slurm", *MEMORY, *words)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("account=nobody", "Invalid account or account/partition combination specified"),
        ("qos=never", "Invalid qos specification"),
        ("memory_gb=999", "Requested node configuration is not available"),
    ],
)
def test_what_slurm_refuses_is_one_line_in_its_words_and_leaves_no_folder(call, asked, said):
    refused = send(call, "--detach", "--slurm", asked)
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("sbatch: ")
    assert said in refused.err.splitlines()[-1]
    assert list(Path("runs.jobs").glob("[!.]*")) == []


def test_a_dry_run_shows_the_bill_and_a_script_and_sends_nothing(call):
    shown = send(call, "--dry-run", "--slurm", "partition=normal", "--slurm", "gpus=1")
    bill, _, script = shown.out.partition("\n\n")
    assert bill.splitlines() == [
        "face · 4 trainings, 5 measurements",
        "  jobs         1 job in 1 array (of at most 101 jobs each)",
        "  each         1 core, 1 GPU, 1 GB, the site's time limit, partition normal",
        "  cost         GPU-hours unknown: the store holds no timing of work like it",
        "  fewer seeds  1 instead of 2 would save 2 trainings, 2 measurements: GPU-hours unknown:"
        " the store holds no timing of work like it",
    ]
    assert script.startswith("#!/bin/bash\n")
    assert {"#SBATCH --partition=normal", "#SBATCH --gpus-per-node=1", "#SBATCH --mem=1024M"} < set(script.splitlines())
    assert (shown.code, Path("runs.jobs").exists(), Path("runs").exists()) == (0, False, False)


def test_held_jobs_are_told_not_sent_again_and_cancelled(call):
    assert send(call, "--detach", "--hold").code == 0
    again = send(call, "--detach")
    assert again.err.splitlines()[0] == "9 pieces of work already with living jobs or in hand: not sent"
    assert call("status").out.splitlines() == [
        "face · done 0 · running 0 · waiting 9 · failed 0",
        "  jobs: 1 waiting (1 × JobHeldUser)",
    ]
    assert call("logs", "face").err == "no job has written anything yet\n"
    cancelled = call("cancel", "face.yaml")
    assert (cancelled.code, cancelled.out.partition(";")[0]) == (0, "face · 1 job cancelled")
    assert call("status").out.splitlines() == [
        "face · done 0 · running 0 · waiting 9 · failed 0 · nobody works on it:"
        " `vitab run face.yaml --on slurm --detach` goes on",
        "  jobs: 1 ended badly (1 × cancelled)",
    ]
    assert call("cancel", "face").out == "face · no job of it waits or runs\n"


def test_a_cancel_that_slurm_refuses_is_told_in_its_words(call, tmp_path, monkeypatch):
    assert send(call, "--detach", "--hold").code == 0
    scancel = tmp_path / "bin" / "scancel"
    scancel.parent.mkdir()
    scancel.write_text("#!/bin/sh\necho 'scancel: error: Access/permission denied' >&2; exit 1\n")
    scancel.chmod(0o755)
    with monkeypatch.context() as refusing:
        refusing.setenv("PATH", f"{scancel.parent}:{os.environ['PATH']}")
        refused = call("cancel", "face")
    assert (refused.code, refused.out) == (
        1,
        "face · 1 of 1 job not cancelled: scancel: error: Access/permission denied\n",
    )
    assert call("cancel", "face").code == 0


def test_a_full_queue_is_one_line(call, slurm):
    most = slurm.settings.max_submitted
    fill = ["sbatch", "--hold", f"--array=0-{most - 1}", "--output=/dev/null", "--wrap=true"]
    subprocess.run(fill, check=True, capture_output=True)
    refused = send(call, "--detach")
    assert refused.code == 2
    assert refused.err.startswith(f"the queue is full: this user may have {most} jobs in it and has {most};")
    assert list(Path("runs.jobs").glob("[!.]*")) == []


def test_a_detached_study_ends_with_the_local_table_and_nobody_watching(call):
    sent = send(call, "--detach", "--slurm", "job_min=2")
    assert sent.code == 0, sent.err
    deadline = time.monotonic() + LONGEST_S
    while "waiting 0 · failed" not in (said := call("status").out) or "running 0" not in said:
        assert "nobody works on it" not in said
        assert time.monotonic() < deadline, said
        time.sleep(1)
    assert said.splitlines()[0] == "face · done 9 · running 0 · waiting 0 · failed 0"
    on_slurm = call("table", "face.yaml").out
    local = call("run", "face.yaml", "--store", "elsewhere", "--workers", "1")
    assert (local.code, on_slurm) == (0, local.out)
    ends = [json.loads(line) for path in Path("runs/records").iterdir() for line in path.read_text().splitlines()]
    assert sorted(line["event"] for line in ends) == ["end"] * 9 + ["start"] * 9
    logs = call("logs", "face", "0.001").out
    assert "face/0.001:seed0 top1 done in" in logs
    assert "face/0.002" not in logs
    assert send(call).out == on_slurm  # nothing is missing: nothing is sent, and the table is printed
