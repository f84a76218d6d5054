"""The environment of Slurm's programs: what a user's shell may say, and what it must not overrule."""

import os

import pytest

from slurm import environment, states
from slurm.request import request

SHELL = {
    "SBATCH_PARTITION": "debug",
    "SBATCH_ACCOUNT": "lab",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_MEM_PER_CPU": "1",
    "SBATCH_GRES": "gpu:8",
}


@pytest.fixture
def _variables(monkeypatch):
    """Variables of a user's shell, outside of any job."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", *environment.FILTERS))]:
        monkeypatch.delenv(name)
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_variables")
@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, {"SBATCH_PARTITION", "SBATCH_ACCOUNT", "SBATCH_MEM_PER_CPU", "SBATCH_GRES"}),
        ({"partition": "gpu", "gpus": 1}, {"SBATCH_ACCOUNT", "SBATCH_MEM_PER_CPU"}),
        ({"account": "other", "memory_gb": 4}, {"SBATCH_PARTITION", "SBATCH_GRES"}),
    ],
)
def test_a_shell_says_what_a_request_leaves_open_and_nothing_else(asked, left):
    with environment.of_sending(request(asked)):
        assert {name for name in os.environ if name.startswith("SBATCH_")} == left
    assert SHELL.items() <= os.environ.items()


@pytest.mark.usefixtures("_variables")
def test_what_is_asked_about_jobs_is_not_filtered(monkeypatch):
    for name in ("SQUEUE_PARTITION", "SQUEUE_STATES", "SACCT_FORMAT", "SINFO_PARTITION", "SCANCEL_STATE"):
        monkeypatch.setenv(name, "debug")
    monkeypatch.setenv("SQUEUE_CLUSTERS", "second")
    said = (states.ask("env") or "").splitlines()
    assert [line for line in said if line.startswith(environment.FILTERS)] == ["SQUEUE_CLUSTERS=second"]
    assert "SLURM_BITSTR_LEN=0" in said


@pytest.mark.slurm
def test_settings_of_a_shell_change_neither_what_is_sent_nor_what_is_seen(slurm, shell):
    shell.variables |= {"SBATCH_PARTITION": "nowhere", "SBATCH_JOB_NAME": "mine", "SBATCH_NO_REQUEUE": "1"}
    shell.variables |= {"SQUEUE_PARTITION": "high"}
    sent = shell.send("counted.yaml", "--detach", "--hold", "--slurm", "partition=low")
    assert sent.returncode == 0, sent.stderr
    job = slurm.call("scontrol", "show", "job", sent.stderr.rsplit("array ", 1)[1].partition(";")[0])
    assert all(said in job for said in (" JobName=vitab-", " Partition=low ", " Requeue=1 ")), job
    assert shell.call("status").stdout.splitlines()[-1] == "  jobs: 1 waiting (1 × JobHeldUser)"
