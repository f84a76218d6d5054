"""Scenes as ADE20K lies on disk: images/{training,validation}/*.jpg and annotations/{training,validation}/*.png.

Labels are bytes: 0 for what belongs to no class, then the backgrounds, then the shapes.
"""

from pathlib import Path

from bench.scenes import SHAPES, STUFF, for_validation

CLASSES = (*STUFF, *SHAPES)
"""Of labels 1, 2, …"""

STUFF_LABELS = list(range(1, 1 + len(STUFF)))
THING_LABELS = list(range(1 + len(STUFF), 1 + len(CLASSES)))

HALVES = {"training": "train", "validation": "val"}  # folder → word in the file names

QUALITY = 95  # of the JPEG files


def write(folder: Path, *, images: int, side: int, seed: int) -> int:
    """Draw and write scenes 0 to images − 1 into a folder that is there. How many label maps there are."""
    from PIL import Image

    from bench.scenes.scene import draw

    for kind in ("images", "annotations"):
        for half in HALVES:
            (folder / kind / half).mkdir(parents=True)
    for index in range(images):
        scene, half = draw(seed, index, side), list(HALVES)[for_validation(index)]
        stem = f"ADE_{HALVES[half]}_{index + 1:08}"
        Image.fromarray(scene.pixels).save(folder / "images" / half / f"{stem}.jpg", quality=QUALITY)
        labels = scene.labels(STUFF_LABELS, THING_LABELS)
        Image.fromarray(labels).save(folder / "annotations" / half / f"{stem}.png")
    return images
