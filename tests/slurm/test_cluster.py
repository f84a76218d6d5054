"""The cluster for tests is a real Slurm: it refuses, preempts and loses nodes as a site's does."""

import subprocess
import sys
from pathlib import Path

import pytest

from slurm.cluster import __main__ as command
from slurm.cluster import cluster
from slurm.cluster.daemons import command_of, environment_of, listening, until
from slurm.cluster.settings import Settings

pytestmark = pytest.mark.slurm

LONGEST_S = 120
"""No event of these tests takes longer, however slow the machine is."""


def _send(slurm, script, *options):
    """The job's number."""
    asked = ["--parsable", "--output=/dev/null", "--chdir=/", *options, f"--wrap={script}"]
    return slurm.call("sbatch", *asked, check=True).strip()


def _field(slurm, job, name):
    """What the controller says of a job in one field."""
    said = slurm.call("scontrol", "show", "job", "--oneliner", job)
    return dict(word.partition("=")[::2] for word in said.split()).get(name)


def _comes(slurm, job, name, value):
    came = until(LONGEST_S, lambda: _field(slurm, job, name) == value)
    assert came, f"{name} of job {job} is {_field(slurm, job, name)}, not {value}"


def _accounted(slurm, job):
    """State and exit code in the accounts."""
    return slurm.call("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=state,exitcode")


def test_every_node_takes_jobs(slurm):
    assert slurm.node_states() == {"n1": "idle", "n2": "idle", "n3": "idle", "n4": "idle"}


