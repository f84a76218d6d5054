"""The bill of a send: what it would do, in how many jobs, for how many core- or GPU-hours, and what a budget leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench import plan
from bench.errors import UserError
from bench.record import TRAIN
from bench.store import Snapshot
from bench.work import Work
from slurm.packing import Job, Unit
from slurm.request import Request
from vitab.durations import duration

LEAST_H = 0.01
"""Hours below which nobody counts."""

NEVER_TIMED = "the store holds no timing of work like"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of some work: what is known of it."""

    seconds: float  # of one worker, by the store's own timings
    untimed: int  # pieces of work that are not in it


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a second of a worker costs."""

    snapshot: Snapshot
    asked: Request
    processes: int = 1  # of a training, each with a GPU where jobs have some

    @property
    def unit(self) -> str:
        """GPU-hours or core-hours."""
        return "GPU-hours" if self.asked.gpus else "core-hours"

    @property
    def devices(self) -> int:
        """GPUs or cores of one worker."""
        return max(self.processes, self.asked.nodes) if self.asked.gpus else self.asked.nodes * self.asked.cpus

    def hours(self, seconds: float) -> float:
        """GPU- or core-hours of a worker's seconds."""
        return seconds / 3600 * self.devices

    def cost(self, works: Sequence[Work]) -> Cost:
        """By the store's own timings."""
        estimate = plan.estimator(self.snapshot)
        seconds = [estimate(work) for work in works]
        known = [one for one in seconds if one is not None]
        return Cost(seconds=math.fsum(known), untimed=len(seconds) - len(known))

    def said(self, works: Sequence[Work]) -> str:
        """About 3.2 core-hours, or what is not known of it."""
        cost = self.cost(works)
        if works and cost.untimed == len(works):
            return f"{self.unit} unknown: {NEVER_TIMED} it"
        hours = self.hours(cost.seconds)
        about = f"about {hours:.3g} {self.unit}" if hours >= LEAST_H else f"under {LEAST_H:g} {self.unit}"
        return about + (f", and {count(cost.untimed, 'piece')} of work never timed" if cost.untimed else "")


def within(units: Sequence[Unit], prices: Prices, budget: float | None) -> tuple[list[Unit], list[Unit]]:
    """Units that a budget in hours pays for, in their order, and those that it does not.

    What was never timed costs as long as it may take. Raises UserError where nothing bounds that.
    """
    if budget is None:
        return list(units), []
    estimate = plan.estimator(prices.snapshot)
    paid: list[Unit] = []
    unpaid: list[Unit] = []
    unmade: set[str] = set()  # weights that nobody will make
    left_s = budget * 3600 / prices.devices
    for unit in units:
        seconds = [_bound_s(work, estimate(work), prices.unit) for work in unit.works]
        needs = {key for work in unit.works for key in work.after}
        if math.fsum(seconds) <= left_s and not needs & unmade:
            left_s -= math.fsum(seconds)
            paid.append(unit)
        else:
            unpaid.append(unit)
            unmade |= {work.key for work in unit.works if work.measure == TRAIN}
    return paid, unpaid


def _bound_s(work: Work, estimate: float | None, unit: str) -> float:
    seconds = estimate if estimate is not None else work.timeout_s
    if seconds is None:
        raise UserError(
            f"--budget: {NEVER_TIMED} {work.label} {work.measure}, so nothing bounds its {unit};"
            " time one row first (--only ROW --seeds 1), or give the spec a resources.timeout_min"
        )
    return seconds


def bill(waves: Sequence[Sequence[Job]], prices: Prices, *, name: str, largest: int) -> str:
    """What would be sent, in how many jobs and arrays, what each asks for, and what it costs."""
    todo = [work for wave in waves for job in wave for work in job.works]
    jobs = sum(len(wave) for wave in waves)
    arrays = sum(math.ceil(len(wave) / largest) for wave in waves)
    order = f", in {len(waves)} waves one after another" if len(waves) > 1 else ""
    lines = [
        f"{name} · {counts(todo)}",
        line("jobs", f"{count(jobs, 'job')} in {count(arrays, 'array')} (of at most {largest:,} jobs each){order}"),
        line("each", _each(prices.asked)),
        line("cost", prices.said(todo)),
    ]
    if saved := _fewer_seeds(todo, prices):
        lines.append(line("fewer seeds", saved))
    return "\n".join(lines)


def _each(asked: Request) -> str:
    gpus = f", {count(asked.gpus, 'GPU')}" if asked.gpus else ""
    cores = count(asked.cpus * max(1, asked.gpus), "core")
    memory = f", {asked.memory_gb:g} GB" if asked.memory_gb is not None else ""
    limit = "the site's time limit" if asked.timeout_min is None else f"at most {duration(60 * asked.timeout_min)}"
    nodes = f", on {asked.nodes} nodes" if asked.nodes > 1 else ""
    partition = f"partition {asked.partition}" if asked.partition else "the site's partition"
    return f"{cores}{gpus}{memory}, {limit}, {partition}{nodes}"


def _fewer_seeds(todo: Sequence[Work], prices: Prices) -> str | None:
    """What the last seed costs."""
    seeds = sorted({work.trial.seed for work in todo if work.measure == TRAIN and work.trial.seed is not None})
    if len(seeds) < 2:
        return None
    last = [work for work in todo if work.trial.seed == seeds[-1]]
    return f"{len(seeds) - 1} instead of {len(seeds)} would save {counts(last)}: {prices.said(last)}"


def counts(works: Sequence[Work]) -> str:
    """3 trainings, 4 measurements."""
    trainings = sum(work.measure == TRAIN for work in works)
    return f"{count(trainings, 'training')}, {count(len(works) - trainings, 'measurement')}"


def line(head: str, said: str) -> str:
    """One line of the bill."""
    return f"  {head:<13}{said}"


def count(number: int, noun: str) -> str:
    """1 job, 2 jobs."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
