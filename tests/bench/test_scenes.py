import hashlib

import numpy as np
import pytest
from pycocotools import mask as rle
from scipy import ndimage

from bench.scenes import SHAPES, STUFF, ade20k, cityscapes, coco, outlines
from bench.scenes.scene import draw
from bench.scenes.shapes import inside
from bench.scenes.textures import Draws

SIDE = 96

R, D = np.sqrt(0.7), 0.5
LENS = (  # of the unit disc and a disc of radius R whose middle is D away (Weisstein, Circle-Circle Intersection, 14)
    np.arccos((D**2 + 1 - R**2) / (2 * D))
    + R**2 * np.arccos((D**2 + R**2 - 1) / (2 * D * R))
    - np.sqrt((-D + 1 + R) * (D + 1 - R) * (D - 1 + R) * (D + 1 + R)) / 2
)


@pytest.fixture(scope="module")
def scenes():
    return [draw(0, index, SIDE) for index in range(40)]


def _digest(scene):
    digest = hashlib.sha256(scene.pixels.tobytes() + scene.stuff.tobytes())
    for thing in scene.things:
        digest.update(bytes([thing.shape, thing.crowd]) + thing.mask.tobytes())
    return digest.hexdigest()[:16]


def test_scenes_are_those_that_they_were():
    """Another digest is other scenes, and needs another bench.scenes.VERSION."""
    assert [_digest(draw(seed, index, 64)) for seed, index in ((0, 0), (0, 2), (7, 1234))] == FROZEN


FROZEN = ["4d9747f9fc365773", "80ba84c06b7e74ee", "ea9d5bbf0f06e93b"]


def test_every_index_and_every_seed_is_another_scene(scenes):
    digests = {_digest(scene) for scene in (*scenes, *(draw(seed, 0, SIDE) for seed in range(1, 5)))}
    assert len(digests) == len(scenes) + 4


def test_draws_are_uniform_and_keep_within_their_bounds():
    draws = Draws(3, 1)
    many = draws.uniforms(20_000)
    assert 0 <= many.min() < 0.001
    assert 0.999 < many.max() < 1
    assert np.histogram(many, 10, (0, 1))[0].min() > 1850  # 2,000 each, deviation 42
    assert {draws.whole(3, 5) for _ in range(100)} == {3, 4, 5}
    assert all(abs(np.hypot(*draws.direction()) - 1) < 1e-15 for _ in range(100))


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("disc", np.pi),
        ("ring", np.pi * (1 - 0.7**2)),
        ("square", 2),
        ("triangle", 3 * np.sqrt(3) / 4),
        ("cross", 4 * 0.4 - 0.16),
        ("star", 5 / 2 * np.sin(np.radians(36)) * 2 * np.cos(np.radians(72)) / np.cos(np.radians(36))),
        ("bar", 4 * 0.07),
        ("crescent", np.pi - LENS),
    ],
)
def test_a_shape_has_the_area_of_its_formula(shape, area):
    y, x = (np.mgrid[-600:600, -600:600] + 0.5) / 500
    assert inside(shape, x, y, 0.01).sum() / 500**2 == pytest.approx(area, rel=0.01)


def test_a_shape_fits_into_the_unit_circle_and_reaches_it():
    y, x = (np.mgrid[-600:600, -600:600] + 0.5) / 500
    for shape in SHAPES:
        away = np.hypot(x, y)[inside(shape, x, y, 0.01)].max()
        assert 0.99 < away < 1.03, shape


def test_there_is_everything_that_makes_a_scene_hard(scenes):
    things = [thing for scene in scenes for thing in scene.things]
    areas = [int(thing.mask.sum()) for thing in things if not thing.crowd]
    assert {thing.shape for thing in things} == set(range(len(SHAPES)))
    assert {kind for scene in scenes for kind in np.unique(scene.stuff)} == set(range(len(STUFF) + 1))
    assert sum(area < 32**2 for area in areas) > 20
    assert sum(32**2 <= area < 96**2 for area in areas) > 20
    assert any(thing.crowd for thing in things)
    border = [thing.mask[[0, -1]].any() or thing.mask[:, [0, -1]].any() for thing in things]
    assert 20 < sum(border) < len(things) - 20
    assert sum(ndimage.label(thing.mask, np.ones((3, 3)))[1] > 1 for thing in things if not thing.crowd) > 5


def test_there_are_things_of_coco_s_three_sizes_where_there_is_room():
    areas = [thing.mask.sum() for index in range(12) for thing in draw(1, index, 224).things if not thing.crowd]
    sizes = np.histogram(areas, [0, 32**2, 96**2, 224**2])[0]
    assert sizes.min() >= 3


