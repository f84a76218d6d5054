"""`vitab score`: predictions of anybody's model held against ground truth, without a study and without a store."""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tabulate import tabulate

from bench import registry
from bench.errors import Needs, UserError
from bench.trial import Frozen

if TYPE_CHECKING:
    from bench.detection.average_precision import Scores
    from bench.segmentation.label_rules import Rules
    from bench.segmentation.scoring import Scored


class Interval(Frozen):
    """The ends of a number's 95 % interval, over images."""

    low: float
    high: float


class Number(Frozen):
    """One number of a score, in percent."""

    name: str
    label: str
    value: float
    interval: Interval | None = None
    other: float | None = None  # of the model that it is held against
    difference: Interval | None = None  # of this less the other


class Score(Frozen):
    """What is said of predictions: on how much, the numbers, and the numbers of each class."""

    said: str
    numbers: tuple[Number, ...]
    per_class: dict[str, dict[str, float]] = {}
    notes: tuple[str, ...] = ()


def main(options: argparse.Namespace) -> int:
    """Print one score, or those of boxes and of masks."""
    found = list(_coco(options) if options.task == "coco" else [_segmentation(options)])
    if options.as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    print("\n\n".join(_shown(score, options) for score in found))
    return 0


def _coco(options: argparse.Namespace) -> Iterable[Score]:
    """Boxes, masks, or all that the detections have."""
    from bench.detection import annotations, average_precision, results

    truth = annotations.read(options.gt)
    entries = results.read(options.dt, truth)
    others = None if options.against is None else results.read(options.against, truth)
    names = _told_apart(truth.categories)
    having = [iou for iou, field in average_precision.FIELDS.items() if entries and field in entries[0]]
    for iou in [options.iou] if options.iou else having or ["bbox"]:
        how: dict[str, Any] = {"iou": iou, "most_detections": options.most_detections, "engine": options.engine}
        one = average_precision.score(truth, entries, **how)
        other = None if others is None else average_precision.score(truth, others, **how)
        kind = {"bbox": "boxes", "segm": "masks"}[iou]
        said = (
            f"{kind}: {len(truth.images):,} images, {len(truth.entries):,} annotations, {len(entries):,} detections "
            f"in {len({entry['image_id'] for entry in entries}):,} of them, "
            f"{len(one.per_class)} of {len(truth.categories)} classes with ground truth"
        )
        if one.most_detections[-1] != average_precision.MOST_DETECTIONS[-1]:
            said += f"; AP of at most {one.most_detections[-1]:,} detections of a class in an image, not COCO's 100"
        yield Score(
            said=said,
            numbers=_numbers(one.numbers, None if other is None else other.numbers, **_drawn(options, one, other)),
            per_class={names[number]: found for number, found in one.per_class.items()},
        )


def _drawn(options: argparse.Namespace, one: "Scores", other: "Scores | None") -> dict[str, Any]:
    """Intervals of a detector's numbers, and of their differences."""
    from bench.detection import bootstrap

    if not options.draws:
        return {}
    how = {"draws": options.draws, "seed": options.seed}
    return {
        "intervals": bootstrap.intervals(one, **how),
        "differences": None if other is None else bootstrap.differences(one, other, **how),
    }


def _segmentation(options: argparse.Namespace) -> Score:
    """Label maps of one folder beside those of another."""
    from bench.segmentation import bootstrap, label_maps

    truth, predicted, ending = _rules(options)
    if not options.gt.is_dir():
        raise Needs(f"a folder of label maps, {options.gt}")
    truths = label_maps.found(options.gt, ending)

    def scored(folder: Path) -> "tuple[Scored, int]":
        from bench.segmentation import scoring

        matches, strange = label_maps.matched(truths, options.gt, folder)
        return scoring.score(scoring.read(matches, truth, predicted), truth.classes), len(strange)

    one, strange = scored(options.pred)
    other = None if options.against is None else scored(options.against)[0]
    drawn: dict[str, Any] = {}
    if options.draws:
        how = {"draws": options.draws, "seed": options.seed}
        drawn["intervals"] = bootstrap.intervals(one.images, **how)
        drawn["differences"] = None if other is None else bootstrap.differences(one.images, other.images, **how)
    absent = one.confusion.absent
    names = _class_names(options, truth)
    notes = [f"left out of the means, as neither shows them: {', '.join(names[at] for at in absent)}"] if absent else []
    notes += [f"predictions without a truth, not scored: {strange:,}"] if strange else []
    return Score(
        said=f"{len(truths):,} label maps, {one.pixels:,} pixels, {truth.classes} classes",
        numbers=_numbers(one.confusion.numbers, None if other is None else other.confusion.numbers, **drawn),
        per_class={names[number]: found for number, found in one.confusion.per_class.items()},
        notes=tuple(notes),
    )


