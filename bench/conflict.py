"""Conflicts: records of one key whose values disagree, and the facts that differ between them."""

import math
from collections.abc import Iterable
from typing import Any

from bench.record import Quantity, Record
from bench.trial import Frozen

FLOAT_NOISE = 1e-6  # relative: other threads and kernels move a float32 sum by less
NOISY_UNITS = ("s", "images/s")  # a clock gives another value every time; reports compare its samples as samples


class Conflict(Frozen):
    """One quantity with several values under one key."""

    quantity: str
    values: tuple[float, ...]  # the first sample of every record that disagrees with the one before, in their order
    facts: tuple[str, ...]  # names of the facts that differ among the records; empty: nothing known explains it


def conflicts(attempts: Iterable[Record]) -> tuple[Conflict, ...]:
    """Disagreements among the measured records of one key."""
    measured = [record for record in attempts if record.failure is None]
    found = []
    for name in sorted({name for record in measured for name in record.quantities}):
        having = [record for record in measured if name in record.quantities]
        distinct: list[Record] = []
        for record in having:
            if not any(_agree(record.quantities[name], other.quantities[name]) for other in distinct):
                distinct.append(record)
        if len(distinct) > 1:
            values = tuple(record.quantities[name].samples[0] for record in distinct)
            found.append(Conflict(quantity=name, values=values, facts=_differing(distinct)))
    return tuple(found)


def _agree(one: Quantity, other: Quantity) -> bool:
    if one.unit != other.unit:
        return False
    if one.unit in NOISY_UNITS:
        return True
    pairs = zip(one.samples, other.samples, strict=False)
    return len(one.samples) == len(other.samples) and all(math.isclose(a, b, rel_tol=FLOAT_NOISE) for a, b in pairs)


def _differing(records: list[Record]) -> tuple[str, ...]:
    """Bound facts and facts of the environment that are not the same in all records."""
    facts: list[dict[str, Any]] = [_flat({**record.environment, **record.bound}) for record in records]
    names = sorted({name for known in facts for name in known})
    return tuple(name for name in names if any(known.get(name) != facts[0].get(name) for known in facts))


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts under dotted names: libraries.torch."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
