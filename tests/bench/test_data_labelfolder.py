import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from bench import data, pictures
from bench.data import ade20k, cityscapes, imagefolder
from bench.errors import Invalid, Needs, UserError
from bench.identity import digest

HOW = {"size": 16, "crop": 1.0, "interpolation": "bilinear"}
CLASSES = 4


@pytest.fixture
def folder(tmp_path):
    """A function that writes pictures and label maps in ADE20K's layout: labels 0 … 4, of which 0 is none."""

    def make(*, training=12, validation=3, labels=CLASSES + 1, name="ADE"):
        random, root = np.random.default_rng(0), tmp_path / "folder"
        for half, count in (("training", training), ("validation", validation)):
            for kind in ("images", "annotations"):
                (root / kind / half).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                shape = 20 + number % 3, 26 - number % 2
                stem = f"{name}_{half[:5]}_{number:08}"
                pixels = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / half / f"{stem}.jpg")
                stored = random.integers(0, labels, shape, dtype=np.uint8)
                Image.fromarray(stored).save(root / "annotations" / half / f"{stem}.png")
        return root

    return make


@pytest.fixture
def streets(tmp_path):
    """A function that writes frames in Cityscapes' layout, with all files that lie there."""

    def make(*, train=3, val=2):
        random, root = np.random.default_rng(0), tmp_path / "cityscapes"
        for half, city, count in (("train", "aachen", train), ("train", "bad-honnef", train), ("val", "lindau", val)):
            for kind in ("leftImg8bit", "gtFine"):
                (root / kind / half / city).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                frame = f"{city}_000000_{number:06}"
                labels = root / "gtFine" / half / city
                pixels = random.integers(0, 256, (10, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "leftImg8bit" / half / city / f"{frame}_leftImg8bit.png")
                Image.fromarray(pixels).save(labels / f"{frame}_gtFine_color.png")
                ids = random.integers(0, cityscapes.IDS, (10, 20), dtype=np.uint8)
                Image.fromarray(ids).save(labels / f"{frame}_gtFine_labelIds.png")
                Image.fromarray(ids.astype(np.uint16) * 1000).save(labels / f"{frame}_gtFine_instanceIds.png")
                (labels / f"{frame}_gtFine_polygons.json").write_text("{}")
        return root

    return make


def _data(root, **options):
    given = {"set": "shapes", "classes": CLASSES, "reduced": True, "root": str(root)}
    return data.resolve("labelfolder", given | options)


def _stored(path):
    return np.asarray(Image.open(path))


def test_pictures_are_made_square_and_labels_with_them_by_the_nearest_pixel(folder):
    images = data.load(_data(folder(), normalize="none"), "report")
    for index, (picture, label) in enumerate(images.pairs):
        whole = Image.open(picture).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(whole)).permute(2, 0, 1).float() / 255
        assert torch.equal(images.image(index, **HOW), expected)
        stored = torch.from_numpy(_stored(label).astype(np.float32))
        for size in (16, 33):
            near = F.interpolate(stored[None, None], size=(size, size), mode="nearest-exact")[0, 0].long()
            target = images.targets(index, size=size)
            assert target.dtype == torch.int64
            assert torch.equal(target, near - 1)  # 0 is no class, −1, and 1 the first
    assert len(images) == len(images.labels) == 3


def test_labels_from_zero_and_an_ignored_one(folder):
    root = folder(labels=CLASSES)
    kept = data.load(_data(root, reduced=False), "report")
    assert set(kept.targets(0, size=24).unique().tolist()) == {0, 1, 2, 3}
    path = kept.pairs[0][1]
    stored = _stored(path).copy()
    stored[:, :10] = 255
    Image.fromarray(stored).save(path)
    target = kept.targets(0, size=26)
    assert (target[:, :10] == -1).all()
    assert (target[:, 10:] >= 0).all()


def test_train_and_selection_share_the_training_files_and_report_has_the_others(folder):
    root = folder()
    splits = {split: data.load(_data(root, selection=0.25), split) for split in ("train", "selection", "report")}
    names = {split: {picture.name for picture, _ in images.pairs} for split, images in splits.items()}
    assert {split: len(found) for split, found in names.items()} == {"train": 9, "selection": 3, "report": 3}
    assert all(not names[one] & names[other] for one, other in itertools.combinations(names, 2))
    assert names["train"] | names["selection"] == {path.name for path in (root / "images" / "training").iterdir()}
    assert all(picture.stem == label.stem for images in splits.values() for picture, label in images.pairs)
    assert len(data.load(_data(root, selection=0.0), "selection")) == 0
    assert len(data.load(_data(root, selection=0.0), "train")) == 12