def _rules(options: argparse.Namespace) -> "tuple[Rules, Rules, str]":
    """What the labels of truth and predictions mean, and how the names of true label maps end. Raises UserError."""
    from bench.segmentation import label_rules

    if (options.layout is None) == (options.classes is None):
        raise UserError(
            "vitab score segmentation: whose labels are these? --layout ade20k, or --classes N of any other"
        )
    if options.layout is not None:
        if options.reduced or options.ignore is not None:
            raise UserError(f"vitab score segmentation: --layout {options.layout} says which labels are no class")
        module = registry.load("data", options.layout)
        given = module.Options(predictions=options.predictions)
        return module.rules(given), module.predicted(given), getattr(module, "TRUTH_ENDS", ".png")
    ignore = 255 if options.ignore is None else options.ignore
    truth = label_rules.rules(options.classes, reduced=options.reduced, ignore=ignore)
    counted = options.predictions == "classes"
    return truth, label_rules.from_zero(options.classes) if counted else truth, ".png"


def _told_apart(names: Mapping[int, str]) -> dict[int, str]:
    """Names of categories by id; where several have one name, with their ids."""
    times = Counter(names.values())
    return {number: name if times[name] == 1 else f"{name} ({number})" for number, name in names.items()}


def _class_names(options: argparse.Namespace, truth: "Rules") -> tuple[str, ...]:
    if options.layout is not None:
        names: tuple[str, ...] = registry.load("data", options.layout).NAMES
        return names
    return tuple(str(value) for value in truth.values)


def _numbers(
    found: Mapping[str, float],
    others: Mapping[str, float] | None,
    *,
    intervals: Mapping[str, Any] | None = None,
    differences: Mapping[str, Any] | None = None,
) -> tuple[Number, ...]:
    """Numbers with their labels as tables have them."""
    labels = _labels()
    return tuple(
        Number(
            name=name,
            label=labels.get(name, name),
            value=value,
            interval=_ends(intervals, name),
            other=None if others is None else others.get(name),
            difference=_ends(differences, name),
        )
        for name, value in found.items()
    )


def _labels() -> dict[str, str]:
    labels: dict[str, str] = registry.load("measures", "coco_ap").LABELS | registry.load("measures", "miou").LABELS
    return labels


def _ends(found: Mapping[str, Any] | None, name: str) -> Interval | None:
    if found is None or name not in found:
        return None
    return Interval(low=found[name].low, high=found[name].high)


def _shown(score: Score, options: argparse.Namespace) -> str:
    """For people: a line for each number, then for each class."""
    rows = [[one.label, _percent(one.value), _between(one.interval)] for one in score.numbers]
    if options.against is not None:
        for row, one in zip(rows, score.numbers, strict=True):
            apart = None if one.other is None else one.value - one.other
            row += ["–" if one.other is None else _percent(one.other), _signed(apart), _between(one.difference)]
    heads = ["", "%", "95 % of draws" if options.draws else ""]
    if options.against is not None:
        heads += ["against", "difference", "95 % of draws" if options.draws else ""]
    lines = [score.said, "", _table(heads, rows)]
    if options.per_class and score.per_class:
        fields = list(dict.fromkeys(field for found in score.per_class.values() for field in found))
        table = [[name, *(_of_class(found.get(field)) for field in fields)] for name, found in score.per_class.items()]
        labels = _labels()
        lines += ["", _table(["class", *(labels.get(field, field) for field in fields)], table)]
    return "\n".join([*lines, *(["", *score.notes] if score.notes else [])])


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Names to the left, numbers to the right."""
    aligned = ("left", *("right" for _ in heads[1:]))
    return tabulate(rows, headers=heads, tablefmt="plain", colalign=aligned, disable_numparse=True)


def _percent(value: float) -> str:
    return f"{value:.2f}"


def _of_class(value: float | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _between(ends: Interval | None) -> str:
    return "" if ends is None else f"{ends.low:.2f} … {ends.high:.2f}".replace("-", "−")
