"""What several tests of this room stand on: a measure that does what it is told, trainings, image folders, counters."""

import copy
import hashlib
import itertools
import json
import multiprocessing
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bench import data, models, registry, weights
from bench import train as recipes
from bench.attempt import Watch
from bench.identity import weights_key
from bench.subject import Subject
from bench.train import processes
from bench.trial import Evaluate, Input, Train, Trial

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture
def acting(monkeypatch):
    """The measure `acting` is known, here and in processes started from here: an entry point, as other packages'."""
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
    yield "acting"
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()


@pytest.fixture
def digits_trial():
    """A function that makes trials of a ViT on a tenth of digits: nine steps, a fifth of a second."""

    def make(*, knobs=None, train=None, image=8, **fields):
        recipe = recipes.recipe("tiny") | {"epochs": 3, "warmup_epochs": 1} | (train or {})
        small = {"patch": 2, "dim": 48, "depth": 2, "heads": 4}
        given = {
            "model": models.resolve("vit", small | (knobs or {})),
            "input": Input(image=image, channels=1, classes=10),
            "data": data.resolve("digits", {}, subset=0.1),
            "train": Train(**({"image": image} | recipe)),
            "evaluate": Evaluate(image=image),
            "seed": 0,
        }
        return Trial(**(given | fields))

    return make


DENSE = {
    "detect": ("generated_coco", "fcos", {"strides": [8, 16], "width": 32, "convolutions": 1, "coarser": False}),
    "segment": ("generated_ade20k", "lraspp", {"fine": 4, "coarse": 8, "width": 16}),
}


@pytest.fixture
def dense_trial(tmp_path, monkeypatch):
    """A function that makes trials of a small detector or segmenter on 18 generated scenes: nine steps, a second."""
    monkeypatch.setenv("VITAB_DATA", str(tmp_path / "data"))

    def make(task, *, knobs=None, train=None, options=None, **fields):
        name, model, own = DENSE[task]
        of = data.resolve(name, {"images": 24, "side": 32, "selection": 0.0} | (options or {}))
        small = {"epochs": 3, "batch": 6, "warmup_epochs": 1, "smoothing": 0.0, "flip": 0.5, "vertical_flip": 0.3}
        given = {
            "task": task,
            "model": models.resolve(model, {"backbone": "test_resnet"} | own | (knobs or {})),
            "input": Input(image=32, classes=data.facts(of).classes),
            "data": of,
            "train": Train(image=32, **(recipes.recipe("tiny") | small | (train or {}))),
            "evaluate": Evaluate(image=32),
            "seed": 0,
        }
        return Trial(**(given | fields))

    return make


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a training left behind."""

    folder: Path
    subject: Subject
    quantities: dict
    progress: list

    @property
    def weights(self):
        """The bytes of the weights: equal exactly when every weight is."""
        return (self.folder / "weights.safetensors").read_bytes()

    @property
    def curve(self):
        return [json.loads(line) for line in (self.folder / "curve.jsonl").read_text().splitlines()]


@pytest.fixture
def trained(tmp_path):
    """A function that trains a trial in a store, by default one for the test, and says what it left behind.

    `stop_after` asks it to stop after so many steps; `lost_after` takes the key away from it.
    """

    def run(trial, *, store=None, stop_after=None, lost_after=None):
        store = store or tmp_path / "store"
        folder = store / "weights" / weights_key(trial)
        folder.mkdir(parents=True, exist_ok=True)
        subject = Subject(store=store, weights_folder=folder)
        steps, said = itertools.count(1), []

        def stop():
            stop.step = next(steps)
            return stop.step == stop_after

        stop.step = 0
        watch = Watch(stop=stop, still_mine=lambda: lost_after is None or stop.step < lost_after, progress=said.append)
        quantities = recipes.run(trial, subject, watch)
        return Left(folder=folder, subject=subject, quantities=quantities, progress=said)

    return run


PEER = """
import os, signal
from bench.train import loop, peer
taken = loop._step
def step(training, *batch):
    if training.progress.step == 2:
        {act}
    return taken(training, *batch)
