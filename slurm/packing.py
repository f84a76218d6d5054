"""Packing: work into jobs, so that a short trial does not pay for a job of its own.

A unit is a training with the measurements that need it alone, or one measurement: what one worker does in a row. Units
that need other units' weights come in a later wave, whose jobs Slurm starts after the earlier ones. Within a wave the
longest units are spread first, each to the job that has least (Graham's rule: at most a third over the best packing).
"""

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.record import TRAIN
from bench.work import Work

Estimate = Callable[[Work], float | None]

UNKNOWN_S = 60.0
"""What a piece of work counts for when nothing like it was ever timed."""


@dataclass(kw_only=True)
class Unit:
    """What one worker does in a row."""

    works: list[Work] = field(default_factory=list)
    seconds: float = 0.0
    wave: int = 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work of one job, in its order."""

    works: tuple[Work, ...]
    seconds: float  # estimated


def units(works: Iterable[Work], estimate: Estimate) -> list[Unit]:
    """Work in an order in which it can be done, as units. Weights that nobody makes here are in the store already."""
    found: list[Unit] = []
    makes: dict[str, Unit] = {}
    for work in works:
        needed = {id(makes[key]): makes[key] for key in work.after if key in makes}
        wave = 1 + max((unit.wave for unit in needed.values()), default=-1)
        joins = len(needed) == 1 and work.measure != TRAIN
        unit = next(iter(needed.values())) if joins else Unit(wave=wave)
        if not joins:
            found.append(unit)
        unit.works.append(work)
        seconds = estimate(work)
        unit.seconds += UNKNOWN_S if seconds is None else seconds
        if work.measure == TRAIN:
            makes[work.key] = unit
    return found


def pack(found: Iterable[Unit], *, most_jobs: int, worth_s: float) -> list[list[Job]]:
    """Waves of jobs, at most so many in all, each of about `worth_s` seconds of work or one unit that takes longer.

    Of more waves than there may be jobs the last share one job, in their order.
    """
    most_jobs = max(1, most_jobs)
    waves: dict[int, list[Unit]] = {}
    for unit in found:
        waves.setdefault(unit.wave, []).append(unit)
    ordered = [waves[wave] for wave in sorted(waves)]
    alone, together = ordered[: most_jobs - 1], ordered[most_jobs - 1 :]
    if len(together) > 1:
        return [[_job(wave)] for wave in (*alone, [unit for wave in together for unit in wave])]
    wanted = _share([_jobs_worth(wave, worth_s) for wave in ordered], most_jobs)
    return [_spread(wave, jobs) for wave, jobs in zip(ordered, wanted, strict=True)]


def _jobs_worth(wave: list[Unit], worth_s: float) -> int:
    return max(1, min(len(wave), math.ceil(sum(unit.seconds for unit in wave) / worth_s)))


def _share(wanted: list[int], most: int) -> list[int]:
    """At most so many in all: one each, and what is left in proportion to what each wants beyond it."""
    beyond, left = sum(wanted) - len(wanted), most - len(wanted)
    if beyond <= left:
        return wanted
    return [1 + (count - 1) * left // beyond for count in wanted]


def _spread(wave: list[Unit], jobs: int) -> list[Job]:
    """The longest first, each to the job that has least; the job that has most comes first."""
    inside: list[list[Unit]] = [[] for _ in range(jobs)]
    filled = [(0.0, number) for number in range(jobs)]
    for unit in sorted(wave, key=lambda unit: -unit.seconds):
        seconds, number = heapq.heappop(filled)
        inside[number].append(unit)
        heapq.heappush(filled, (seconds + unit.seconds, number))
    found = [_job(units) for units in inside if units]
    return sorted(found, key=lambda job: -job.seconds)


def _job(units: list[Unit]) -> Job:
    return Job(
        works=tuple(work for unit in units for work in unit.works), seconds=math.fsum(unit.seconds for unit in units)
    )
