"""Progress on stderr: a live line on a terminal, plain lines in a log. Never a bar in a file."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import plan
from bench.record import TRAIN
from bench.store import Snapshot
from bench.work import Work
from bench.worker import Event
from reports.answers import failure_text
from reports.plain import plain
from vitab.durations import clock, duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

WORTH_A_LINE_S = 1.0  # in a log, work that took less is counted and not told
SUMMARY_EVERY_S = 30.0  # in a log


@dataclass(kw_only=True)
class Progress:
    """How far some work is."""

    todo: dict[str, Work]
    workers: int
    typical_s: dict[str, float]  # seconds that a piece of work of a measure should take
    one_study: bool = False
    bar: "Bar | None" = None  # None: plain lines
    began: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)
    done: int = 0
    failed: int = 0
    lacking: int = 0  # what they need: data, weights, a package
    running: dict[str, str] = field(default_factory=dict)  # key → what it says of itself
    held: set[str] = field(default_factory=set)
    took_s: dict[str, list[float]] = field(default_factory=dict)

    def hear(self, event: Event, work: Work) -> None:
        """Take in one event."""
        if event.event == "started":
            self.running[work.key] = f"{self.name(work)} {work.measure}"
        elif event.event == "progress":
            epoch, epochs = event.progress.get("epoch"), event.progress.get("epochs")
            if epoch is not None and epochs is not None:
                self.running[work.key] = f"{self.name(work)} epoch {epoch:g}/{epochs:g}"
        elif event.event == "held":
            self.held.add(work.key)
        elif event.event == "died":
            self.say(f"{self.name(work)} {work.measure}: its process died; tried once more")
        elif event.event == "done":
            self._finish(event, work)
        self.show()

    def _finish(self, event: Event, work: Work) -> None:
        self.running.pop(work.key, None)
        self.held.discard(work.key)
        self.done += 1
        self.todo.pop(work.key, None)
        if event.failure is not None:
            self.failed += event.failure.kind != "needs"
            self.lacking += event.failure.kind == "needs"
            self.say(f"{self.name(work)} {work.measure}: {failure_text(event.failure)}")
        elif event.seconds is not None:
            self.took_s.setdefault(work.measure, []).append(event.seconds)
            if self.bar is None and event.seconds >= WORTH_A_LINE_S:
                self.say(f"[{self.done}/{self.total}] {self.name(work)} {work.measure} {event.seconds:.1f} s")

    def name(self, work: Work) -> str:
        """Its label; without the study where there is only one."""
        return work.label.partition("/")[2] if self.one_study else work.label

    @property
    def total(self) -> int:
        """Pieces of work in all."""
        return self.done + len(self.todo)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def left_s(self) -> float | None:
        """Seconds that the rest will take, from what its like took here or before; None: not known yet."""
        total = 0.0
        for measure, count in Counter(work.measure for work in self.todo.values()).items():
            here = self.took_s.get(measure)
            seconds = statistics.fmean(here) if here else self.typical_s.get(measure)
            if seconds is None:
                return None
            total += count * seconds
        return total / self.workers

    def line(self) -> str:
        """done/total · failed · left · what runs."""
        left = self.left_s()
        parts = [f"{self.done}/{self.total} done", self.not_measured()]
        if self.held:
            parts.append(f"{len(self.held)} elsewhere")
        parts.append(f"{clock(left)} left" if left is not None and self.todo else clock(self.seconds))
        return " · ".join([*parts, *list(self.running.values())[:1]])

    def not_measured(self) -> str:
        """4 failed, or 2 failed, 2 with unmet needs."""
        return f"{self.failed} failed" + (f", {self.lacking} with unmet needs" if self.lacking else "")

    def show(self) -> None:
        """Say how far it is: at once on a terminal, now and then in a log."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, total=self.total, said=self.line())
        elif time.monotonic() - self.told >= SUMMARY_EVERY_S:
            self.say(self.line())

    def say(self, text: str) -> None:
        """One line that stays."""
        self.told = time.monotonic()
        text = plain(text)
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")


@contextmanager
def watching(
    todo: Sequence[Work],
    snapshot: Snapshot,
    *,
    workers: int,
    noun: str = "worker",
    stopped: str = "the same command goes on from there",
) -> Iterator[Progress]:
    """Progress while something runs; at the end one line says what was done, or after Ctrl-C what becomes of it."""
    progress = Progress(
        todo={work.key: work for work in todo},
        workers=workers,
        typical_s=_typical_s(todo, snapshot),
        one_study=len({work.label.partition("/")[0] for work in todo}) == 1,
        bar=_bar(),
    )
    trainings = sum(work.measure == TRAIN for work in todo)
    left = progress.left_s()
    about = "" if left is None else f" · about {duration(left)}"
    nouns = noun if workers == 1 else f"{noun}s"
    progress.say(f"{trainings} to train, {len(todo) - trainings} to measure · {workers} {nouns}{about}")
    try:
        if progress.bar is None:
            yield progress
        else:
            with progress.bar:
                progress.bar.add_task("", total=len(todo), said=progress.line())
                yield progress
    except KeyboardInterrupt as interrupted:
        said = f"stopped after {progress.done} of {progress.total}; {stopped}"
        raise KeyboardInterrupt(said) from interrupted
    gap = "\n" if progress.bar is not None and sys.stdout.isatty() else ""  # before the table, on one screen with it
    sys.stderr.write(f"{progress.done} done, {progress.not_measured()} in {clock(progress.seconds)}\n{gap}")


def _typical_s(todo: Sequence[Work], snapshot: Snapshot) -> dict[str, float]:
    """Seconds that a piece of work of every measure should take, where the store knows work like it."""
    typical = {}
    for measure in {work.measure for work in todo}:
        mine = [work for work in todo if work.measure == measure]
        seconds = plan.estimate(mine, snapshot)
        if seconds is not None:
            typical[measure] = seconds / len(mine)
    return typical


def _bar() -> "Bar | None":
    """A live bar where stderr is a terminal that can move its cursor."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    width = min(20, console.width // 4)
    bar = BarColumn(
        bar_width=width, complete_style="green", finished_style="green", table_column=Column(width=width, no_wrap=True)
    )
    said = TextColumn(
        "{task.fields[said]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
    )
    return Bar(bar, said, console=console, transient=True, expand=True)
