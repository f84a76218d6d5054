"""What was run with a store: every variation of a study once, as its calls asked for it."""

from pathlib import Path

import msgspec

from bench.errors import UserError
from bench.store import Store
from vitab import journal
from vitab.journal import Call
from vitab.streams import is_stream
from vitab.works import Selection, select


def variations(store: Store) -> list[Call]:
    """The latest call of each variation, asking for all that any of its calls asked for."""
    latest: dict[tuple[str, str | None, tuple[str, ...]], Call] = {}
    for call in journal.calls(store):
        variation = call.name, call.setting, call.sets
        latest[variation] = _together(latest[variation], call) if variation in latest else call
    return list(latest.values())


def named(name: str, calls: list[Call]) -> list[Call]:
    """The calls of a study, by its name, as it was typed, or by its file."""
    return [call for call in calls if name in (call.name, call.study) or str(Path(name).absolute()) == call.study]


def calls_of(name: str, store: Store) -> list[Call]:
    """The variations of a study that were run. Raises UserError where there is none."""
    calls = variations(store)
    found = named(name, calls)
    if not found:
        known = ", ".join(dict.fromkeys(call.name for call in calls))
        raise UserError(f"{name!r} was not run with the store {store.path.name!r}; run: {known or 'nothing yet'}")
    return found


def name_of(name: str, store: Store) -> str:
    """The study's own name. Raises UserError."""
    return calls_of(name, store)[0].name


def selected(call: Call) -> Selection:
    """What a call asked for. Raises UserError where its spec is gone."""
    if call.pid and journal.is_path(call.study) and is_stream(Path(call.study)):
        raise UserError(f"{call.study} was a spec that cannot be read again")
    return select(
        call.study, setting=call.setting, sets=call.sets, seeds=call.seeds, columns=call.columns, rows=call.rows
    )


def _together(earlier: Call, later: Call) -> Call:
    """Two calls of one variation of a study: what either asked for."""
    counts = (earlier.seeds, later.seeds)
    seeds = max(counts) if all(isinstance(count, int) for count in counts) else later.seeds  # type: ignore[type-var]
    return msgspec.structs.replace(
        later, seeds=seeds, columns=_either(earlier.columns, later.columns), rows=_either(earlier.rows, later.rows)
    )


def _either(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if one is None or other is None else tuple(dict.fromkeys((*one, *other)))
