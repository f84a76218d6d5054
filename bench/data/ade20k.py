"""ade20k: ADE20K's scene parsing benchmark (ADEChallengeData2016), 20,210 training and 2,000 validation pictures.

Of 150 classes, stored as 1 … 150; 0 is everything else and no class (Zhou et al., CVPR 2017). In the layout of its
archive: images/{training,validation}/*.jpg and annotations/{training,validation}/*.png. Predictions are stored in the
same way, as its server wants them, unless `predictions: classes` says that they count from 0.
"""

from typing import Annotated

from msgspec import Meta

from bench.data import labelfolder

VERSION = labelfolder.VERSION

_FOLDER = labelfolder.Named("ade20k", classes=150, reduced=True, image=512)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load
truths, pairs, rules, predicted = _FOLDER.truths, _FOLDER.pairs, _FOLDER.rules, _FOLDER.predicted
folders = _FOLDER.folders


class Options(labelfolder.Reading):
    """How it is read, and where it lies."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.05


_NAMES = """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
    table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field,
    armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard,
    chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway,
    case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower,
    book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine,
    hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television, airplane, dirt
    track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain,
    conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike,
    cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen,
    blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor,
    bulletin board, shower, radiator, glass, clock, flag
"""

NAMES = tuple(" ".join(_NAMES.split()).split(", "))
"""By class: the first word for it in the benchmark's objectInfo150.txt (github.com/CSAILVision/sceneparsing)."""
