"""Machines that go: a node, whole or in the eyes of the controller alone, and the controller itself."""

import time

from sweep import Result, Sweep

from provoked.fault import fault


@fault("a node lost, with its orphan alive and at work", least_starts=1)
def lost_node(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    node = sweep.node_of_a_job()
    sweep.cluster.node(node).kill()
    try:
        with sweep.held("bench.worker", node=node):  # at work still when the copy of their job begins, however fast
            sweep.wait(lambda: sweep.state_of(node).startswith("down"), "the loss of the node")
            sweep.wait(lambda: len(sweep.processes("slurm.job")) > len(sweep.processes("slurm.job", node)), "a copy")
        return sweep.finish()
    finally:
        sweep.revive(node)


@fault("a node gone with all its processes")
def killed_node(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    node = sweep.node_of_a_job()
    sweep.kill_node(node)
    try:
        return sweep.finish()
    finally:
        sweep.revive(node)


@fault("slurmctld killed and restarted during work", most_starts=1)
def controller_restarted(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.cluster.controller.kill()
    time.sleep(3)  # of a controller that is away, while work goes on
    sweep.cluster.controller.up(sweep.cluster.environment)
    return sweep.finish()
