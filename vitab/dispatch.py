"""`vitab run --on slurm`: what is missing becomes jobs. Sending returns; any later `vitab` finds them again."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import crashes, lease, plan
from bench.errors import UserError
from bench.record import TRAIN
from bench.store import Snapshot, Store
from bench.work import Work
from reports.plain import plain_lines
from slurm import disks, distributed, elsewhere, lives, sending, submission
from slurm.limits import limits
from slurm.packing import Job, pack, units
from slurm.request import Request, request, site
from slurm.sending import Array, Send, Sent
from vitab import jobs, journal, running, stopping
from vitab.bill import Prices, bill, count, counts, line, within
from vitab.following import follow
from vitab.works import Selection, selections, works

LARGE = 1000
"""Trainings above which a call that nobody confirmed sends nothing."""

TEXTS = ("partition", "account", "qos", "constraint", "exclude", "comment")
"""Resources that are texts, whatever they look like."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Work that is ready to be sent."""

    name: str
    todo: tuple[Work, ...]
    waves: list[list[Job]]
    asked: Request
    largest: int  # array of the site


def main(options: argparse.Namespace) -> int:
    """The exit code: 0 sent or done, 1 when something failed or was left undone."""
    here()
    chosen = selections(options)
    store = Store(options.store)
    snapshot = store.read()
    sent_before: set[str] = set()
    ended: set[str] = set()
    for round_ in range(running.ROUNDS):
        todo = _todo(chosen, store, snapshot, retry_failed=options.retry_failed and round_ == 0)
        keys = {work.key for work in todo}
        taken = jobs.taken(store, todo) if todo else set()
        if sent_before >= keys and ended >= taken:  # nothing new, and no job lost that might do better elsewhere
            break
        sent_before |= keys
        ended |= taken
        watched = send(chosen, todo, store, snapshot, options)
        if watched is None:
            return 0
        snapshot = follow(watched, store, snapshot, name=chosen[0].grid.study.name) if watched else store.read(snapshot)
        stopped = crashes.repeated(watched, snapshot, options.stop_after)
        if stopped is not None:
            sys.stderr.write(f"{stopping.told(stopped)}\n")
        if stopped is not None or options.budget is not None:  # which is spent once
            break
    return finish(chosen, store, snapshot, options)


def finish(chosen: Sequence[Selection], store: Store, snapshot: Snapshot, options: argparse.Namespace) -> int:
    """Say what is left and why, print the tables."""
    left = _todo(chosen, store, snapshot, retry_failed=False)
    if left:
        sys.stderr.write(f"{count(len(left), 'piece')} of work not done; the same command sends what is left\n")
        queue = jobs.look(store)
        keys = {work.key for work in left}
        for said in jobs.sentences(queue.of(keys), keys) if queue is not None else ():
            sys.stderr.write(f"  {said}\n")
    code = running.show(chosen, store, snapshot, options.form)
    return 1 if left else code


