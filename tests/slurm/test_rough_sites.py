"""Sites that lack something or refuse half of it: no accounting, no scontrol, a full queue, a store that nodes miss."""

import os
import shutil
import subprocess
import time

import pytest

from slurm.cluster import cluster
from slurm.cluster.settings import Settings

pytestmark = pytest.mark.slurm


def told(shell, true, longest_s=120):
    """What a status says as soon as something is true of it."""
    deadline = time.monotonic() + longest_s
    while not true(said := shell.call("status").stdout):
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
    return said.splitlines()


def test_of_a_send_that_is_refused_half_way_what_was_taken_is_known_and_the_rest_is_sent_later(shell, slurm):
    filled = slurm.call("sbatch", "--parsable", "--hold", "--array=0-57", "--output=/dev/null", "--wrap=true").strip()
    shell.write("site.yaml", "{max_array_size: 1, max_submitted: 1000}")
    refused = shell.send("counted.yaml", "--detach", "--slurm", "job_min=0.1")
    assert refused.returncode == 2
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("sbatch: AssocMaxSubmitJobLimit; Batch job submission failed: Job violates accounting/QOS")
    assert "; 2 of 3 jobs were sent before that (arrays " in last
    assert last.endswith("), and the same command sends the rest")
    told(shell, lambda said: "done 2" in said)
    slurm.call("scancel", filled, check=True)
    again = shell.send("counted.yaml", "--detach")
    assert (again.returncode, "sent 0 trainings, 1 measurement in 1 job" in again.stderr) == (0, True)
    assert told(shell, lambda said: "done 3" in said)[0].startswith("counted · done 3 · running 0 · waiting 0")


def test_without_accounting_and_without_scontrol_nothing_waits_for_ever(shell, tmp_path, port):
    folder = tmp_path / "plain"
    cluster.guard(folder)
    one = cluster.up(folder, Settings(nodes=1, gpus=0, accounting=False, port=port))
    try:
        few = tmp_path / "few"
        few.mkdir()
        for name in ("sbatch", "srun", "squeue", "scancel", "git", "env", "sh"):
            (few / name).symlink_to(str(shutil.which(name)))
        shell.variables |= {"SLURM_CONF": str(one.places.slurm_conf), "PATH": str(few)}
        shown = shell.send("trained.yaml", "--dry-run")
        assert "  jobs         1 job in 1 array (of at most 100 jobs each)" in shown.stdout.splitlines()
        done = shell.send("trained.yaml")
        assert (done.returncode, done.stderr.splitlines()[-1].startswith("3 done, 0 failed in ")) == (0, True)
        assert "trained/0.001:seed0 top1 done in" in shell.call("logs", "trained").stdout
        dead = shell.call("run", "counted.yaml", "--on", "slurm", "--slurm", "memory_gb=0.05")
        assert dead.returncode == 1
        assert "out of memory" in dead.stdout, dead.stderr
        assert shell.send("counted.yaml", "--retry-failed", "--detach", "--hold").returncode == 0
        assert shell.call("cancel", "counted").stdout.startswith("counted · 1 job cancelled;")
    finally:
        cluster.purge(folder)


def test_a_controller_that_is_away_is_one_line(shell, slurm):
    assert shell.send("counted.yaml", "--detach", "--hold").returncode == 0
    slurm.controller.down()
    accounts = next(daemon for daemon in slurm.daemons if daemon.program == "slurmdbd")
    accounts.down()
    refused = shell.send("trained.yaml", "--detach")
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        2,
        "",
        "Slurm does not answer: neither squeue nor sacct says what became of the jobs; try again later\n",
    )
    said = shell.call("status").stdout.splitlines()
    assert said[1] == "  jobs: Slurm does not answer; the counts are the store's"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of its own takes root")
def test_a_node_that_does_not_see_the_store_is_named_by_what_it_lacks(shell, slurm):
    slurm.node("n4").down()
    hidden = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{shell.folder}' && exec slurmd -N n4"]
    subprocess.run(hidden, env=slurm.environment, check=True)
    try:
        cluster.up(slurm.places.folder, slurm.settings)
        sent = shell.send("counted.yaml", "--slurm", "exclude=n[1-3]")
        assert sent.returncode == 1
        last = sent.stderr.splitlines()[-1]
        assert last.endswith(
            f"wrote no log: its node does not see {shell.folder}/runs.jobs, which must be on a shared disk"
        )
    finally:
        slurm.node("n4").down()
