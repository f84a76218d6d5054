"""Scenes as COCO 2017 lies on disk: {train2017,val2017}/*.jpg and annotations/instances_{train2017,val2017}.json.

Things alone are annotated, by what can be seen of them: `area` counts pixels of the mask and `bbox` goes around it. As
in COCO, ids of categories have gaps, and a crowd is one annotation with run lengths in place of polygons.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.scenes import SHAPES, VERSION, for_validation

if TYPE_CHECKING:
    from bench.scenes.scene import Scene

CATEGORY_IDS = (2, 3, 5, 8, 13, 21, 34, 55)
"""Of SHAPES: with gaps, so that a class number in place of an id is found out."""

HALVES = ("train2017", "val2017")

QUALITY = 95  # of the JPEG files

MOST_THINGS = 100  # of a scene: annotation ids are 100 · image id + place


def write(folder: Path, *, images: int, side: int, seed: int) -> int:
    """Draw and write scenes 0 to images − 1 into a folder that is there. How many annotations they have."""
    from PIL import Image

    from bench.scenes.scene import draw

    for half in (*HALVES, "annotations"):
        (folder / half).mkdir()
    listed: dict[str, list[dict[str, Any]]] = {half: [] for half in HALVES}
    annotated: dict[str, list[dict[str, Any]]] = {half: [] for half in HALVES}
    for index in range(images):
        scene, half = draw(seed, index, side), HALVES[for_validation(index)]
        entry = {"id": index + 1, "file_name": f"{index + 1:012}.jpg", "width": side, "height": side}
        Image.fromarray(scene.pixels).save(folder / half / str(entry["file_name"]), quality=QUALITY)
        listed[half].append(entry)
        annotated[half] += annotations(scene, index + 1)
    for half in HALVES:
        whole = {
            "info": {"description": f"generated scenes {VERSION}, seed {seed}, {side} pixels a side"},
            "images": listed[half],
            "annotations": annotated[half],
            "categories": CATEGORIES,
        }
        (folder / "annotations" / f"instances_{half}.json").write_bytes(msgspec.json.encode(whole))
    return sum(map(len, annotated.values()))


CATEGORIES = [
    {"id": number, "name": name, "supercategory": "shape"} for number, name in zip(CATEGORY_IDS, SHAPES, strict=True)
]


def annotations(scene: "Scene", image_id: int) -> list[dict[str, Any]]:
    """COCO's entries for the things of a scene."""
    from bench.scenes.outlines import box, polygons, run_lengths

    assert len(scene.things) < MOST_THINGS
    return [
        {
            "id": MOST_THINGS * image_id + place,
            "image_id": image_id,
            "category_id": CATEGORY_IDS[thing.shape],
            "bbox": box(thing.mask),
            "area": int(thing.mask.sum()),
            "iscrowd": int(thing.crowd),
            "segmentation": run_lengths(thing.mask) if thing.crowd else polygons(thing.mask),
        }
        for place, thing in enumerate(scene.things)
    ]
