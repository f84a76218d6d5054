"""CPU time of a whole set's confusion matrix: ours beside torchmetrics, scikit-learn, NumPy and a look at each byte.

Prints a Markdown table, which goes into the README. 2,000 pairs of label maps of ADE20K's size, 512 × 512 to 855 pixels
of 150 classes and an ignored label, are 25 pairs that are gone through 80 times: regions with wavy borders, and
predictions in which borders have moved, some regions are of another class and some are crumbs. Each contender is a
process of its own with one thread, in turns; what takes minutes goes through fewer pairs, and its time is scaled. All
have to find the same matrix. Reading files and the table of intervals are not in it but where a row says so.
"""

import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import readme
from tabulate import tabulate

from bench import machine
from bench.segmentation import bootstrap, label_maps, scoring
from bench.segmentation.label_rules import rules

CLASSES, IGNORED = 150, 255
PAIRS, IMAGES, TURNS = 25, 2000, 3
REGIONS = 40  # of an image; ADE20K's have 20 objects and their backgrounds

Array = np.ndarray[Any, np.dtype[Any]]
Maps = Iterable[tuple[str, Array, Array]]


def _pair(random: np.random.Generator) -> tuple[Array, Array]:
    """A truth and a prediction (512, W) uint8."""
    width = int(random.integers(512, 856))
    rows, columns = np.mgrid[:512, :width].astype(np.float32)
    rows, columns = (
        rows + 6 * np.sin(columns / 17) + 2 * np.sin(columns / 5),
        columns + 6 * np.sin(rows / 19) + 2 * np.sin(rows / 4),
    )
    centres = random.uniform(0, 1, (REGIONS, 2)) * (512, width)
    labels = random.permutation(CLASSES)[: REGIONS // 2][random.integers(0, REGIONS // 2, REGIONS)].astype(np.uint8)
    said = np.where(random.random(REGIONS) < 0.8, labels, random.integers(0, CLASSES, REGIONS)).astype(np.uint8)
    labels[0] = IGNORED
    found = [np.zeros(rows.shape, np.uint8) for _ in range(2)]
    for number, (at, kinds) in enumerate(((centres, labels), (centres + random.normal(0, 3, centres.shape), said))):
        nearest = np.full(rows.shape, np.inf, np.float32)
        for (row, column), kind in zip(at, kinds, strict=True):
            distance = (rows - np.float32(row)) ** 2 + (columns - np.float32(column)) ** 2
            closer = distance < nearest
            nearest[closer], found[number][closer] = distance[closer], kind
    for row, column in random.uniform(0, 1, (60, 2)) * (504, width - 8):  # crumbs
        found[1][int(row) : int(row) + 5, int(column) : int(column) + 6] = random.integers(0, CLASSES)
    return found[0], found[1]


def _noise(pairs: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """Of the same sizes, every pixel of a class at random: the worst that there is."""
    random = np.random.default_rng(1)

    def drawn(like: Array) -> Array:
        return np.asarray(random.integers(0, CLASSES, like.shape, dtype=np.uint8))

    return [(drawn(truth), drawn(prediction)) for truth, prediction in pairs]


def _named(pairs: list[tuple[Array, Array]], images: int) -> Iterator[tuple[str, Array, Array]]:
    for number, (truth, prediction) in zip(range(images), itertools.cycle(pairs), strict=False):
        yield str(number), truth, prediction


def vitab(maps: Maps) -> Array:
    """With all that is kept of each image."""
    return scoring.score(maps, CLASSES).confusion.counts[:, :-1]


def vitab_intervals(maps: Maps) -> Array:
    """And with the intervals of all three numbers."""
    scored = scoring.score(maps, CLASSES)
    assert len(bootstrap.intervals(scored.images, draws=1000)) == 3
    return scored.confusion.counts[:, :-1]


def numpy_bincount(maps: Maps) -> Array:
    """As in most repositories: pixels that count are chosen, two labels become one index, and that is counted."""
    whole = np.zeros(CLASSES**2, dtype=np.int64)
    for _, truth, prediction in maps:
        counted = truth < CLASSES
        index = CLASSES * truth[counted].astype(np.int64) + prediction[counted]
        whole += np.bincount(index, minlength=CLASSES**2)
    return whole.reshape(CLASSES, CLASSES)


def scikit_learn(maps: Maps) -> Array:
    """Image by image."""
    from sklearn.metrics import confusion_matrix

    whole = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for _, truth, prediction in maps:
        counted = truth < CLASSES
        whole += confusion_matrix(truth[counted], prediction[counted], labels=np.arange(CLASSES))
    return whole


def torchmetrics(maps: Maps, *, validate: bool = True, kind: type = np.uint8) -> Array:
    """An update an image, of the index whose matrix it keeps; its MeanIoU is of images one by one, another number."""
    import torch
    from torchmetrics.classification import MulticlassJaccardIndex

    torch.set_num_threads(1)
    metric = MulticlassJaccardIndex(CLASSES, ignore_index=IGNORED, validate_args=validate)
    for _, truth, prediction in maps:
        said, right = (torch.from_numpy(one.astype(kind, copy=False))[None] for one in (prediction, truth))
        metric.update(said, right)
    metric.compute()
    matrix: Array = metric.confmat.numpy()
    return matrix


def torchmetrics_wide(maps: Maps) -> Array:
    """Of labels of 64 bits, which is what an argmax gives."""
    return torchmetrics(maps, kind=np.int64)


def torchmetrics_unchecked(maps: Maps) -> Array:
    """Without looking for labels that are none."""
    return torchmetrics(maps, validate=False)


def every_byte(maps: Maps) -> Array:
    """What no counting can be quicker than: whether there is a pixel at which the two differ."""
    differ = [bool((truth ^ prediction).max()) for _, truth, prediction in maps]
    return np.array([len(differ)])


CONTENDERS: dict[str, tuple[Callable[[Maps], Array], int]] = {
    "vitab": (vitab, IMAGES),
    "vitab, and intervals of 1,000 draws": (vitab_intervals, IMAGES),
    "vitab, noise in every pixel": (vitab, IMAGES),
    "vitab, from PNG files": (vitab, 10 * PAIRS),
    "numpy.bincount of chosen pixels": (numpy_bincount, IMAGES),
    "scikit-learn": (scikit_learn, 4 * PAIRS),
    "torchmetrics, unchecked": (torchmetrics_unchecked, PAIRS),
    "torchmetrics": (torchmetrics, PAIRS),
    "torchmetrics, labels of 64 bits": (torchmetrics_wide, PAIRS),
    "each byte once (xor, max)": (every_byte, IMAGES),
}
"""What is called, and over how many pairs: times that are scaled to IMAGES."""

OTHER_NUMBERS = ("vitab, noise in every pixel", "each byte once (xor, max)")
"""Not of the matrix that all others find."""


def serve(name: str, folder: str) -> None:
    """One contender's process: what it took, and the digest of the matrix of a single round."""
    count, images = CONTENDERS[name]
    pairs = [(pair[0], pair[1]) for pair in np.load(Path(folder) / "pairs.npz", allow_pickle=False).values()]
    if "noise" in name:
        pairs = _noise(pairs)
    files = Path(folder)
    maps: Callable[[int], Maps] = lambda number: _named(pairs, number)  # noqa: E731
    if "PNG" in name:
        matches, _ = label_maps.matched(label_maps.found(files / "gt"), files / "gt", files / "said")
        of = rules(CLASSES)
        maps = lambda number: scoring.read(itertools.islice(itertools.cycle(matches), number), of, of)  # noqa: E731
    matrix = count(maps(PAIRS)).astype(np.int64)  # imports, and what is allocated once
    begin = time.process_time()
    again = count(maps(images))
    taken = time.process_time() - begin
    assert np.array_equal(again, matrix * (images // PAIRS))
    print(json.dumps({"cpu_s": taken, "digest": hashlib.sha256(matrix.tobytes()).hexdigest()}))


def _write(folder: Path) -> None:
    """The pairs, as arrays and as files."""
    from PIL import Image

    random = np.random.default_rng(0)
    pairs = [_pair(random) for _ in range(PAIRS)]
    np.savez(folder / "pairs.npz", *(np.stack(pair) for pair in pairs))
    for side, name in enumerate(("gt", "said")):
        (folder / name).mkdir()
        for number, pair in enumerate(pairs):
            Image.fromarray(pair[side]).save(folder / name / f"{number:02}.png")


def _run(name: str, folder: Path) -> dict[str, Any]:
    """One contender, in a process of its own."""
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, name, str(folder)],
        env={**os.environ, **one},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def main() -> int:
    """Let the contenders take turns, print the table, and write it into the README; 1 where matrices differ."""
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        for contender in list(CONTENDERS) * TURNS:
            said[contender].append(_run(contender, folder))
    taken = {
        name: statistics.median(one["cpu_s"] for one in found) * IMAGES / CONTENDERS[name][1]
        for name, found in said.items()
    }
    rows = [
        (name, f"{CONTENDERS[name][1]:,}", f"{seconds:.2f}", f"{seconds / taken['vitab']:.2g}")
        for name, seconds in taken.items()
    ]
    heads = ("confusion matrix of 2,000 label maps", "of them run", "CPU s", "× vitab")
    facts = machine.environment()
    listed = ", ".join(f"{name} {machine.version(name)}" for name in ("numpy", "scikit-learn", "torch", "torchmetrics"))
    cpu = facts.get("cpu", facts["machine"])
    below = f"Medians of {TURNS} turns; one thread of {facts['cores']} ({cpu}); {listed}."
    table = f"{tabulate(rows, heads, 'github', disable_numparse=True)}\n\n{below}"
    print(table)
    digests = {one["digest"] for name, found in said.items() if name not in OTHER_NUMBERS for one in found}
    if len(digests) != 1:
        print("the contenders do not find the same matrix", file=sys.stderr)
        return 1
    readme.write("segmentation", table)
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1], sys.argv[2])
    else:
        sys.exit(main())