def test_adding_a_file_moves_no_other(folder):
    root = folder(training=40)
    before = {picture.name for picture, _ in data.load(_data(root), "selection").pairs}
    for kind, suffix in (("images", "jpg"), ("annotations", "png")):
        Image.new("L", (9, 9)).save(root / kind / "training" / f"new.{suffix}")
    after = {picture.name for picture, _ in data.load(_data(root), "selection").pairs}
    assert before <= after <= before | {"new.jpg"}


def test_a_part_of_a_split_has_its_targets(folder):
    chosen = data.resolve(
        "labelfolder", {"set": "shapes", "classes": CLASSES, "reduced": True, "root": str(folder())}, subset=0.5
    )
    part = data.load(chosen, "train")
    whole = part.whole
    assert len(part) == round(0.5 * len(whole))
    for place, index in enumerate(part.indices.tolist()):
        assert torch.equal(part.targets(place, size=12), whole.targets(index, size=12))


def test_what_is_known_without_the_files():
    assert data.facts(_data("nowhere")) == data.Facts(classes=4, channels=3, image=512, task="segment")
    assert data.facts(data.resolve("ade20k", {})) == data.Facts(classes=150, channels=3, image=512, task="segment")
    assert data.facts(data.resolve("cityscapes", {})) == data.Facts(classes=19, channels=3, image=1024, task="segment")
    for chosen in (_data("nowhere", normalize="clip"), data.resolve("cityscapes", {"normalize": "clip"})):
        assert data.normalized(chosen) == imagefolder.MEAN_STD["clip"]
    assert len(ade20k.NAMES) == 150
    assert (ade20k.NAMES[0], ade20k.NAMES[44], ade20k.NAMES[149]) == ("wall", "chest of drawers", "flag")


def test_rules_that_mean_two_things_are_refused_when_planned():
    with pytest.raises(Invalid, match=r"^label 255 is class 255 and ignored; say another `ignore`, up to 65,535$"):
        data.facts(_data("nowhere", classes=300, reduced=False))
    assert data.facts(_data("nowhere", classes=300, ignore=65_535)).classes == 300


def test_where_the_files_lie_is_no_part_of_the_key_and_how_predictions_are_stored_is(tmp_path):
    here, there = _data(tmp_path / "here"), _data(tmp_path / "there")
    assert digest(here) == digest(there)
    assert digest(here) != digest(_data(tmp_path / "here", predictions="classes"))
    assert digest(here) != digest(_data(tmp_path / "here", reduced=False))


def test_ade20k_is_such_a_folder_of_150_classes(folder, monkeypatch, tmp_path):
    folder(labels=151)
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    (tmp_path / "folder").rename(tmp_path / "ade20k")
    images = data.load(data.resolve("ade20k", {}), "report")
    assert images.targets(0, size=16).max() == 149
    root, labels = ade20k.truths(ade20k.Options(), "report")
    assert root == tmp_path / "ade20k" / "annotations" / "validation"
    assert labels == [label for _, label in ade20k.pairs(ade20k.Options(), "report")]
    assert str(ade20k.rules(ade20k.Options())) == "1 … 150, and 0, 255 for no class"
    assert str(ade20k.predicted(ade20k.Options())) == "1 … 150, and 0, 255 for no class"
    assert str(ade20k.predicted(ade20k.Options(predictions="classes"))) == "0 … 149, and 255 for no class"


def test_cityscapes_ids_become_its_19_train_ids(streets):
    chosen = data.resolve("cityscapes", {"root": str(streets()), "selection": 0.0})
    images = data.load(chosen, "train")
    assert [picture.parent.name for picture, _ in images.pairs] == ["aachen"] * 3 + ["bad-honnef"] * 3
    ignored_ids = {0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30}
    train_ids = {}  # of ids that were seen
    for index, (_, label) in enumerate(images.pairs):
        stored = torch.from_numpy(_stored(label).astype(np.int64))
        found = images.targets(index, size=20)[::2]  # 10 rows were made 20
        for number in stored.unique().tolist():
            assert len(set(found[stored == number].tolist())) == 1
            train_ids[number] = int(found[stored == number][0])
    assert {number for number, found in train_ids.items() if found < 0} == ignored_ids
    assert [found for _, found in sorted(train_ids.items()) if found >= 0] == list(range(19))
    assert (cityscapes.NAMES[13], cityscapes.CLASSES["car"], train_ids[26]) == ("car", 26, 13)
    assert len(data.load(chosen, "report")) == 2


