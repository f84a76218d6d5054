"""Keys: what makes two pieces of work the same work. Computed at plan time, without torch, data or a GPU.

A *weights key* hashes what decides trained weights: model, training input, data, recipe, seed, and the keys of the
weights that it starts from or is taught by. A *record key* hashes a measure's name and version with the fields that
its `DEPENDS_ON` names; the name "weights" there stands for the weights key. Execution fields never enter, and neither
do names for people: two recipes with the same values are the same recipe.

Numbers hash by value (1 and 1.0 alike), and a field that was added after format 1 stays out of the hash while it has
its neutral value, so old keys stay what they were.
"""

import hashlib
import math
from functools import cache
from typing import Any

import msgspec

from bench.errors import UserError
from bench.trial import Evaluate, Model, Source, Train, Trial

KEY_LENGTH = 20  # hex digits: 80 bits; among 10^9 keys a collision has a chance below 10^-6

NEUTRAL: dict[tuple[str, str], Any] = {
    ("Input", "tokens"): None,
    ("Trial", "command"): None,
    ("Trial", "predictions"): None,
    ("Distill", "teacher_model"): None,
    **{
        ("Train", field.name): field.default
        for field in msgspec.structs.fields(Train)
        if not field.required and field.name not in ("start", "version")
    },
    **{
        ("Evaluate", field.name): field.default
        for field in msgspec.structs.fields(Evaluate)
        if field.name not in ("image", "crop", "interpolation", "split")
    },
}
"""(struct, field) → the value at which a field added after format 1 is left out of the hash."""

NEUTRAL_KNOBS: dict[str, dict[str, Any]] = {
    "swin": {"shift_by": "roll"},
    "vit": {"distilled": False, "stem": "patchify", "stem_channels": [], "stem_blocks": []},
}
"""Our model → the knobs added after format 1, each with the value at which it is left out of the hash."""

_PLAIN = frozenset((str, int, bool, type(None)))

MOST_SEEN = 1024
_SEEN: dict[int, tuple[msgspec.Struct, dict[str, Any]]] = {}


@cache
def _identity_fields(struct: type) -> tuple[tuple[str, bool, Any], ...]:
    """Fields of a struct that enter hashes: (name, has a neutral value, that value)."""
    fields = []
    for field in msgspec.inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        extra = field.type.extra if isinstance(field.type, msgspec.inspect.Metadata) else None
        if (extra or {}).get("kind") != "execution":
            spot = (struct.__name__, field.name)
            fields.append((field.name, spot in NEUTRAL, NEUTRAL.get(spot)))
    return tuple(fields)


def execution_fields(struct: type) -> tuple[str, ...]:
    """Fields of a struct that are recorded and never hashed."""
    hashed = {name for name, _, _ in _identity_fields(struct)}
    return tuple(name for name in struct.__struct_fields__ if name not in hashed)  # type: ignore[attr-defined]


def canonical(value: Any) -> Any:
    """Plain data whose JSON is the same whenever the meaning is: integral floats as integers, no execution fields."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, msgspec.Struct):
        return _canonical_struct(value)
    if isinstance(value, dict):
        return {str(name): canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    if isinstance(value, float):
        if not math.isfinite(value):  # JSON has no such number: two different keys would collide on null
            raise UserError(f"{value!r} is no value of a trial: numbers must be finite")
        return int(value) if value.is_integer() else value
    return value


def _canonical_struct(value: msgspec.Struct) -> dict[str, Any]:
    """Trials of a grid share their sections, as the same objects: each is made plain once."""
    known = _SEEN.get(id(value))
    if known is not None and known[0] is value:
        return known[1]
    kept = {}
    for name, has_neutral, neutral in _identity_fields(type(value)):
        inner = getattr(value, name)
        if not (has_neutral and inner == neutral):
            kept[name] = canonical(inner)
    if isinstance(value, Model) and (added := NEUTRAL_KNOBS.get(value.name)):
        knobs = kept["knobs"].items()
        kept["knobs"] = {name: inner for name, inner in knobs if name not in added or inner != added[name]}
    if not isinstance(value, Trial):  # of its kind there is no second
        if len(_SEEN) >= MOST_SEEN:
            _SEEN.clear()
        _SEEN[id(value)] = (value, kept)  # holding the struct keeps its id its own
    return kept


def digest(payload: Any) -> str:
    """The key of a payload of plain data."""
    text = msgspec.json.encode(canonical(payload), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:KEY_LENGTH]


def training_payload(trial: Trial) -> dict[str, Any]:
    """What decides the weights that a trial trains."""
    assert trial.train is not None
    return {
        "model": trial.model,
        "input": {"image": trial.train.image, "channels": trial.input.channels, "classes": trial.input.classes},
        "task": trial.task,
        "data": trial.data,
        "train": trial.train,
        "distill": trial.distill,
        "precision": trial.precision,
        "attention": trial.attention,
        "seed": trial.seed,
    }


def weights_key(trial: Trial) -> str | None:
    """The key of the weights that a trial trains or measures; None for a trial without weights (counts only)."""
    if trial.train is not None:
        return digest(training_payload(trial))
    return _source_key(trial.weights)


def _source_key(source: Source | None) -> str | None:
    if source is None:
        return None
    return source.ref if source.kind == "trial" else digest({"kind": source.kind, "ref": source.ref})


def record_key(
    measure: str, version: int, depends_on: tuple[str, ...], trial: Trial, *, weights: str | None = None
) -> str:
    """The key of one measurement of one trial; `weights` is its weights key, where the caller has it already."""
    payload: dict[str, Any] = {"measure": measure, "version": version}
    for name in depends_on:
        payload[name] = (weights or weights_key(trial)) if name == "weights" else getattr(trial, name)
    return digest(payload)
