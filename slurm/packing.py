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
        unit.seconds += estimate(work) or UNKNOWN_S
        if work.measure == TRAIN:
            makes[work.key] = unit
    return found


def pack(found: Iterable[Unit], *, most_jobs: int, worth_s: float) -> list[list[Job]]:
    """Waves of jobs, at most so many in all, each of about `worth_s` seconds of work or one unit that takes longer."""
    waves: dict[int, list[Unit]] = {}
    for unit in found:
        waves.setdefault(unit.wave, []).append(unit)
    wanted = {wave: _jobs_worth(mine, worth_s) for wave, mine in waves.items()}
    over = sum(wanted.values()) / max(1, most_jobs)
    if over > 1:
        wanted = {wave: max(1, int(count / over)) for wave, count in wanted.items()}
    return [_spread(waves[wave], wanted[wave]) for wave in sorted(waves)]


def _jobs_worth(mine: list[Unit], worth_s: float) -> int:
    return max(1, min(len(mine), math.ceil(sum(unit.seconds for unit in mine) / worth_s)))


def _spread(mine: list[Unit], jobs: int) -> list[Job]:
    """The longest first, each to the job that has least."""
    filled: list[tuple[float, int, list[Unit]]] = [(0.0, number, []) for number in range(jobs)]
    for unit in sorted(mine, key=lambda unit: -unit.seconds):
        seconds, number, inside = heapq.heappop(filled)
        heapq.heappush(filled, (seconds + unit.seconds, number, [*inside, unit]))
    return [
        Job(works=tuple(work for unit in inside for work in unit.works), seconds=seconds)
        for seconds, _, inside in sorted(filled, key=lambda one: one[1])
        if inside
    ]
