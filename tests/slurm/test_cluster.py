"""The cluster for tests is a real Slurm: it refuses, preempts and loses nodes as a site's does."""

import pytest

pytestmark = pytest.mark.slurm


def test_every_node_takes_jobs(slurm):
    assert slurm.call("sinfo", "--noheader", "--Node", "--partition=high", "--format=%N %t").splitlines() == [
        "n1 idle",
        "n2 idle",
        "n3 idle",
        "n4 idle",
    ]
