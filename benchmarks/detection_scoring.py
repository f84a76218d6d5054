"""CPU time and memory of scoring detections as COCO does: ours beside pycocotools, faster-coco-eval and torchmetrics.

Prints a Markdown table, which goes into the README. 5,000 images with 37,000 objects of 80 classes, of sparse ids, and
500,000 detected boxes are written as the two files that everyone has; each contender, in a process of its own with one
thread, reads them and says the twelve numbers. torchmetrics is given the thresholds of pycocotools: with its own, of
float32, its numbers are others.

`detection_scoring.py 500` is a quick look at a tenth of it.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import readme
from tabulate import tabulate

from bench import machine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES = 5000
OBJECTS_AN_IMAGE, DETECTIONS_AN_IMAGE = 7.4, 100
CATEGORIES = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
WIDTH, HEIGHT = 640, 480
DRAWS = 200
AGREE = 1e-9

TORCHMETRICS_NAMES = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)

Numbers = list[float]


def write(folder: Path, images: int) -> None:
    """The two files: objects of all sizes, and detections most of which are near one of them."""
    import numpy as np

    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    objects = random.multinomial(round(images * OBJECTS_AN_IMAGE), np.full(images, 1 / images))
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, count in enumerate(objects.tolist(), 1):
        boxes, classes = _boxes(random, count), random.choice(CATEGORIES, count)
        crowd = random.random(count) < 0.012
        for box, category, many in zip(boxes.tolist(), classes.tolist(), crowd.tolist(), strict=True):
            entry = {"id": len(truths) + 1, "image_id": image, "category_id": category, "iscrowd": int(many)}
            truths.append(entry | {"bbox": box, "area": 0.7 * box[2] * box[3]})
        near = random.integers(count, size=DETECTIONS_AN_IMAGE * 6 // 10) if count else np.zeros(0, int)
        noise = random.normal(0, 0.12, (len(near), 4)) * boxes[near][:, [2, 3, 2, 3]]
        moved = boxes[near] + noise
        said = np.concatenate([np.abs(moved), _boxes(random, DETECTIONS_AN_IMAGE - len(near))])
        right = np.where(random.random(len(near)) < 0.8, classes[near], random.choice(CATEGORIES, len(near)))
        labels = np.concatenate([right, random.choice(CATEGORIES, len(said) - len(near))])
        scores = random.random(len(said)) ** np.where(np.arange(len(said)) < len(near), 1, 3)
        found += [
            {"image_id": image, "category_id": category, "bbox": box, "score": score}
            for box, category, score in zip(
                said.round(2).tolist(), labels.tolist(), scores.round(6).tolist(), strict=True
            )
        ]
    names = [{"id": number, "name": f"class {number}"} for number in CATEGORIES]
    sizes = [{"id": n + 1, "width": WIDTH, "height": HEIGHT, "file_name": f"{n + 1}.jpg"} for n in range(images)]
    (folder / "gt.json").write_text(json.dumps({"images": sizes, "annotations": truths, "categories": names}))
    (folder / "dt.json").write_text(json.dumps(found))


def _boxes(random: "np.random.Generator", count: int) -> "NDArray[np.float64]":
    """(count, 4): x, y, width, height, from tiny ones to half of the image."""
    import numpy as np

    size = np.exp(random.uniform(np.log(8), np.log(240), (count, 1)) + random.normal(0, 0.3, (count, 2)))
    corner = random.random((count, 2)) * np.maximum(1, [WIDTH, HEIGHT] - size)
    return np.concatenate([corner, size], axis=1)


def pycocotools(gt: Path, dt: Path) -> Numbers:
    """As its demo does."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(gt))
        evaluation = COCOeval(truth, truth.loadRes(str(dt)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(number) for number in evaluation.stats]


def faster_coco_eval(gt: Path, dt: Path) -> Numbers:
    """As its README does."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(str(gt))
    evaluation = COCOeval_faster(truth, truth.loadRes(str(dt)), "bbox")
    evaluation.run()
    return [100 * float(number) for number in evaluation.stats]


def torchmetrics(gt: Path, dt: Path) -> Numbers:
    """Tensors by image, thresholds of float64, its quicker backend."""
    import numpy as np
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    truth, found = json.loads(gt.read_bytes()), json.loads(dt.read_bytes())
    by_image: dict[int, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
        image["id"]: ([], []) for image in truth["images"]
    }
    for side, entries in enumerate((found, truth["annotations"])):
        for entry in entries:
            by_image[entry["image_id"]][side].append(entry)
    metric = MeanAveragePrecision(
        box_format="xywh",
        backend="faster_coco_eval",
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    for said, true in by_image.values():
        sides: list[dict[str, torch.Tensor]] = []
        for entries in (said, true):
            boxes = torch.tensor([entry["bbox"] for entry in entries]).reshape(-1, 4)
            sides.append({"boxes": boxes, "labels": torch.tensor([entry["category_id"] for entry in entries]).long()})
        sides[0]["scores"] = torch.tensor([entry["score"] for entry in said])
        sides[1]["iscrowd"] = torch.tensor([entry["iscrowd"] for entry in true]).long()
        sides[1]["area"] = torch.tensor([entry["area"] for entry in true])
        metric.update(sides[:1], sides[1:])
    numbers = metric.compute()
    return [100 * float(numbers[name]) for name in TORCHMETRICS_NAMES]


def ours(gt: Path, dt: Path) -> Numbers:
    """All guards, the order of ties and the matches that are kept included."""
    from bench.detection import annotations, average_precision, results

    truth = annotations.read(gt)
    return list(average_precision.score(truth, results.read(dt, truth), iou="bbox").numbers.values())


def ours_with_intervals(gt: Path, dt: Path) -> Numbers:
    """The same, and the interval of AP."""
    from bench.detection import annotations, average_precision, bootstrap, results

    truth = annotations.read(gt)
    scores = average_precision.score(truth, results.read(dt, truth), iou="bbox")
    bootstrap.intervals(scores, ["ap_box"], draws=DRAWS)
    return list(scores.numbers.values())


CONTENDERS: dict[str, tuple[str, Callable[[Path, Path], Numbers]]] = {
    "ours": ("vitab score coco", ours),
    "ours_with_intervals": (f"vitab score coco, and the interval of AP from {DRAWS:,} draws", ours_with_intervals),
    "faster_coco_eval": ("faster-coco-eval", faster_coco_eval),
    "torchmetrics": ("torchmetrics, its faster backend", torchmetrics),
    "pycocotools": ("pycocotools", pycocotools),
}


def one(name: str, folder: Path) -> None:
    """In a process of its own: on a few images first, so that importing is neither timed nor weighed."""
    contender = CONTENDERS[name][1]
    contender(folder / "few" / "gt.json", folder / "few" / "dt.json")
    before, began = peak_megabytes(), time.process_time()
    numbers = contender(folder / "gt.json", folder / "dt.json")
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "megabytes": peak_megabytes() - before, "numbers": numbers}))


def peak_megabytes() -> float:
    """Most memory of this process so far. What getrusage says is also its parent's, from before there was this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measured(folder: Path) -> dict[str, dict[str, Any]]:
    """What each contender took and said."""
    found = {}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": str(readme.README.parent)}
    for name in CONTENDERS:
        command = [sys.executable, __file__, "--one", name, str(folder)]
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(ran.stdout.splitlines()[-1])
        print(f"{name}: {found[name]['seconds']:.1f} CPU s, {found[name]['megabytes']:.0f} MB", file=sys.stderr)
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Rows of contenders; how far each one's numbers are from those of pycocotools."""
    reference, ours = found["pycocotools"], found["ours"]["seconds"]
    rows = []
    for name, (label, _) in CONTENDERS.items():
        one = found[name]
        off = max(abs(a - b) for a, b in zip(one["numbers"], reference["numbers"], strict=True))
        said = "the measure" if name == "pycocotools" else f"{off:.0e}" if off > AGREE else f"under {AGREE:.0e}"
        rows.append((label, f"{one['seconds']:.1f}", f"{one['seconds'] / ours:.1f}", f"{one['megabytes']:.0f}", said))
    heads = ("scorer", "CPU s", "× vitab", "MB above imports", "furthest off, percentage points")
    return tabulate(rows, heads, "github", disable_numparse=True)


def main() -> int:
    """Measure every contender, print the table and put it into the README."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
        return 0
    images = int(sys.argv[1]) if sys.argv[1:] else IMAGES
    with tempfile.TemporaryDirectory(prefix="vitab-bench-") as name:
        folder = Path(name)
        write(folder, images)
        write(folder / "few", 10)
        found = measured(folder)
    facts = machine.environment()
    versions = ", ".join(
        f"{package} {importlib.metadata.version(package)}"
        for package in ("pycocotools", "faster-coco-eval", "torchmetrics", "numpy")
    )
    said = f"{table(found)}\n\nOne thread of {facts['cores']} ({facts.get('cpu', facts['machine'])}); {versions}."
    print(said)
    if images == IMAGES:
        readme.write("detection", said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
