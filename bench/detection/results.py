"""Detections in COCO's results format: read, guarded, and put into one order.

A list of {image_id, category_id, score, bbox: [x, y, width, height] and/or segmentation}. The order is that of image,
category, falling score, box, mask: of what ties in score, the box further to the left comes first, so that an order of
entries in a file decides nothing. Without ties it changes nothing either.
"""

import contextlib
from collections.abc import Iterable
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.detection import documents, masks
from bench.detection.annotations import (
    LARGEST,
    Annotations,
    Entry,
    check_run_lengths,
    named,
    whole,
    wrong_box,
    wrong_number,
)
from bench.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read(path: Path, annotations: Annotations) -> list[Entry]:
    """The detections of a file. Raises Invalid with a line that names the file and the entry."""
    return checked(documents.decoded(path), annotations, str(path))


def checked(entries: Any, annotations: Annotations, said: str) -> list[Entry]:
    """The same of what is in memory, `said` being its name in errors. No detections at all are detections, too."""
    if not isinstance(entries, list):
        hint = " (is this ground truth?)" if isinstance(entries, dict) and "annotations" in entries else ""
        raise Invalid(f"{said}: no results: a list of detections is wanted, not {type(entries).__name__}{hint}")
    if not entries:
        return []
    _check_kinds(entries, said)
    for field, known in (("image_id", annotations.images), ("category_id", annotations.categories)):
        ids = _ids(entries, field, said)
        if unknown := ids - known.keys():
            raise Invalid(_unknown(field, ids, unknown, annotations, said))
    _check_scores(entries, said)
    if "bbox" in entries[0]:
        _check_boxes(entries, said)
    if "segmentation" in entries[0]:
        entries = _masked(entries, annotations, said)
    return [entries[place] for place in _order(entries)]


def _check_kinds(entries: list[Any], said: str) -> None:
    """Every entry has what the first one has: a box, a mask or both."""
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Invalid(f"{said}: entry {place} is no dictionary but {type(entry).__name__}")
    kinds = [kind for kind in ("bbox", "segmentation") if kind in entries[0]]
    if not kinds:
        raise Invalid(f"{said}: entry 0 has neither 'bbox' nor 'segmentation'")
    for kind in ("bbox", "segmentation"):
        for place, entry in enumerate(entries):
            if (kind in entry) != (kind in kinds):
                has, other = ("has", "has none") if kind in entry else ("has no", "has one")
                raise Invalid(f"{said}: entry {place} {has} {kind!r}, and entry 0 {other}")


def _all_of(types: set[type], entries: list[Entry], field: str) -> bool:
    """Whether a field of all entries has one of these types: asked of all at once, which is quick."""
    return {type(entry.get(field)) for entry in entries} <= types


def _ids(entries: list[Entry], field: str, said: str) -> set[int]:
    """All ids of a field. Raises Invalid for the first entry whose field is no whole number."""
    if _all_of({int}, entries, field):
        return {entry[field] for entry in entries}
    return {whole(entry, field, f"{said}: entry {place}") for place, entry in enumerate(entries)}


def _check_scores(entries: list[Entry], said: str) -> None:
    if _all_of({float}, entries, "score") and all(map(isfinite, (entry["score"] for entry in entries))):
        return
    for place, entry in enumerate(entries):
        if "score" not in entry:
            raise Invalid(f"{said}: entry {place} has no 'score'")
        if wrong := wrong_number(entry["score"]):
            raise Invalid(f"{said}: entry {place}: score is {wrong}")


def _check_boxes(entries: list[Entry], said: str) -> None:
    import numpy as np

    boxes = [entry["bbox"] for entry in entries]
    alike = {*map(type, boxes)} <= {list, tuple} and {*map(len, boxes)} == {4}
    if alike and {*map(type, chain.from_iterable(boxes))} <= {int, float}:
        with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
            numbers = np.array(boxes, dtype=np.float64)
            if (np.abs(numbers) <= LARGEST).all() and (numbers[:, 2:] >= 0).all():
                return
    for place, box in enumerate(boxes):
        if wrong := wrong_box(box):
            raise Invalid(f"{said}: entry {place}: {wrong}")


def _masked(entries: list[Entry], annotations: Annotations, said: str) -> list[Entry]:
    """Entries whose masks are compressed run lengths; others are made so."""
    found = []
    for place, entry in enumerate(entries):
        image, segmentation = annotations.images[entry["image_id"]], entry["segmentation"]
        try:
            masks.check(segmentation, image.width, image.height)
        except ValueError as problem:
            raise Invalid(f"{said}: entry {place}: {problem}") from problem
        mask = masks.compressed(segmentation, image.width, image.height)
        found.append(entry if mask is segmentation else entry | {"segmentation": mask})
    check_run_lengths(found, annotations.images, f"{said}:")
    return found


def _unknown(field: str, ids: set[int], unknown: set[int], annotations: Annotations, said: str) -> str:
    """One line for all ids that the ground truth does not have, and what may have happened."""
    if field == "image_id":
        count, several = len(annotations.images), len(unknown) > 1
        return (
            f"{said}: image{'s' * several} {named(unknown)} {'are' if several else 'is'} none of the {count:,} images"
            f" of {annotations.said}"
        )
    known, several = sorted(annotations.categories), len(unknown) > 1
    return (
        f"{said}: categor{'ies' if several else 'y'} {named(unknown)} {'are' if several else 'is'} none of"
        f" {annotations.said}, which has {named(known) or 'none'}{_hint(ids, known)}"
    )


def _hint(ids: set[int], known: list[int]) -> str:
    """What may have happened to ids of categories of which some are not known: the classes' own numbers stand there."""
    if not known:
        return ""
    last, wanted = len(known) - 1, f"instead of the ids {known[0]} … {known[-1]}"
    if min(ids) == 0 and max(ids) <= last:
        return f"; labels off by one? 0 … {last} {wanted}"
    if min(ids) >= 1 and max(ids) == len(known) and known[0] == 0:
        return f"; labels off by one? 1 … {len(known)} {wanted}"
    return f"; labels 1 … {len(known)} {wanted}?" if 0 < min(ids) <= max(ids) <= len(known) < known[-1] else ""


def _order(entries: list[Entry]) -> "Iterable[int]":
    """Places in the one order."""
    import numpy as np

    keys = [np.array([entry[field] for entry in entries]) for field in ("image_id", "category_id")]
    keys.append(-np.array([entry["score"] for entry in entries], dtype=np.float64))
    if "bbox" in entries[0]:
        keys += list(np.array([entry["bbox"] for entry in entries], dtype=np.float64).T)
    order = np.lexsort(keys[::-1])
    return _by_mask(entries, order, keys) if "segmentation" in entries[0] else order.tolist()


def _by_mask(entries: list[Entry], order: "NDArray[np.int64]", keys: "list[NDArray[Any]]") -> list[int]:
    """What ties in everything else is ordered by the text of the masks, which is only then compared."""
    import numpy as np

    new = np.zeros(len(order), dtype=bool)
    new[0] = True
    for key in keys:
        new[1:] |= key[order][1:] != key[order][:-1]
    bounds = np.append(np.flatnonzero(new), len(order))
    places: list[int] = order.tolist()
    for start, length in zip(bounds[:-1].tolist(), np.diff(bounds).tolist(), strict=True):
        if length > 1:
            tied = places[start : start + length]
            places[start : start + length] = sorted(tied, key=lambda place: _text(entries[place]["segmentation"]))
    return places


def _text(mask: masks.Mask) -> bytes:
    return mask["counts"].encode() if isinstance(mask["counts"], str) else bytes(mask["counts"])
