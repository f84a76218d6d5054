"""Ground truth in COCO's format, instances.json: read, and guarded against what evaluators get wrong in silence.

What is missing and may be is filled in: `iscrowd` is 0; a box is that around the mask; `area`, by which objects are
small, medium or large, is the mask's, as COCO has it, or the box's where there is none. Ids of annotations are names
alone: evaluators take 0 for "nothing matched", so that they are numbered again from 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.detection import documents, masks
from bench.errors import Invalid

MOST_NAMED = 12  # ids in one line
LARGEST = 1e100  # products of two such numbers are numbers still

Entry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that has ground truth, or none at all."""

    width: int  # pixels
    height: int
    file_name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """The ground truth of a set of images."""

    said: str  # what errors call it: the file's path
    path: Path | None
    images: dict[int, Image]  # by id, ascending
    categories: dict[int, str]  # id → name, ascending
    dataset: dict[str, Any]  # as COCO has it, nothing missing: what evaluators take

    @property
    def entries(self) -> list[Entry]:
        """One dictionary an object: id, image_id, category_id, bbox, area, iscrowd and, where given, segmentation."""
        found: list[Entry] = self.dataset["annotations"]
        return found


def read(path: Path) -> Annotations:
    """The ground truth of a file. Raises Invalid with a line that names the file and the entry."""
    return _of(documents.decoded(path), str(path), path)


def of(dataset: dict[str, Any], said: str) -> Annotations:
    """The same of what is in memory, `said` being its name in errors."""
    return _of(dataset, said, None)


def only(annotations: Annotations, images: Iterable[int]) -> Annotations:
    """The ground truth of some of the images."""
    chosen = set(images)
    dataset = annotations.dataset | {
        "images": [entry for entry in annotations.dataset["images"] if entry["id"] in chosen],
        "annotations": [entry for entry in annotations.entries if entry["image_id"] in chosen],
    }
    return replace(
        annotations,
        images={number: image for number, image in annotations.images.items() if number in chosen},
        dataset=dataset,
    )


def _of(dataset: Any, said: str, path: Path | None) -> Annotations:
    wanted = ("images", "annotations", "categories")
    if not isinstance(dataset, dict):
        hint = " (are these results?)" if isinstance(dataset, list) else ""
        raise Invalid(f"{said}: no ground truth: a dictionary of {', '.join(wanted)} is wanted{hint}")
    for name in wanted:
        if not isinstance(dataset.get(name), list):
            raise Invalid(f"{said}: no ground truth: it has no list {name!r}")
    images = {
        number: Image(
            width=_length(entry, "width", where),
            height=_length(entry, "height", where),
            file_name=str(entry.get("file_name", "")),
        )
        for number, entry, where in _by_id(dataset["images"], "image", said)
    }
    categories = {
        number: str(entry.get("name", number)) for number, entry, _ in _by_id(dataset["categories"], "category", said)
    }
    entries = _cleaned(dataset["annotations"], images, categories, said)
    clean = {
        "images": [
            {"id": number, "width": one.width, "height": one.height, "file_name": one.file_name}
            for number, one in sorted(images.items())
        ],
        "categories": [{"id": number, "name": name} for number, name in sorted(categories.items())],
        "annotations": entries,
    }
    return Annotations(
        said=said,
        path=path,
        images=dict(sorted(images.items())),
        categories=dict(sorted(categories.items())),
        dataset=clean,
    )


def _by_id(entries: list[Any], kind: str, said: str) -> Iterable[tuple[int, Entry, str]]:
    """Entries with their ids and places; each id once."""
    for place, entry in enumerate(entries):
        where = f"{said}: {kind} entry {place}"
        yield whole(entry, "id", where), entry, where
    _each_once((entry["id"] for entry in entries), f"{kind} id", said)


def _each_once(ids: Iterable[int], kind: str, said: str) -> None:
    several = sorted(number for number, times in Counter(ids).items() if times > 1)
    if several:
        raise Invalid(f"{said}: {kind} {named(several)} more than once")


def named(ids: Iterable[int]) -> str:
    """Ids in a line; where they are very many, the first of them."""
    every = sorted(ids)
    return ", ".join(map(str, every[:MOST_NAMED])) + (f", … ({len(every):,} in all)" if len(every) > MOST_NAMED else "")


