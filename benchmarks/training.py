"""Images a second of a training, ours beside timm's own pieces put together as its train script does it.

Prints a Markdown table and writes it into the README. Both train timm's vit_tiny at 64 pixels on the same generated
JPEG files by the recipe deit, at smaller magnitudes, without repeated augmentation and with an average of the weights;
on one thread of one CPU, in one process, in turn. Each round is a training of either, whose first epoch (imports, first
allocations) is left out. Ours is deterministic and remembers how to go on; theirs is as fast as it can be.

    training.py [ROUNDS [EPOCHS [IMAGES]]]          3 rounds of 3 epochs of 256 images each
"""

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import readme
from PIL import Image
from tabulate import tabulate

from bench import data, machine, models
from bench import train as recipes
from bench.attempt import Watch
from bench.subject import Subject
from bench.trial import Execution, Input, Train, Trial

SIDE, CLASSES, BATCH = 64, 4, 32
MODEL = "vit_tiny_patch16_224"
RECIPE = {
    "image": SIDE,
    "batch": BATCH,
    "warmup_epochs": 1,
    "repeats": 1,
    "ema": 0.999,
    "auto_augment": "rand-m7-mmax8-mstd0.5-inc1",  # at larger magnitudes timm asks Pillow 13 for what it refuses
}


def main() -> int:
    """Measure, print."""
    rounds, epochs, images = (int(given) for given in [*sys.argv[1:], *("3", "3", "256")[len(sys.argv) - 1 :]])
    train = msgspec.convert(recipes.recipe("deit") | RECIPE | {"epochs": epochs + 1}, Train)
    rates: dict[str, list[float]] = {"vitab": [], "timm": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        _generate(root, images // CLASSES)
        for number in range(rounds):
            rates["vitab"] += _ours(root, train, Path(folder) / str(number))
            rates["timm"] += _theirs(root, train)
    theirs = statistics.median(rates["timm"])
    rows = [
        (
            name,
            f"{statistics.median(found):.1f}",
            f"{min(found):.1f} to {max(found):.1f}",
            f"{statistics.median(found) / theirs:.2f}",
        )
        for name, found in rates.items()
    ]
    heads = ("training", "images/s", "lowest to highest epoch", "× timm")
    facts = machine.environment()
    cpu = facts.get("cpu", facts["machine"])
    below = (
        f"{rounds} rounds of {epochs} epochs of {images} images, in turn; medians over epochs; one thread of "
        f"{facts['cores']} ({cpu}); torch {machine.version('torch')}, timm {machine.version('timm')}."
    )
    table = f"{tabulate(rows, heads, 'github', disable_numparse=True)}\n\n{below}"
    print(table)
    readme.write("training", table)
    return 0


def _generate(root: Path, count: int) -> None:
    """As many JPEG files of every class, a little larger than the model sees them."""
    random = np.random.default_rng(0)
    for half, files in (("train", count), ("val", 1)):
        for label in range(CLASSES):
            folder = root / half / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(files):
                pixels = random.integers(0, 256, (96, 96, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")


def _ours(root: Path, train: Train, store: Path) -> list[float]:
    """Images a second of every epoch but the first."""
    options = {"set": "generated", "classes": CLASSES, "image": SIDE, "selection": 0.0, "root": str(root)}
    trial = Trial(
        model=models.resolve(f"timm:{MODEL}", {}),
        input=Input(image=SIDE, classes=CLASSES),
        data=data.resolve("imagefolder", options),
        train=train,
        seed=0,
        execution=Execution(checkpoint_every_s=3600.0),
    )
    store.mkdir()
    rows: list[dict[str, float]] = []
    watch = Watch(stop=lambda: False, still_mine=lambda: True, progress=rows.append)
    recipes.run(trial, Subject(store=store, weights_folder=store), watch)
    shown = msgspec.json.decode((store / "done.json").read_bytes())["steps"] // train.epochs * BATCH
    return [shown / (row["seconds"] - before["seconds"]) for before, row in itertools.pairwise(rows)]


def _theirs(root: Path, train: Train) -> list[float]:
    """The same from timm's model, optimizer, schedule, average, Mixup and loss, in its script's order."""
    import timm
    import timm.data
    import timm.loss
    import timm.optim
    import timm.scheduler
    import timm.utils
    import torch

    pieces: Any = timm  # which exports more than it says to type checkers
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = timm.create_model(MODEL, img_size=SIDE, num_classes=CLASSES, drop_path_rate=train.drop_path).train()
    optimizer = pieces.optim.create_optimizer_v2(
        model, train.optimizer, lr=train.lr, weight_decay=train.weight_decay, fused=True
    )
    average = pieces.utils.ModelEmaV3(model, decay=train.ema)
    schedule, _ = pieces.scheduler.create_scheduler_v2(
        optimizer,
        train.schedule,
        num_epochs=train.epochs,
        min_lr=train.min_lr,
        warmup_lr=train.warmup_lr,
        warmup_epochs=int(train.warmup_epochs),
    )
    mixup = pieces.data.Mixup(train.mixup, train.cutmix, label_smoothing=train.smoothing, num_classes=CLASSES)
    loss_of, loader = pieces.loss.SoftTargetCrossEntropy(), _their_loader(root, train)
    step, rates = 0, []
    for epoch in range(train.epochs):
        began, shown = time.perf_counter(), 0
        for pixels, labels in loader:
            seen, shares = mixup(pixels, labels)
            loss = loss_of(model(seen), shares)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            average.update(model, step=step)
            shown += len(pixels)
            loss.item()  # as both do, to say how it goes
        schedule.step(epoch + 1)
        rates.append(shown / (time.perf_counter() - began))
    return rates[1:]


def _their_loader(root: Path, train: Train) -> Any:
    """timm's data set and loader of the same files, with the same augmentations."""
    import timm.data
    import torch

    pieces: Any = timm.data
    return pieces.create_loader(
        pieces.create_dataset("", root=str(root / "train")),
        input_size=(3, SIDE, SIDE),
        batch_size=train.batch,
        is_training=True,
        use_prefetcher=False,
        re_prob=train.erase,
        re_mode=train.erase_mode,
        hflip=train.flip,
        color_jitter=train.color_jitter,
        auto_augment=train.auto_augment,
        interpolation=train.interpolation,
        num_workers=0,
        pin_memory=False,
        device=torch.device("cpu"),
    )


if __name__ == "__main__":
    raise SystemExit(main())
