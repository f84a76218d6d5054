import hashlib
import json
import multiprocessing
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from bench.errors import Needs, UserError
from bench.scenes import SHAPES, VERSION, ade20k, cityscapes, coco, folders
from bench.scenes.scene import draw

HOW = {"images": 8, "side": 48, "seed": 3}
NAME = f"coco-v{VERSION}-8-48-3"


def _content(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One folder of each layout, never changed."""
    root = tmp_path_factory.mktemp("scenes")
    return {name: root / name for name in folders.LAYOUTS if folders.generate(name, root / name, **HOW)}


@pytest.mark.parametrize("layout", folders.LAYOUTS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(layout, written, tmp_path):
    folders.generate(layout, tmp_path / "again", **HOW)
    folders.generate(layout, tmp_path / "other", **HOW | {"seed": 4})
    first, again, other = map(_content, (written[layout], tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize("layout", folders.LAYOUTS)
def test_more_images_move_none(layout, written, tmp_path):
    folders.generate(layout, tmp_path / "more", **HOW | {"images": 13})
    few, more = _content(written[layout]), _content(tmp_path / "more")
    pictures = {name for name in few if not name.endswith(".json")}
    assert {name: few[name] for name in pictures} == {name: more[name] for name in pictures}
    assert len(more) - len(few) == 5 * (len(pictures) // 8)


def test_files_lie_where_those_of_the_data_sets_do(written):
    assert sorted(_content(written["coco"])) == sorted(
        ["annotations/instances_train2017.json", "annotations/instances_val2017.json"]
        + [f"{'val2017' if number % 4 == 0 else 'train2017'}/{number:012}.jpg" for number in range(1, 9)]
    )
    halves = {number: ("validation", "val") if number % 4 == 0 else ("training", "train") for number in range(1, 9)}
    assert sorted(_content(written["ade20k"])) == sorted(
        f"{kind}/{half}/ADE_{word}_{number:08}.{suffix}"
        for number, (half, word) in halves.items()
        for kind, suffix in (("images", "jpg"), ("annotations", "png"))
    )
    assert sorted(_content(written["cityscapes"])) == sorted(
        f"{kind}/{word}/scenes/scenes_{number:06}_000019_{what}.png"
        for number, (_, word) in halves.items()
        for kind, what in (
            ("leftImg8bit", "leftImg8bit"),
            ("gtFine", "gtFine_labelIds"),
            ("gtFine", "gtFine_instanceIds"),
        )
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:pycocotools")
def test_pycocotools_reads_every_mask_as_it_was_drawn(written):
    seen = 0
    for half in coco.HALVES:
        truth = COCO(str(written["coco"] / "annotations" / f"instances_{half}.json"))
        assert sorted(truth.getCatIds()) == list(coco.CATEGORY_IDS)
        for image in truth.loadImgs(truth.getImgIds()):
            scene = draw(3, image["id"] - 1, 48)
            pixels = np.asarray(Image.open(written["coco"] / half / image["file_name"])).astype(int)
            away = [abs(pixels - draw(3, index, 48).pixels).mean() for index in range(8)]  # JPEG changes the noise
            assert np.argmin(away) == image["id"] - 1
            entries = truth.loadAnns(truth.getAnnIds(imgIds=[image["id"]]))
            assert len(entries) == len(scene.things)
            for entry, thing in zip(entries, scene.things, strict=True):
                assert (truth.annToMask(entry).astype(bool) == thing.mask).all()
                assert truth.cats[entry["category_id"]]["name"] == SHAPES[thing.shape]
            seen += len(entries)
    assert seen > 30


def test_label_maps_are_read_as_they_were_drawn(written):
    for index in range(8):
        scene = draw(3, index, 48)
        half, word = ("validation", "val") if index % 4 == 3 else ("training", "train")
        with Image.open(written["ade20k"] / f"annotations/{half}/ADE_{word}_{index + 1:08}.png") as file:
            assert file.mode == "L"
            assert (np.asarray(file) == scene.labels(ade20k.STUFF_LABELS, ade20k.THING_LABELS)).all()
        stem = written["cityscapes"] / f"gtFine/{word}/scenes/scenes_{index + 1:06}_000019_gtFine"
        with Image.open(f"{stem}_labelIds.png") as file:
            assert (np.asarray(file) == scene.labels(cityscapes.STUFF_IDS, cityscapes.THING_IDS)).all()
        with Image.open(f"{stem}_instanceIds.png") as file:
            assert (np.asarray(file) == cityscapes.instances(scene)).all()
        with Image.open(written["cityscapes"] / f"leftImg8bit/{word}/scenes/{stem.name[:-7]}_leftImg8bit.png") as file:
            assert (np.asarray(file) == scene.pixels).all()


def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, **how):
        (folder / "half").write_text("of it")
        raise KeyboardInterrupt

    monkeypatch.setitem(folders.LAYOUTS, "coco", fail)
    with pytest.raises(KeyboardInterrupt):
        folders.generate("coco", tmp_path / "scenes", **HOW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "mine").write_text("kept")
    assert folders.generate("ade20k", tmp_path / "scenes", **HOW) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["scenes", "mine"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"images": 3}, "images 3: at least 4, of which every 4th is for validation"),
        ({"side": 31}, "side 31: from 32 to 4096 pixels"),
        ({"side": 4097}, "side 4097: from 32 to 4096 pixels"),
    ],
)
def test_what_cannot_be_drawn_is_a_line(tmp_path, how, said):
    with pytest.raises(UserError) as raised:
        folders.generate("coco", tmp_path / "scenes", **HOW | how)
    assert str(raised.value) == said
    assert list(tmp_path.iterdir()) == []


def _race(barrier, answers):
    barrier.wait()
    answers.put(str(folders.at_hand("coco", **HOW)))


def test_processes_that_race_for_scenes_all_find_the_same_whole_folder(tmp_path, monkeypatch, written):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(3), context.Queue()
    racers = [context.Process(target=_race, args=(barrier, answers)) for _ in range(3)]
    for racer in racers:
        racer.start()
    found = {answers.get(timeout=60) for _ in racers}
    for racer in racers:
        racer.join()
    assert [path.name for path in (tmp_path / "generated").iterdir()] == [NAME]
    assert found == {str(tmp_path / "generated" / NAME)}
    assert _content(tmp_path / "generated" / NAME) == _content(written["coco"])


def test_scenes_at_hand_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    where = folders.at_hand("ade20k", **HOW)
    first = _content(where)
    monkeypatch.setitem(folders.LAYOUTS, "ade20k", None)  # would be called
    assert folders.at_hand("ade20k", **HOW) == where
    assert _content(where) == first


def test_a_folder_that_cannot_be_written_is_a_need(tmp_path, monkeypatch):
    (tmp_path / "generated").write_text("a file in its place")
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    with pytest.raises(Needs, match=rf"^room for generated scenes in .*{NAME}, which cannot be written: "):
        folders.at_hand("coco", **HOW)


def test_an_empty_folder_is_filled(tmp_path):
    shutil.copytree(tmp_path, tmp_path / "scenes")
    assert folders.generate("coco", tmp_path / "scenes", **HOW) == sum(
        len(json.loads(path.read_text())["annotations"])
        for path in (tmp_path / "scenes" / "annotations").glob("*.json")
    )