def whole(entry: Any, field: str, where: str) -> int:
    """A field that is a whole number. Raises Invalid."""
    if not isinstance(entry, dict):
        raise Invalid(f"{where} is no dictionary but {type(entry).__name__}")
    if field not in entry:
        raise Invalid(f"{where} has no {field!r}")
    value = entry[field]
    if type(value) is not int:
        raise Invalid(f"{where}: {field} is {value!r}, no whole number")
    if not -(2**63) <= value < 2**63:
        raise Invalid(f"{where}: {field} is {value}, more than 64 bits hold")
    return value


def _length(entry: Entry, field: str, where: str) -> int:
    value = whole(entry, field, where)
    if value < 1:
        raise Invalid(f"{where}: {field} is {value}, no number of pixels")
    return value


def _cleaned(entries: list[Any], images: Mapping[int, Image], categories: Mapping[int, str], said: str) -> list[Entry]:
    """Annotations with nothing missing, numbered from 1."""
    cleaned = []
    for place, entry in enumerate(entries):
        where = f"{said}: annotation entry {place}"
        if isinstance(entry, dict) and "id" in entry:
            where += f" (id {entry['id']})"
        image, category = whole(entry, "image_id", where), whole(entry, "category_id", where)
        if image not in images:
            raise Invalid(f"{where} is of image {image}, which is none of its {len(images):,} images")
        if category not in categories:
            raise Invalid(f"{where} is of category {category}; its categories: {named(categories)}")
        crowd = entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise Invalid(f"{where}: iscrowd is {crowd!r}; allowed: 0, 1")
        cleaned.append(
            {"id": place + 1, "image_id": image, "category_id": category, "iscrowd": int(crowd)}
            | _extent(entry, images[image], where)
        )
    _each_once((entry["id"] for entry in entries if "id" in entry), "annotation id", said)
    check_run_lengths(cleaned, images, f"{said}: annotation")
    return cleaned


def _extent(entry: Entry, image: Image, where: str) -> Entry:
    """Box, area and, where it is given, the mask."""
    segmentation = entry.get("segmentation") or None  # an empty list is what tools write that know boxes alone
    box, area, mask = entry.get("bbox"), entry.get("area"), None
    try:
        if segmentation is not None:
            masks.check(segmentation, image.width, image.height)
            if box is None or area is None:
                mask = masks.compressed(segmentation, image.width, image.height)
    except ValueError as problem:
        raise Invalid(f"{where}: {problem}") from problem
    if box is None:
        if mask is None:
            raise Invalid(f"{where} has neither 'bbox' nor 'segmentation'")
        box = masks.box(mask)
    if wrong := wrong_box(box):
        raise Invalid(f"{where}: {wrong}")
    if area is None:
        area = masks.area(mask) if mask is not None else box[2] * box[3]
    if (wrong := wrong_number(area)) or area < 0:
        raise Invalid(f"{where}: area is {wrong or f'{area}, negative'}")
    extent = {"bbox": [float(value) for value in box], "area": float(area)}
    return extent if segmentation is None else extent | {"segmentation": segmentation}


def check_run_lengths(entries: Sequence[Entry], images: Mapping[int, Image], kind: str) -> None:
    """Raises Invalid for the first entry whose compressed run lengths are not of as many pixels as its image."""
    with_text = [
        (place, entry)
        for place, entry in enumerate(entries)
        if isinstance(found := entry.get("segmentation"), dict) and not isinstance(found["counts"], list)
    ]
    if not with_text:
        return
    counted = masks.pixels([entry["segmentation"] for _, entry in with_text]).tolist()
    for (place, entry), pixels in zip(with_text, counted, strict=True):
        image = images[entry["image_id"]]
        if pixels != image.width * image.height:
            wanted = f"{image.width * image.height:,}"
            raise Invalid(
                f"{kind} entry {place}: its run lengths are broken: they are not of the image's {wanted} pixels"
            )


def wrong_number(value: Any) -> str | None:
    """What is wrong with a number; None: nothing."""
    if type(value) not in (int, float):
        return f"{value!r}, no number"
    return None if -LARGEST <= value <= LARGEST else f"{value}, not finite"


def wrong_box(box: Any) -> str | None:
    """What is wrong with a box x, y, width, height in pixels; None: nothing. Boxes without area are COCO's own, too."""
    if not isinstance(box, list | tuple) or len(box) != 4:
        return f"bbox is {box!r}, not four numbers x, y, width, height"
    for value in box:
        if wrong := wrong_number(value):
            return f"bbox has {wrong}"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {list(box)} has a negative width or height (is it x0, y0, x1, y1?)"
    return None
