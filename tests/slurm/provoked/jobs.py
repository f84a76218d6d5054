"""What happens to single jobs and their processes: cancelled, killed, too large, suspended."""

import os
import signal
import time

from sweep import HOG, Result, Sweep

from provoked.fault import fault
from slurm import states


@fault("cancelled while pending; sent again", most_starts=1)
def cancelled_pending(sweep: Sweep) -> Result:
    sweep.send(hold=True)
    states.cancel(sweep.ids)
    return sweep.finish()


@fault("cancelled while running; sent again")
def cancelled_running(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    states.cancel(sweep.ids)
    sweep.wait_until_ended()
    assert set(sweep.jobs().values()) == {"CANCELLED"}
    return sweep.finish()


@fault("one of two jobs cancelled; the other does its work")
def cancelled_one(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.call("scancel", next(iter(sweep.jobs())))
    return sweep.finish()


@fault("a worker killed")
def worker_killed(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    os.kill(sweep.processes("bench.worker")[0], signal.SIGKILL)
    return sweep.finish()


@fault("a job killed")
def job_killed(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    os.kill(sweep.processes("slurm.job")[0], signal.SIGKILL)
    return sweep.finish()


@fault("all jobs killed, and no accounting that tells; sent again", site={"accounting": False})
def jobs_killed_without_accounting(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.kill("slurm.job")
    sweep.wait_until_stopped()
    return sweep.finish()


@fault("out of memory", design=HOG)
def out_of_memory(sweep: Sweep) -> Result:
    sweep.send()
    for _ in range(3):  # each job that it takes with it leaves the rest to the next one
        sweep.wait_until_ended()
        if sweep.missing():
            sweep.send()
    return sweep.finish()


@fault("a training that fails by itself", most_starts=1, epochs=40, design="  one_factor: {train.lr: [1e12]}\n")
def diverging(sweep: Sweep) -> Result:
    sweep.send()
    return sweep.finish()


@fault("a job suspended and resumed", most_starts=1)
def suspended(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    name = next(iter(sweep.jobs()))
    sweep.call("scontrol", "suspend", name)
    sweep.wait(lambda: sweep.jobs()[name] == "SUSPENDED", "the suspension")
    time.sleep(2)  # in which nobody may take it for ended
    assert not sweep.ended()
    sweep.call("scontrol", "resume", name)
    return sweep.finish()
