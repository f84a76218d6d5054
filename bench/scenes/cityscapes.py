"""Scenes as Cityscapes lies on disk: leftImg8bit/{train,val}/CITY/*.png and gtFine/{train,val}/CITY/*.png.

`_labelIds` are bytes with the ids of Cityscapes' own table: the eight shapes stand for its eight classes that are
counted one by one, the backgrounds for four others. `_instanceIds` are 16 bits: 1000 · id + number of a thing, the id
alone for a crowd and for backgrounds, as cityscapesScripts writes them (preparation/json2instanceImg.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.scenes import for_validation

if TYPE_CHECKING:
    from bench.scenes.scene import Scene

STUFF_IDS = [7, 11, 21, 23]  # road, building, vegetation, sky
THING_IDS = [24, 25, 26, 27, 28, 31, 32, 33]  # person, rider, car, truck, bus, train, motorcycle, bicycle

CITY = "scenes"
HALVES = ("train", "val")


def write(folder: Path, *, images: int, side: int, seed: int) -> int:
    """Draw and write scenes 0 to images − 1 into a folder that is there. How many label maps there are."""
    from PIL import Image

    from bench.scenes.scene import draw

    for kind in ("leftImg8bit", "gtFine"):
        for half in HALVES:
            (folder / kind / half / CITY).mkdir(parents=True)
    for index in range(images):
        scene, half = draw(seed, index, side), HALVES[for_validation(index)]
        frame = f"{CITY}_{index + 1:06}_000019"  # the annotated frame of a snippet of thirty is the twentieth
        Image.fromarray(scene.pixels).save(folder / "leftImg8bit" / half / CITY / f"{frame}_leftImg8bit.png")
        truths = folder / "gtFine" / half / CITY
        Image.fromarray(scene.labels(STUFF_IDS, THING_IDS)).save(truths / f"{frame}_gtFine_labelIds.png")
        Image.fromarray(instances(scene)).save(truths / f"{frame}_gtFine_instanceIds.png")
    return images


def instances(scene: "Scene") -> Any:
    """The map (side, side) uint16 of ids and numbers; things of a class count from 0, the farthest first."""
    import numpy as np

    numbered = scene.labels(STUFF_IDS, THING_IDS).astype(np.uint16)
    counts = [0] * len(THING_IDS)
    for thing in scene.things:
        if not thing.crowd:
            numbered[thing.mask] = 1000 * THING_IDS[thing.shape] + counts[thing.shape]
            counts[thing.shape] += 1
    return numbered
