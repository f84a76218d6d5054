"""Others come first: with or without a warning, with or without time to save, put back or ended."""

import os
import threading

from sweep import Result, Sweep

from provoked.fault import fault

UNHEARD = {"user_signal": False}
"""The site's default: what is preempted hears SIGTERM, and nothing ahead of it."""

GRACE = {"grace_s": 60}


def preempt(sweep: Sweep) -> None:
    """Others want every node, for two seconds."""
    nodes = sweep.cluster.settings.nodes
    sweep.call("sbatch", "--partition=high", f"--nodes={nodes}", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")


def preempted(sweep: Sweep, **asked: object) -> Result:
    """The sweep gives way while both of its jobs train."""
    sweep.send(**asked)
    sweep.wait_until_busy()
    preempt(sweep)
    sweep.wait_until_stopped()
    return sweep.finish(**asked)


@fault("preempted and put back, GraceTime 0, SIGUSR2 sent")
def preempted_with_signal(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted and put back, GraceTime 0, no signal but SIGTERM", site=UNHEARD)
def preempted_without_signal(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted and put back, GraceTime 60, SIGUSR2 sent", site=GRACE)
def preempted_with_signal_and_grace(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted and put back, GraceTime 60, no signal but SIGTERM", site=GRACE | UNHEARD)
def preempted_without_signal_with_grace(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted and ended, GraceTime 0; sent again")
def preempted_by_cancel(sweep: Sweep) -> Result:
    return preempted(sweep, partition="spot")


@fault("preempted and ended, GraceTime 60; sent again", site=GRACE)
def preempted_by_cancel_with_grace(sweep: Sweep) -> Result:
    return preempted(sweep, partition="spot")


@fault("`scontrol requeue` racing a preemption")
def requeue_races_preemption(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    racing = [
        threading.Thread(target=preempt, args=[sweep]),
        *(threading.Thread(target=sweep.cluster.call, args=("scontrol", "requeue", name)) for name in sweep.jobs()),
    ]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    sweep.wait_until_stopped()
    return sweep.finish()


@fault("preempted on nodes without `scontrol`", site={"grace_s": 10})
def without_scontrol(sweep: Sweep) -> Result:
    tools = sweep.folder / "bin"
    tools.mkdir()
    srun = sweep.cluster.call("sh", "-c", "command -v srun").strip()
    (tools / "srun").symlink_to(srun)
    settings = sweep.folder / "site.yaml"
    settings.write_text(f"setup: ['export PATH={tools}']\n")
    settings.chmod(0o600)
    before = os.environ.get("VITAB_SITE")
    os.environ["VITAB_SITE"] = str(settings)
    try:
        return preempted(sweep)
    finally:
        del os.environ["VITAB_SITE"]
        if before is not None:
            os.environ["VITAB_SITE"] = before


@fault(
    "SIGUSR2, then SIGTERM, to loaders' processes too",
    most_starts=3,
    site=UNHEARD | {"memory_mb": 8000},  # Slurm counts what the processes of a loader share once for each
    images=True,
    epochs=60,
)
def loaders(sweep: Sweep) -> Result:
    room = {"memory_gb": 3.5}
    sweep.send(**room)
    sweep.wait_until_busy()
    sweep.warn()
    sweep.wait_until_stopped()
    sweep.wait_until_busy()
    preempt(sweep)
    sweep.wait_until_stopped()
    found = sweep.finish(**room)
    said = "".join(path.read_text() for path in (sweep.store.path / "logs").glob("*.log"))
    assert "Traceback" not in said, said
    return found
