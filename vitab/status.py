"""`vitab status`: what is done, running, waiting and failed, from any shell."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from bench import lease, machine, plan
from bench.errors import UserError
from bench.lease import Holder
from bench.record import TRAIN
from bench.store import Snapshot, Store
from reports.answers import failure_text
from reports.plain import plain, plain_lines
from vitab import journal
from vitab.journal import Call
from vitab.planning import UNNAMED
from vitab.streams import is_stream
from vitab.works import Selection, select, works

FORMAT = 1


def main(options: argparse.Namespace) -> int:
    """Print a line for every study, and one for every piece of work in hand."""
    store = Store(options.store)
    snapshot = store.read()
    running = lease.running(store)
    said = [_counts(one, call, store, snapshot, running) for one, call in _studies(options.study, store)]
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
    latest: dict[tuple[str, str | None, tuple[str, ...]], Call] = {}
    for call in journal.calls(store):
        variation = call.name, call.setting, call.sets
        latest[variation] = _together(latest[variation], call) if variation in latest else call
    if names:
        named = []
        for name in names:
            known = [call for call in latest.values() if name in (call.name, call.study) or _same_file(name, call)]
            named += known or [_unsent(name)]
        wanted = named
    else:
        wanted = list(latest.values())
    found: list[tuple[Selection | UserError, Call]] = []
    for call in wanted:
        try:
            found.append((_select(call), call))
        except UserError as problem:
            if names:
                raise
            found.append((problem, call))  # its spec was moved or changed since: the others are told all the same
    return found


def _together(earlier: Call, later: Call) -> Call:
    """Two calls of one variation of a study: what either asked for."""
    counts = (earlier.seeds, later.seeds)
    seeds = max(counts) if all(isinstance(count, int) for count in counts) else later.seeds  # type: ignore[type-var]
    return msgspec.structs.replace(
        later, seeds=seeds, columns=_either(earlier.columns, later.columns), rows=_either(earlier.rows, later.rows)
    )


def _either(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if one is None or other is None else tuple(dict.fromkeys((*one, *other)))


def _same_file(name: str, call: Call) -> bool:
    return str(Path(name).absolute()) == call.study


def _unsent(name: str) -> Call:
    """A study that was never run with this store."""
    return Call(study=name, name=name, time="", host="", pid=0, started="")


def _select(call: Call) -> Selection:
    if call.pid and journal.is_path(call.study) and is_stream(Path(call.study)):
        raise UserError(f"{call.study} was a spec that cannot be read again")
    return select(
        call.study, setting=call.setting, sets=call.sets, seeds=call.seeds, columns=call.columns, rows=call.rows
    )


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
    held = {key: running[key] for key in every if key in running}
    done = sum(
        store.weights_ready(work.key) if work.measure == TRAIN else plan.serving(work, snapshot) is not None
        for work in every.values()
    )
    return said | {
        "done": done,
        "running": len(held),
        "waiting": sum(work.key not in held for work in todo),
        "failed": len(failures),
        "failures": dict(Counter(failure_text(failure) for failure in failures if failure)),
        "needs": dict(Counter(failure.reason.strip() or UNNAMED for failure in lacks if failure)),
        "active": _active(call),
        "in_hand": [{"work": f"{every[key].label} {every[key].measure}", "host": at.host} for key, at in held.items()],
        "command": call.command,
    }


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
            parts[at] += f" ({', '.join(f'{count} × {reason}' for reason, count in most)})"
    if said["waiting"] and not said["active"] and not said["running"]:
        parts.append(f"nobody works on it: `vitab run {said['command']}` goes on")
    lines = [f"{name} · " + " · ".join(parts)]
    lines += [f"  {one['work']} on {one['host']}" for one in said["in_hand"][:20]]
    return "\n".join(lines)
