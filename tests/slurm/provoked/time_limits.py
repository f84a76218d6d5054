"""The end of a job's time: warned in time, too late, or not at all."""

from sweep import Result, Sweep

from provoked.fault import fault

MINUTE = {"timeout_min": 1}
"""The shortest time limit that Slurm keeps."""


@fault("time limit of a minute, SIGUSR2 ahead of it")
def time_limit(sweep: Sweep) -> Result:
    sweep.send(**MINUTE, warning_s=25)
    sweep.wait_until_busy()
    with sweep.held("bench.worker"):  # however fast they are, time is up first
        sweep.wait(sweep.told_to_go, "the warning")
    sweep.wait_until_stopped()
    return sweep.finish(**MINUTE, warning_s=25)


@fault("SIGUSR2 by hand: put back")
def warned(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.warn()
    sweep.wait_until_stopped()
    return sweep.finish()


@fault("a checkpoint slower than the warning")
def slow_checkpoint(sweep: Sweep) -> Result:
    sweep.send(warning_s=15)
    sweep.wait_until_busy()
    with sweep.held("bench.worker"):
        sweep.warn()
        sweep.wait_until_stopped()
    return sweep.finish()


@fault("time limit of a minute, the warning unheard; sent again")
def time_limit_unheard(sweep: Sweep) -> Result:
    sweep.send(**MINUTE, warning_s=20)
    sweep.wait_until_busy()
    with sweep.held("bench.worker", "slurm.job"):
        sweep.wait(lambda: set(sweep.jobs().values()) == {"TIMEOUT"}, "the time limit")
    return sweep.finish()