def test_the_accounts_know_how_a_job_ended(slurm):
    job = _send(slurm, "exit 3", "--job-name=ends")
    assert until(LONGEST_S, lambda: _accounted(slurm, job) == "FAILED|3:0\n"), _accounted(slurm, job)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--account=nobody", "Invalid account or account/partition combination specified"),
        ("--qos=nothing", "Invalid qos specification"),
        ("--partition=nowhere", "invalid partition specified: nowhere"),
        ("--gres=gpu:3", "Requested node configuration is not available"),
        ("--mem=3G", "Requested node configuration is not available"),
        ("--array=101", "Invalid job array specification"),
        ("--array=0-60", "Job violates accounting/QOS policy"),
    ],
)
def test_what_a_site_would_refuse_is_refused(slurm, option, said):
    asked = ["sbatch", "--parsable", "--output=/dev/null", option, "--wrap=true"]
    refused = subprocess.run(asked, env=slurm.environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert said in refused.stderr


def test_the_largest_index_of_an_array_is_one_below_the_limit(slurm):
    assert _send(slurm, "true", "--array=100", "--hold").isdecimal()


def test_jobs_that_share_a_node_see_different_gpus(slurm, tmp_path):
    script = (
        f"echo $CUDA_VISIBLE_DEVICES >>{tmp_path}/seen; until [ $(wc -l <{tmp_path}/seen) = 2 ]; do sleep 0.1; done"
    )
    jobs = [_send(slurm, script, "--nodelist=n1", "--gres=gpu:1") for _ in range(2)]
    for job in jobs:
        _comes(slurm, job, "JobState", "COMPLETED")
    assert sorted((tmp_path / "seen").read_text().split()) == ["0", "1"]


def test_a_job_of_two_gpus_sees_both(slurm):
    assert slurm.call("srun", "--gres=gpu:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", check=True) == "0,1\n"


@pytest.mark.parametrize(("partition", "becomes", "restarts"), [("low", "PENDING", "1"), ("spot", "PREEMPTED", "0")])
def test_a_job_gives_way_to_the_high_partition(slurm, partition, becomes, restarts):
    low = _send(slurm, "sleep 600", f"--partition={partition}", "--nodelist=n2", "--exclusive")
    _comes(slurm, low, "JobState", "RUNNING")
    high = _send(slurm, "sleep 600", "--partition=high", "--nodelist=n2", "--exclusive")
    _comes(slurm, high, "JobState", "RUNNING")
    _comes(slurm, low, "JobState", becomes)
    assert _field(slurm, low, "Restarts") == restarts


def test_jobs_survive_the_controller(slurm):
    job = _send(slurm, "sleep 600")
    _comes(slurm, job, "JobState", "RUNNING")
    before = slurm.controller.pid
    assert command.main(["--folder", str(slurm.places.folder), "restart-controller"]) == 0
    assert slurm.controller.pid not in {before, None}
    assert (_field(slurm, job, "JobState"), _field(slurm, job, "Restarts")) == ("RUNNING", "0")


def test_a_killed_node_is_down_and_comes_back(slurm):
    folder = str(slurm.places.folder)
    assert command.main(["--folder", folder, "kill-node", "n4"]) == 0
    assert until(LONGEST_S, lambda: slurm.node_states()["n4"].startswith("down")), slurm.node_states()
    assert command.main(["--folder", folder, "status"]) == 1
    assert command.main(["--folder", folder, "start-node", "n4"]) == 0
    assert until(LONGEST_S, lambda: slurm.node_states()["n4"] == "idle"), slurm.node_states()


def test_up_again_starts_nothing(slurm, capsys):
    before = cluster.status(slurm)
    cluster.up(slurm.places.folder, slurm.settings)
    assert cluster.status(slurm) == before
    assert capsys.readouterr().err == ""


def test_a_cluster_beside_another_is_changed_repaired_and_leaves_nothing(slurm, tmp_path, port, capsys):
    folder, wanted = tmp_path / "beside", Settings(nodes=1, gpus=0, accounting=False, port=port)
    one = cluster.up(folder, wanted)
    first = one.controller.pid

    more = cluster.up(folder, Settings(nodes=2, gpus=0, accounting=False, port=port))
    assert more.node_states() == {"n1": "idle", "n2": "idle"}
    assert more.controller.pid != first

    _send(more, "(setsid sleep 600 &); sleep 600", "--export=NONE")
    assert until(LONGEST_S, lambda: len(_started_with(more.mark, "sleep")) == 2)
    for daemon in more.daemons:
        daemon.kill()  # their pid files and sockets stay
    assert cluster.up(folder, more.settings).nodes_up()
    assert cluster.status(slurm)[0] == ("munged", f"pid {slurm.daemons[0].pid}")

    ports = [daemon.listens for daemon in more.daemons]
    cluster.purge(folder)
    assert not folder.exists()
    assert [at for at in ports if listening(at)] == []
    assert _started_with(more.mark) == []
    assert slurm.nodes_up()


def test_two_that_take_up_a_cluster_at_once_start_it_once(tmp_path, port):
    folder = tmp_path / "one"
    asked = ["up", "--nodes=2", "--gpus=0", "--no-accounting", f"--port={port}"]
    command_line = [sys.executable, "-P", "-m", "slurm.cluster", "--folder", str(folder), *asked]
    try:
        both = [subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [one.communicate(timeout=LONGEST_S)[1].splitlines() for one in both]
        assert [one.returncode for one in both] == [0, 0]
        started = ["started munged", "started slurmctld", "started slurmd n1", "started slurmd n2"]
        up = f"the cluster is up; in this shell: export SLURM_CONF={folder}/etc/slurm.conf"
        assert sorted(said, key=len) == [[up], [*started, up]]
    finally:
        cluster.purge(folder)


def test_a_guarded_cluster_ends_with_its_process_though_that_was_killed(tmp_path, port):
    folder = tmp_path / "guarded"
    script = (
        "import sys, time; from pathlib import Path; from slurm.cluster import cluster, settings\n"
        "folder = Path(sys.argv[1]); cluster.guard(folder)\n"
        "wanted = settings.Settings(nodes=1, gpus=0, accounting=False, port=int(sys.argv[2]))\n"
        "cluster.up(folder, wanted); print('up', flush=True); time.sleep(600)"
    )
    begun = [sys.executable, "-P", "-c", script, str(folder), str(port)]
    with subprocess.Popen(begun, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            mark = cluster.at(folder).mark
            assert len(_started_with(mark)) >= 3
        finally:
            owner.kill()
    assert until(LONGEST_S, lambda: not folder.exists())
    assert _started_with(mark) == []


def _started_with(mark, name=""):
    """Living processes with a variable in their environment."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if mark in environment_of(pid) and (command_of(pid) or "?").startswith(name)]