def here() -> None:
    """Raises UserError where there is no Slurm."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "--on slurm: no Slurm on this machine: sbatch is not on the PATH; send from a login node,"
            " or leave --on away to run here"
        )


def _todo(chosen: Sequence[Selection], store: Store, snapshot: Snapshot, *, retry_failed: bool) -> list[Work]:
    wanted = (work for one in chosen for work in works(one, snapshot))
    return plan.missing(wanted, snapshot, weights_ready=store.weights_ready, retry_failed=retry_failed)


def send(
    chosen: Sequence[Selection], todo: Sequence[Work], store: Store, snapshot: Snapshot, options: argparse.Namespace
) -> list[Work] | None:
    """Send what is neither in hand nor in the list of a living job; what to watch then, None where that is not asked.

    Raises UserError with Slurm's own words where it refuses.
    """
    asked = resources(chosen, options)
    with sending.alone(store) if todo and not options.dry_run else contextlib.nullcontext():
        if not options.dry_run:
            asked, snapshot = _settled(todo, store, asked, options)
            todo = [work for work in todo if plan.answer(work, snapshot) is None]
        others = jobs.queued(jobs.must_look(store), snapshot) | lease.running(store).keys()
        free = [work for work in todo if work.key not in others]
        at_work = [work for work in todo if work.key in others]
        asked = distributed.asking(asked, free, given=_nodes_given(options))
        prices = Prices(snapshot=snapshot, asked=asked, processes=distributed.most(free))
        sent = _send_free(chosen, free, store, prices, options) if free else []
    if at_work:
        sys.stderr.write(f"{count(len(at_work), 'piece')} of work already with living jobs or in hand: not sent\n")
    if not todo:
        sys.stderr.write("nothing missing, nothing to send\n")
    if options.dry_run:
        return None
    if options.detach:
        sys.stderr.write(f"`vitab status {chosen[0].grid.study.name}` tells how far it is\n" if todo else "")
        if todo and any(jobs.later(one, snapshot) for one in chosen):
            sys.stderr.write(f"{jobs.LATER}\n")
        return None
    return [*sent, *at_work]


def _nodes_given(options: argparse.Namespace) -> bool:
    return "nodes" in site().request or any(text.startswith("nodes=") for text in options.slurm)


def _settled(
    todo: Sequence[Work], store: Store, asked: Request, options: argparse.Namespace
) -> tuple[Request, Snapshot]:
    """Record what has taken too many jobs with it. What lost nodes took goes to others, unless the call names them."""
    lost = lives.settle(sending.root(store), todo, store)
    nodes = {one.began.node for one in lost if one.state in lives.NODE_LOST and one.began.node}
    if any(text.startswith("exclude=") for text in options.slurm):
        return asked, store.read()
    avoiding = elsewhere.avoiding(asked, nodes)
    if avoiding is not asked:
        sys.stderr.write(f"not on {', '.join(sorted(nodes))}: lost with work of this study\n")
    return avoiding, store.read()


def _send_free(
    chosen: Sequence[Selection], free: Sequence[Work], store: Store, prices: Prices, options: argparse.Namespace
) -> list[Work]:
    """Send work that nobody has, or only show what would be sent; what was sent."""
    packed = _packed(chosen, free, prices, options)
    if options.dry_run:
        print("\n" + plain_lines(script(packed, store)).rstrip() if packed.todo else "")
        return []
    if not packed.todo:
        return []
    _confirm(packed, options)
    _send(packed, chosen, store, options)
    return list(packed.todo)


def _packed(chosen: Sequence[Selection], free: Sequence[Work], prices: Prices, options: argparse.Namespace) -> Packed:
    """Work in jobs, as far as the budget and the queue have room; the bill is said."""
    largest, most = limits(prices.asked)
    there = jobs.in_queue()
    room = prices.asked.jobs if most is None else min(prices.asked.jobs, most - there)
    if room < 1:
        raise UserError(
            f"the queue is full: this user may have {most} jobs in it and has {there};"
            " the same command sends what is left when there is room"
        )
    estimate = plan.estimator(prices.snapshot)
    paid, unpaid = within(units(free, estimate), prices, options.budget)
    waves = pack(paid, most_jobs=room, worth_s=60 * prices.asked.job_min) if paid else []
    name = ", ".join(one.name for one in chosen)
    out = sys.stdout if options.dry_run else sys.stderr
    out.write(plain_lines(bill(waves, prices, name=name, largest=largest)) + "\n")
    if unseen := disks.doubt(Store(options.store).path):
        out.write(plain_lines(line("store", unseen)) + "\n")
    if unpaid:
        dropped = [work for unit in unpaid for work in unit.works]
        out.write(line("budget", f"{options.budget:g} {prices.unit}: {counts(dropped)} do not fit: not sent") + "\n")
    todo = tuple(work for unit in paid for work in unit.works)
    return Packed(name=chosen[0].grid.study.name, todo=todo, waves=waves, asked=prices.asked, largest=largest)


def _confirm(packed: Packed, options: argparse.Namespace) -> None:
    trainings = sum(work.measure == TRAIN or work.trial.command is not None for work in packed.todo)
    if trainings > LARGE and not options.yes:
        raise UserError(f"{trainings:,} trainings are a large send: --yes sends them, --dry-run shows them")


def _send(packed: Packed, chosen: Sequence[Selection], store: Store, options: argparse.Namespace) -> None:
    sent = sending.prepare(
        packed.waves,
        store,
        packed.asked,
        study=packed.name,
        max_array_size=packed.largest,
        stop_after=options.stop_after,
    )
    for one in chosen:
        journal.write(store, one, on="slurm")
    try:
        sent = submission.submit(sent, hold=options.hold)
    except submission.Unsettled:
        raise
    except UserError:
        _forget(sent)
        raise
    names = ", ".join(str(array.id) for array in sent.send.arrays)
    noun = "array" if len(sent.send.arrays) == 1 else "arrays"
    held = "; held until `scontrol release`" if options.hold else ""
    sys.stderr.write(f"sent {counts(packed.todo)} in {count(sent.jobs, 'job')}: {noun} {names}{held}\n")


def _forget(sent: Sent) -> None:
    """Remove the folder of a send of which Slurm took nothing."""
    known = [one for one in sending.sends(Store(Path(sent.send.store))) if one.folder == sent.folder]
    if all(array.id is None for one in known for array in one.send.arrays):
        shutil.rmtree(sent.folder, ignore_errors=True)


def script(packed: Packed, store: Store) -> str:
    """The batch script of the first array; the folder that it names would be made when it is sent."""
    own = tuple(() for _ in packed.waves[0][: packed.largest])
    array = Array(name=f"vitab-{packed.name}", own=own)
    send = Send(store=str(store.path), study=packed.name, time="", commit=None, request=packed.asked, arrays=(array,))
    return submission.script(Sent(folder=sending.root(store) / "FOLDER", send=send), 0)


def resources(chosen: Sequence[Selection], options: argparse.Namespace) -> Request:
    """Of the specs, of the site file, of the command line; the later over the earlier."""
    own: dict[str, Any] = site().request
    typed: dict[str, Any] = {}
    for text in options.slurm:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise UserError(f"--slurm {text}: must be NAME=VALUE, such as --slurm partition=gpu")
        typed[name] = value if name in TEXTS else _number(value)
    return request(_of_specs(chosen, own | typed), own, typed)


def _of_specs(chosen: Sequence[Selection], over: dict[str, Any]) -> dict[str, Any]:
    """The largest of each number, the one that is said of each text. Raises UserError where two say different ones."""
    found: dict[str, Any] = {}
    for one in chosen:
        for name, value in msgspec.to_builtins(one.grid.study.spec.resources).items():
            if value is None or name == "timeout_min":  # of one piece of work: a job does many
                continue
            before = found.setdefault(name, value)
            if name not in TEXTS:
                found[name] = max(value, before)
            elif value != before and name not in over:
                raise UserError(
                    f"{one.name}: resources.{name} {value!r}, and {before!r} of a study before it:"
                    f" send them one by one, or say --slurm {name}=…"
                )
    return found


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