def test_a_folder_without_pictures_still_has_its_truths(folder, streets):
    root = folder()
    for picture in (root / "images").rglob("*.jpg"):
        picture.unlink()
    options = {"set": "shapes", "classes": 4, "root": str(root)}
    module = data.registry.load("data", "labelfolder")
    assert len(module.truths(module.Options(**options), "report")[1]) == 3
    with pytest.raises(Needs) as raised:
        data.load(data.resolve("labelfolder", options), "report")
    label = root / "annotations" / "validation" / "ADE_valid_00000000.png"
    assert str(raised.value) == (
        f"shapes: a picture for the label map {label}, as {root}/images/validation/ADE_valid_00000000.jpg"
    )
    city = streets()
    for picture in (city / "leftImg8bit" / "val").rglob("*.png"):
        picture.unlink()
    chosen = data.resolve("cityscapes", {"root": str(city)})
    assert len(cityscapes.truths(cityscapes.Options(root=str(city)), "report")[1]) == 2
    with pytest.raises(Needs, match=r"^cityscapes: a picture for the label map .*lindau_000000_000000_gtFine_labelIds"):
        data.load(chosen, "report")


def test_what_is_not_there_is_said_and_where_it_should_be(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    at = f"{tmp_path}/ade20k"
    assert data.missing(data.resolve("ade20k", {})) == (
        f"ade20k as {at}/images/{{training,validation}}/*.jpg and {at}/annotations/…/*.png"
    )
    with pytest.raises(Needs, match=r"^cityscapes as .*/cityscapes/leftImg8bit/\{train,val\}/CITY/\*_leftImg8bit.png "):
        data.load(data.resolve("cityscapes", {}), "report")
    with pytest.raises(Needs, match=r"^shapes: no label map for report as .*/annotations/validation/\*\.png$"):
        data.load(_data(folder(validation=0)), "report")
    (tmp_path / "cityscapes" / "gtFine" / "val").mkdir(parents=True)
    with pytest.raises(Needs, match=r"^cityscapes: no label map for report as .*/gtFine/val/CITY/\*_gtFine_labelIds"):
        cityscapes.truths(cityscapes.Options(), "report")
    with pytest.raises(UserError, match=r"^no field 'data.reduce'; nearest: 'data.reduced'$"):
        _data("nowhere", reduce=True)


def test_what_is_wrong_with_a_file_is_a_line_that_names_it(folder):
    images = data.load(_data(folder()), "report")
    picture, label = images.pairs[0]
    Image.fromarray(_stored(label) + np.uint8(100)).save(label)
    with pytest.raises(
        Invalid, match=r"ADE_valid_00000000.png: label 10\d at row 0, column 0 is no class; allowed: 1 "
    ):
        images.targets(0, size=16)
    Image.new("L", (5, 4)).save(label)
    with pytest.raises(Invalid) as raised:
        images.targets(0, size=16)
    assert str(raised.value) == f"{label}: 5 × 4 pixels, and {picture} has 26 × 20"
    picture.write_bytes(picture.read_bytes()[:200])
    for ask in (lambda: images.image(0, **HOW), lambda: images.targets(0, size=16)):
        with pytest.raises(Invalid, match=r"ADE_valid_00000000\.jpg"):
            ask()
    with pytest.raises(
        Invalid, match=r"^evaluate.crop 0.9 of pictures with label maps; allowed: 1, every pixel counts$"
    ):
        images.image(1, size=16, crop=0.9, interpolation="bilinear")


def test_the_fingerprint_sees_pictures_and_labels(folder):
    root = folder()
    prints = [data.load(_data(root), "report").fingerprint()]
    for path in (root / "images" / "validation", root / "annotations" / "validation"):
        file: Path = pictures.listed(path)[0]
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        prints.append(data.load(_data(root), "report").fingerprint())
    assert len(set(prints)) == 3


def test_of_many_files_labels_are_looked_into_as_often_as_pictures(folder, monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE", 3)
    images = data.load(_data(folder(training=4)), "train")
    before = images.fingerprint()
    for _, path in images.pairs:
        path.write_bytes(bytes(reversed(path.read_bytes())))  # of the same size
    assert images.fingerprint() != before
