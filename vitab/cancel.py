"""`vitab cancel`: end the Slurm jobs of a study. What is done stays done, and a training keeps its checkpoint."""

import argparse
import time

from bench.store import Store
from reports.plain import plain
from slurm import states
from vitab import jobs
from vitab.bill import count
from vitab.sent import name_of

PATIENCE_S = 30.0


def main(options: argparse.Namespace) -> int:
    """Cancel every living job that has work of the study. The exit code: 1 when some live on."""
    store = Store(options.store)
    name = name_of(options.study, store)
    mine = jobs.must_look(store).of_study(name).living
    if not mine:
        print(f"{name} · no job of it waits or runs")
        return 0
    others = {work.label.partition("/")[0] for job in mine for work in job.works} - {name}
    refused = states.cancel(sorted({job.name.partition("_")[0] for job in mine}))
    left = _wait(store, name, 0.0 if refused else PATIENCE_S)
    if refused and left:
        print(plain(f"{name} · {left} of {count(len(mine), 'job')} not cancelled: {refused}"))
        return 1
    shared = f"; they had work of {', '.join(sorted(others))} too" if others else ""
    print(f"{name} · {count(len(mine), 'job')} cancelled{shared}; what is done stays, `vitab run` goes on from there")
    if left:
        print(f"  {count(left, 'job')} not gone yet: Slurm gives them time to end")
    return 1 if left else 0


def _wait(store: Store, name: str, patience_s: float) -> int:
    """How many still live after a while."""
    deadline = time.monotonic() + patience_s
    while True:
        left = len(jobs.must_look(store).of_study(name).living)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(1)
