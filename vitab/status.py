"""`vitab status`: what is done, running, waiting and failed, from any shell."""

import argparse
from collections import Counter
from typing import Any

import msgspec

from bench import lease, machine, plan
from bench.errors import UserError
from bench.lease import Holder
from bench.record import TRAIN
from bench.store import Snapshot, Store
from reports.answers import failure_text
from reports.plain import plain, plain_lines
from vitab import jobs
from vitab.bill import count
from vitab.jobs import Queue
from vitab.journal import Call
from vitab.planning import UNNAMED
from vitab.sent import named, selected, variations
from vitab.works import Selection, works

FORMAT = 1


def main(options: argparse.Namespace) -> int:
    """Print a line for every study, and one for every piece of work in hand."""
    store = Store(options.store)
    snapshot = store.read()
    running = lease.running(store)
    queue = jobs.look(store)
    said = [
        _counts(one, call, store, snapshot, running) | _jobs(one, call, store, snapshot, queue)
        for one, call in _studies(options.study, store)
    ]
    if options.as_json:
        print(msgspec.json.encode({"format": FORMAT, "studies": said, "running": sorted(running)}).decode())
        return 0
    for line in said:
        print(plain_lines(_sentence(line)))
    if not said:
        print(f"nothing was run with the store {str(options.store)!r} yet")
    for problem in snapshot.problems:
        print(plain(f"note: {problem}"))
    return 0


def _studies(names: list[str], store: Store) -> list[tuple[Selection | UserError, Call]]:
    """Studies to speak of: the last call of each, or those named."""
    wanted = variations(store)
    if names:
        wanted = [call for name in names for call in named(name, wanted) or [_unsent(name)]]
    found: list[tuple[Selection | UserError, Call]] = []
    for call in wanted:
        try:
            found.append((selected(call), call))
        except UserError as problem:
            if names:
                raise
            found.append((problem, call))  # its spec was moved or changed since: the others are told all the same
    return found


def _unsent(name: str) -> Call:
    """A study that was never run with this store."""
    return Call(study=name, name=name, time="", host="", pid=0, started="")


def _counts(
    one: Selection | UserError, call: Call, store: Store, snapshot: Snapshot, running: dict[str, Holder]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "study": call.name,
        "setting": call.setting,
        "options": call.options,
        "sent": call.time or None,
    }
    if isinstance(one, UserError):
        return said | {"problem": str(one)}
    said["study"] = one.grid.study.name
    every = {work.key: work for work in works(one, snapshot)}
    todo = plan.missing(every.values(), snapshot, weights_ready=store.weights_ready)
    failures = [record.failure for work in every.values() if (record := plan.failed(work, snapshot))]
    lacks = [record.failure for work in every.values() if (record := plan.lacking(work, snapshot))]
    done = {
        work.key
        for work in every.values()
        if (store.weights_ready(work.key) if work.measure == TRAIN else plan.serving(work, snapshot) is not None)
    }
    held = {
        key: running[key]
        for key in every
        if key in running
        and key not in done  # and has not just written its record
        and all(record.attempt != running[key].attempt for record in snapshot.attempts.get(key, ()))
    }
    return said | {
        "done": len(done),
        "running": len(held),
        "waiting": sum(work.key not in held and work.key not in done for work in todo),
        "failed": len(failures),
        "failures": dict(Counter(failure_text(failure) for failure in failures if failure)),
        "needs": dict(Counter(failure.reason.strip() or UNNAMED for failure in lacks if failure)),
        "active": _active(call),
        "in_hand": [{"work": f"{every[key].label} {every[key].measure}", "host": at.host} for key, at in held.items()],
        "command": call.command,
    }


def _jobs(
    one: Selection | UserError, call: Call, store: Store, snapshot: Snapshot, queue: Queue | None
) -> dict[str, Any]:
    """What Slurm says of a study's jobs; nothing of one that was never sent."""
    sent = {"again": call.again} if call.on == "slurm" else {}
    if queue is None:
        return sent | {"jobs": {"living": None, "said": ["jobs: Slurm does not answer; the counts are the store's"]}}
    if isinstance(one, UserError):
        return sent
    every = works(one, snapshot)
    mine = queue.of({work.key for work in every})
    if not mine.jobs:
        return sent
    left = plan.missing(every, snapshot, weights_ready=store.weights_ready)
    said = jobs.sentences(mine, {work.key for work in left})
    if mine.living:  # else the first line says what goes on
        unsent = {work.key for work in left} - jobs.queued(mine, snapshot) - lease.running(store).keys()
        if unsent:
            said.append(f"{count(len(unsent), 'piece')} of work in no job's list: `{call.again}` sends what is left")
        if jobs.later(one, snapshot):
            said.append(jobs.LATER)
    return sent | {"jobs": {"living": len(mine.living), "said": said}}


def _active(call: Call) -> bool | None:
    """Whether the process that was sent still runs; None: it is on another machine."""
    if call.host != machine.host():
        return None
    return call.pid != 0 and str(machine.start_time(call.pid)) == call.started


def _sentence(said: dict[str, Any]) -> str:
    name = said["study"] + (f" {said['options']}" if said["options"] else "")
    if "problem" in said:
        return f"{name} · {said['problem']}"
    parts = [f"{state} {said[state]}" for state in ("done", "running", "waiting", "failed")]
    for at, reasons in ((2, said["needs"]), (3, said["failures"])):
        if reasons:
            most = sorted(reasons.items(), key=lambda item: -item[1])[:3]
            more = ", …" if len(reasons) > len(most) else ""
            parts[at] += f" ({', '.join(f'{count} × {reason}' for reason, count in most)}{more})"
    sent = said.get("jobs", {"living": 0, "said": []})
    here = said["active"] and "again" not in said  # who sent to Slurm may still watch, and does none of it
    if said["waiting"] and not here and not said["running"] and sent["living"] == 0:
        again = said.get("again", f"vitab run {said['command']}")
        parts.append(f"nobody works on it: `{again}` goes on")
    lines = [f"{name} · " + " · ".join(parts)]
    lines += [f"  {line}" for line in sent["said"]]
    lines += [f"  {one['work']} on {one['host']}" for one in said["in_hand"][:20]]
    return "\n".join(lines)