loop._step = step
peer._end(peer.main([*arguments, str(alive.fileno())]))
"""


class ForkedPeer:
    """In place of `python -m bench.train.peer` a process that is forked from one that has imported torch and timm."""

    context = multiprocessing.get_context("forkserver")

    def __init__(self, command, act, pass_fds):
        alive = Connection(os.dup(*pass_fds), writable=False)
        variables = {"arguments": command[4:-1], "alive": alive}
        self.process = self.context.Process(target=exec, args=(PEER.format(act=act), variables))
        self.process.start()
        self.kill, self.wait = self.process.kill, self.process.join

    def poll(self):
        return self.process.exitcode


@pytest.fixture
def forked_peers(monkeypatch):
    """A function that lets the other processes of trainings come at once; what each does in its third step."""
    ForkedPeer.context.set_forkserver_preload(["bench.train.loop", "bench.train.peer", "bench.layers.vit"])

    def come(*acts):
        left = list(acts)

        def start(command, *, pass_fds, **_):
            return ForkedPeer(command, left.pop(0) if left else "pass", pass_fds)

        monkeypatch.setattr(processes.subprocess, "Popen", start)

    return come


@pytest.fixture
def complete():
    """A function that leaves behind in a folder what a training leaves, with weights of a few bytes."""

    def make(folder, *, written=b"weights", **said):
        facts = {"architecture": "a", "data": "d", "steps": 1, "seconds": 1.0, "attention": [], "train_loss": 1.0}
        digest = hashlib.sha256(written).hexdigest()
        done = weights.Done(**({"version": recipes.VERSION, "weights": digest} | facts | said))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / weights.WEIGHTS).write_bytes(written)
        (folder / weights.DONE).write_bytes(msgspec.json.encode(done))
        return done

    return make


@pytest.fixture
def image_folder(tmp_path):
    """Real image files in ImageNet's layout: three classes that differ in brightness, and in size and kind of file."""

    def make(*, train=8, val=2, classes=("dark", "grey", "light"), side=20):
        random, band = np.random.default_rng(0), 255 // len(classes)
        for half, count in (("train", train), ("val", val)):
            for place, name in enumerate(classes):
                folder = tmp_path / "images" / half / name
                folder.mkdir(parents=True)
                for number in range(count):
                    size = (side + 3 * number, side + place, 3)  # height, width
                    pixels = random.integers(band * place, band * (place + 1), size, dtype=np.uint8)
                    suffix = ("png", "JPEG", "bmp")[number % 3]
                    Image.fromarray(pixels).save(folder / f"{number}.{suffix}")
        return tmp_path / "images"

    return make


def _module(what):
    """A module, or one that is a single expression."""
    from torch import nn

    class Function(nn.Module):
        def forward(self, *inputs):
            return what(*inputs)

    return what if isinstance(what, nn.Module) else Function()


@pytest.fixture
def counted():
    """A function that counts multiply-adds of a module or an expression over inputs of these shapes."""
    import torch

    from bench import counting

    def count(what, *shapes, convention="macs", device="meta"):
        module = copy.deepcopy(_module(what)).to(device).eval()
        inputs = tuple(torch.zeros(shape, device=device) for shape in shapes)
        return counting.count(module, inputs, convention=convention).total

    return count


@pytest.fixture
def torchs_own():
    """A function that says what torch's counter does, which counts a multiply-add twice."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def count(what, *shapes):
        module = copy.deepcopy(_module(what)).to("meta").eval().requires_grad_(False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*(torch.zeros(shape, device="meta") for shape in shapes))
        doubled = counter.get_total_flops()
        assert doubled % 2 == 0
        return doubled // 2

    return count


@pytest.fixture
def detections():
    """A function that makes ground truth and results in COCO's formats, as (dictionary, list).

    Every fourth image has no object, every fifth no detection, and a tenth of all objects are crowds. There are
    detections of class 30, and no object.
    """
    from pycocotools import mask

    width, height, ids = 260, 200, (2, 7, 30, 61)

    def boxes(random, count):
        size = np.exp(random.uniform(1.5, 5.3, (count, 1)) + random.normal(0, 0.3, (count, 2)))
        return np.concatenate([random.random((count, 2)) * [width - 90, height - 70], size], axis=1)

    def encoded(box, *, text=True):
        x, y, w, h = box
        outline = [x, y, x + w, y, x + w, y + h, x + w / 2, y + h / 3, x, y + h]
        found = mask.frPyObjects([outline], height, width)[0]
        return {"size": found["size"], "counts": found["counts"].decode()} if text else [outline]

    def make(seed=0, *, images=12, each=40, masks=False, digits=12):
        random = np.random.default_rng(seed)
        truth, found = [], []
        for image in range(5, 5 + 2 * images, 2):
            count = 0 if image % 8 == 3 else int(random.integers(1, 8))
            objects, kinds = boxes(random, count), random.choice([2, 7, 61], count)
            for box, kind in zip(objects.tolist(), kinds.tolist(), strict=True):
                crowd = int(random.random() < 0.1)
                entry = {"id": len(truth), "image_id": image, "category_id": kind, "bbox": box, "iscrowd": crowd}
                entry["area"] = box[2] * box[3] * 0.8
                truth.append(entry | ({"segmentation": encoded(box, text=bool(crowd))} if masks else {}))
            if image % 5 == 0:
                continue
            near = random.integers(count, size=each * 2 // 3 if count else 0)
            moved = np.abs(objects[near] * np.exp(random.normal(0, 0.12, (len(near), 4))))
            said = np.concatenate([moved, boxes(random, each - len(near))])
            labels = np.concatenate([kinds[near], random.choice(ids, each - len(near))]).astype(int)
            scores = np.round(random.random(each), digits)
            for box, kind, score in zip(said.tolist(), labels.tolist(), scores.tolist(), strict=True):
                entry = {"image_id": image, "category_id": kind, "score": score}
                found.append(entry | ({"segmentation": encoded(box)} if masks else {"bbox": box}))
        sizes = [{"id": image, "width": width, "height": height} for image in range(5, 5 + 2 * images, 2)]
        kinds = [{"id": number, "name": f"class {number}"} for number in ids]
        return {"images": sizes, "annotations": truth, "categories": kinds}, found

    return make
