"""Generated scenes as data sets by name: drawn when they are first asked for, then read like anyone's folder."""

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from bench import data, registry
from bench.detection import annotations
from bench.errors import Needs, UserError
from bench.scenes import SHAPES, STUFF, ade20k, coco, folders
from bench.scenes.scene import draw

SMALL = {"images": 12, "side": 48, "seed": 5, "selection": 0.25}
HOW = {"size": 48, "crop": 1.0, "interpolation": "bilinear"}
SPLITS = ("train", "selection", "report")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of data sets, the same for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def load(drawn, monkeypatch):
    """A function that loads a split of small generated data."""
    monkeypatch.setenv("VITAB_DATA", str(drawn))
    return lambda name, split, **options: data.load(data.resolve(name, SMALL | options), split)


def _options(name):
    module = registry.load("data", name)
    return module, msgspec.convert(SMALL, module.Options)


@pytest.mark.parametrize("name", ["generated_coco", "generated_ade20k"])
def test_nothing_is_drawn_before_it_is_asked_for(name, tmp_path, monkeypatch):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    chosen = data.resolve(name, SMALL)
    task = "detect" if name == "generated_coco" else "segment"
    assert data.facts(chosen) == data.Facts(classes=8 if task == "detect" else 12, channels=3, image=48, task=task)
    assert data.missing(chosen) is None
    assert data.normalized(chosen) == ((0.5,) * 3, (0.5,) * 3)
    assert list(tmp_path.iterdir()) == []
    assert len(data.load(chosen, "report")) == 3
    assert len(list((tmp_path / "generated").iterdir())) == 1


@pytest.mark.parametrize("name", ["generated_coco", "generated_ade20k"])
def test_every_scene_is_in_one_split_and_facts_are_those_of_the_images(load, name):
    splits = [load(name, split) for split in SPLITS]
    assert [len(images) for images in splits] == [7, 2, 3]
    assert len({images.fingerprint() for images in splits}) == 3
    for images in splits:
        assert images.normalized == ((0.5,) * 3, (0.5,) * 3)
        for index in range(len(images)):
            assert images.image(index, **HOW).shape == (3, 48, 48)
            classes = images.targets(index, size=48)
            classes = classes[:, 4] if name == "generated_coco" else classes
            assert set(classes.unique().tolist()) <= set(range(-1, 8 if name == "generated_coco" else 12))


def test_boxes_to_learn_go_around_the_things_of_the_scene(load):
    images = load("generated_coco", "train")
    seen = 0
    for index, number in enumerate(images.ids):
        scene = draw(5, number - 1, 48)
        wanted = []
        for thing in scene.things:
            rows, columns = np.nonzero(thing.mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            wanted += [] if thing.crowd else [[float(2 * place) for place in box] + [float(thing.shape)]]
        rows = images.targets(index, size=96)
        assert rows[rows[:, 4] >= 0].tolist() == wanted
        assert (rows[len(wanted) :] == -1).all()
        seen += len(wanted)
    assert seen > 20


def test_label_maps_to_learn_are_those_of_the_scene_and_no_class_is_minus_one(load):
    images = load("generated_ade20k", "train")
    for index, (picture, _) in enumerate(images.pairs):
        scene = draw(5, int(picture.stem[-8:]) - 1, 48)
        labels = scene.labels(ade20k.STUFF_LABELS, ade20k.THING_LABELS).astype(np.int64) - 1
        assert torch.equal(images.targets(index, size=48), torch.from_numpy(labels))


def test_the_ground_truth_of_a_split_is_a_file_that_evaluators_read(load):
    images = load("generated_coco", "report")
    module, options = _options("generated_coco")
    truth = annotations.read(module.annotations_file(options, "report"))
    assert tuple(truth.images) == images.ids == (4, 8, 12)
    assert truth.categories == dict(zip(coco.CATEGORY_IDS, SHAPES, strict=True))
    assert module.category_ids(options) == images.category_ids == coco.CATEGORY_IDS
    drawn_here = sum(len(draw(5, number - 1, 48).things) for number in images.ids)
    assert len(truth.entries) == drawn_here


def test_pairs_are_the_pictures_and_label_maps_of_a_split_in_the_order_of_its_images(load):
    images = load("generated_ade20k", "selection")
    module, options = _options("generated_ade20k")
    assert list(module.pairs(options, "selection")) == list(images.pairs)
    assert module.truths(options, "report")[1] == [label for _, label in module.pairs(options, "report")]
    assert module.rules(options).classes == len(module.NAMES) == len(STUFF) + len(SHAPES)
    assert module.rules(options).values == tuple(range(1, 13))


def test_cityscapes_reads_scenes_as_its_own(tmp_path):
    folders.generate("cityscapes", tmp_path / "city", images=8, side=48, seed=5)
    images = data.load(data.resolve("cityscapes", {"root": str(tmp_path / "city"), "selection": 0.0}), "train")
    assert len(images) == 6
    classes = {value for index in range(6) for value in images.targets(index, size=48).unique().tolist()}
    assert classes <= {-1, 0, 2, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18}
    assert len(classes) > 8


def test_a_seed_a_side_and_a_number_are_other_data(load):
    first = load("generated_coco", "report")
    assert load("generated_coco", "report", seed=6).fingerprint() != first.fingerprint()
    assert load("generated_coco", "report", side=56).sizes == ((56, 56),) * 3
    more = load("generated_coco", "report", images=16)
    assert more.ids == (4, 8, 12, 16)
    assert [path.read_bytes() for path in more.files[:3]] == [path.read_bytes() for path in first.files]
    with Image.open(more.files[3]) as file:
        assert file.size == (48, 48)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": 3}, r"^data generated_coco: Expected `int` >= 4 - at `\$.images`$"),
        ({"side": 8}, r"^data generated_coco: Expected `int` >= 32 - at `\$.side`$"),
        ({"root": "x"}, r"^no field 'data.root'; allowed: data.images, data.normalize, data.seed, "),
    ],
)
def test_a_wrong_option_is_a_line(options, said):
    with pytest.raises(UserError, match=said):
        data.resolve("generated_coco", options)


def test_a_machine_whose_data_cannot_be_written_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    with pytest.raises(Needs, match=r"^room for generated scenes in .*: not a directory$"):
        data.load(data.resolve("generated_coco", SMALL), "train")