def test_no_pixel_is_of_two_things_and_every_thing_can_be_seen(scenes):
    for scene in scenes:
        owners = sum((thing.mask.astype(int) for thing in scene.things), np.zeros((SIDE, SIDE), int))
        assert owners.max(initial=0) <= 1
        assert all(thing.mask.sum() >= 12 for thing in scene.things)
        assert len(scene.things) <= 13  # twelve and a crowd


def test_what_would_lie_wholly_outside_of_the_picture_is_left_out():
    scene = draw(0, 464, 128)  # a disc of its smudge would
    assert scene.pixels.shape == (128, 128, 3)
    assert 3 <= len(scene.things) <= 13


def test_hundreds_of_the_smallest_scenes_can_be_drawn():
    scenes = [draw(2, index, 32) for index in range(200)]
    assert all(scene.pixels.shape == (32, 32, 3) for scene in scenes)
    assert sum(not scene.things for scene in scenes) < 20
    assert {0, *range(1, len(STUFF) + 1)} == {int(kind) for scene in scenes for kind in np.unique(scene.stuff)}


def test_a_label_map_is_the_visible_masks_in_front_of_the_background(scenes):
    for scene in scenes:
        labels = scene.labels(ade20k.STUFF_LABELS, ade20k.THING_LABELS)
        seen = np.zeros((SIDE, SIDE), bool)
        for thing in scene.things:
            assert (labels[thing.mask] == 1 + len(STUFF) + thing.shape).all()
            seen |= thing.mask
        assert (labels[~seen] == scene.stuff[~seen]).all()
        assert labels.dtype == np.uint8


def test_the_colour_of_a_thing_says_nothing_of_its_class():
    """Of the mean colours, classes explain no more than chance does: one-way analysis of variance, each channel."""
    from scipy.stats import f_oneway

    groups = [[] for _ in SHAPES]
    for index in range(80):
        scene = draw(11, index, 48)
        for thing in scene.things:
            if not thing.crowd:
                groups[thing.shape].append(scene.pixels[thing.mask].mean(axis=0))
    assert f_oneway(*map(np.array, groups)).pvalue.min() > 0.001


THEIRS = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:pycocotools"
)


def _decoded(segmentation, side):
    if isinstance(segmentation, dict):
        return rle.decode(rle.frPyObjects(segmentation, side, side)).astype(bool)
    return rle.decode(rle.merge(rle.frPyObjects(segmentation, side, side))).astype(bool)


@THEIRS
def test_polygons_and_run_lengths_are_exactly_the_mask(scenes):
    for index, scene in enumerate(scenes):
        entries = coco.annotations(scene, index + 1)
        assert [entry["id"] for entry in entries] == [100 * (index + 1) + k for k in range(len(scene.things))]
        for entry, thing in zip(entries, scene.things, strict=True):
            segmentation = entry["segmentation"]
            assert isinstance(segmentation, dict) == thing.crowd == bool(entry["iscrowd"])
            if not thing.crowd:
                segmentation = [[float(place) for place in polygon] for polygon in segmentation]
                assert all(len(polygon) >= 8 for polygon in segmentation)
            assert (_decoded(segmentation, SIDE) == thing.mask).all()
            assert entry["area"] == thing.mask.sum()
            assert entry["bbox"] == rle.toBbox(rle.encode(np.asfortranarray(thing.mask.astype(np.uint8)))).tolist()


@THEIRS
@pytest.mark.parametrize("seed", range(6))
def test_any_mask_at_all_is_its_polygons_and_its_run_lengths(seed):
    """Noise has everything: holes in holes, corners that touch, single pixels, the border."""
    share = 0.2 + 0.12 * seed
    mask = np.random.default_rng(seed).random((23, 31)) < share
    polygons = [[float(place) for place in polygon] for polygon in outlines.polygons(mask)]
    whole = rle.decode(rle.merge(rle.frPyObjects(polygons, 23, 31))).astype(bool)
    assert (whole == mask).all()
    run = outlines.run_lengths(mask)
    assert sum(run["counts"]) == mask.size
    assert (rle.decode(rle.frPyObjects(run, 23, 31)).astype(bool) == mask).all()


def test_a_ring_is_cut_into_polygons_without_a_hole():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert outlines.polygons(mask) == [[0, 0, 3, 0, 3, 2, 2, 2, 2, 3, 3, 3, 3, 5, 0, 5], [3, 0, 5, 0, 5, 5, 3, 5]]
    assert outlines.box(mask) == [0, 0, 5, 5]
    assert outlines.run_lengths(mask) == {"counts": [0, 12, 1, 12], "size": [5, 5]}


def test_instances_of_cityscapes_are_their_class_and_number(scenes):
    for scene in scenes:
        labels = scene.labels(cityscapes.STUFF_IDS, cityscapes.THING_IDS)
        numbered = cityscapes.instances(scene)
        single = numbered >= 1000
        assert (np.where(single, numbered // 1000, numbered) == labels).all()
        assert len(np.unique(numbered[single])) == sum(not thing.crowd for thing in scene.things)
