"""The end of a job's time: warned in time, too late, or not at all."""

from sweep import Result, Sweep

from provoked.fault import fault

MINUTE = {"timeout_min": 1}
"""The shortest time limit that Slurm keeps."""


@fault("time limit of a minute, SIGUSR2 ahead of it", most_starts=3, epochs=60)  # Slurm may warn half a minute early
def time_limit(sweep: Sweep) -> Result:
    sweep.send(**MINUTE, warning_s=20)
    sweep.wait_until_busy()
    with sweep.held("bench.worker"):  # however fast they are, time is up first
        sweep.wait(sweep.told_to_go, "the warning")
    sweep.wait_until_stopped()
    return sweep.finish()


@fault("SIGUSR2 three times over: put back each time", most_starts=4)
def warned(sweep: Sweep) -> Result:
    sweep.send()
    for _ in range(3):
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
