import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import data
from bench.batches import batches, feed
from bench.data import imagefolder
from bench.errors import Invalid, Needs, UserError
from bench.identity import digest
from bench.trial import Data

HOW = {"size": 16, "crop": 0.8, "interpolation": "bicubic"}


def _data(root, **options):
    return data.resolve("imagefolder", {"set": "shades", "classes": 3, "root": str(root)} | options)


def _names(images):
    return [path.relative_to(images.root).as_posix() for path in images.files]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "crop"), [(16, 0.8), (16, 1.0), (9, 0.875), (40, 0.9)])
def test_its_images_are_torchvisions(image_folder, size, crop, interpolation):
    root = image_folder()
    ours = data.load(_data(root), "report")
    theirs = ImageFolder(
        str(root / "val"),
        transforms.Compose(
            [
                transforms.Resize(int(size / crop), transforms.InterpolationMode(interpolation)),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        ),
    )
    assert len(ours) == len(theirs) == 6
    assert ours.labels.tolist() == theirs.targets
    assert [Path(path).name for path, _ in theirs.samples] == [path.name for path in ours.files]
    for index in range(6):
        image = ours.image(index, size=size, crop=crop, interpolation=interpolation)
        assert torch.allclose(image, theirs[index][0], atol=1e-6), ours.files[index]


def test_train_and_selection_share_the_training_files_and_report_has_the_others(image_folder):
    root = image_folder()
    train, selection, report = (
        data.load(_data(root, selection=0.25), split) for split in ("train", "selection", "report")
    )
    assert torch.bincount(selection.labels).tolist() == [2, 2, 2]
    assert torch.bincount(train.labels).tolist() == [6, 6, 6]
    assert sorted(_names(train) + _names(selection)) == sorted(
        path.relative_to(root).as_posix() for path in (root / "train").rglob("*.*")
    )
    assert all(name.startswith("val/") for name in _names(report))


def test_adding_a_file_moves_no_other(image_folder):
    root = image_folder(train=40)
    before = set(_names(data.load(_data(root), "selection")))
    Image.new("RGB", (20, 20)).save(root / "train" / "dark" / "new.png")
    after = set(_names(data.load(_data(root), "selection")))
    assert before - after == set()
    assert after - before <= {"train/dark/new.png"}


def test_selection_may_be_switched_off(image_folder):
    root = image_folder()
    assert len(data.load(_data(root, selection=0.0), "selection")) == 0
    assert len(data.load(_data(root, selection=0.0), "train")) == 24


def test_names_of_classes_decide_their_numbers(image_folder):
    images = data.load(_data(image_folder()), "train")
    assert {(path.parent.name, label) for path, label in zip(images.files, images.targets, strict=True)} == {
        ("dark", 0),
        ("grey", 1),
        ("light", 2),
    }
    brightness = [images.image(index, **HOW).mean().item() for index in range(len(images))]
    means = [
        np.mean([value for value, label in zip(brightness, images.targets, strict=True) if label == n])
        for n in range(3)
    ]
    assert means == sorted(means)


def test_files_that_are_no_images_are_not_read(image_folder):
    root = image_folder()
    names = _names(data.load(_data(root), "report"))
    for name in ("._0.jpg", ".hidden.png", "notes.txt", "Thumbs.db"):
        (root / "val" / "dark" / name).write_bytes(b"no image")
    assert _names(data.load(_data(root), "report")) == names


def test_grey_and_transparent_and_indexed_images_have_the_channels_that_are_asked_for(image_folder):
    root = image_folder(val=0)
    pixels = np.arange(400, dtype=np.uint8).reshape(20, 20)
    grey = Image.fromarray(pixels)
    for mode in ("L", "RGBA", "P", "CMYK"):
        grey.convert("RGB").convert(mode).save(root / "val" / "dark" / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
    colour, alone = (data.load(_data(root, channels=channels, normalize="none"), "report") for channels in (3, 1))
    for index, file in enumerate(colour.files):
        image = colour.image(index, size=20, crop=1.0, interpolation="bilinear")
        assert image.shape == (3, 20, 20)
        if file.stem in {"L", "RGBA"}:
            assert torch.equal(image, (torch.from_numpy(pixels).float() / 255).expand(3, 20, 20))
            assert torch.equal(alone.image(index, size=20, crop=1.0, interpolation="bilinear"), image[:1])


@pytest.mark.parametrize("normalize", ["imagenet", "half", "clip", "none"])
def test_pixels_are_normalised_as_asked(image_folder, normalize):
    root = image_folder()
    plain, normal = (data.load(_data(root, normalize=name), "report") for name in ("none", normalize))
    mean, std = (torch.tensor(values)[:, None, None] for values in normal.normalized)
    assert torch.allclose(normal.image(0, **HOW) * std + mean, plain.image(0, **HOW), atol=1e-6)
    assert 0 <= plain.image(0, **HOW).min() <= plain.image(0, **HOW).max() <= 1


def test_a_damaged_file_is_named(image_folder):
    root = image_folder()
    whole = (root / "val" / "grey" / "0.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"no image", b""):
        (root / "val" / "grey" / "0.png").write_bytes(content)
        images = data.load(_data(root), "report")
        with pytest.raises(Invalid, match=r"val/grey/0.png' cannot be decoded as an image$"):
            images.image(_names(images).index("val/grey/0.png"), **HOW)


def test_what_is_not_there_is_said_and_where_it_should_be(tmp_path, image_folder, monkeypatch):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    said = f"imagenet as {tmp_path}/imagenet/train/CLASS/*.jpg and {tmp_path}/imagenet/val/CLASS/*.jpg"
    assert data.missing(data.resolve("imagenet", {})) == said
    with pytest.raises(Needs) as raised:
        data.load(data.resolve("imagenet", {}), "report")
    assert str(raised.value) == said
    root = image_folder()
    with pytest.raises(Needs, match=rf"^shades with 4 classes; {root}/train has 3$"):
        data.load(_data(root, classes=4), "train")
    (root / "val" / "darl").mkdir()
    with pytest.raises(Needs, match=rf"^shades with the same classes in both halves; {root}/train has no 'darl'$"):
        data.load(_data(root), "report")


def test_a_half_without_images_is_a_need(image_folder):
    root = image_folder(val=0)
    with pytest.raises(Needs, match=rf"^shades: no image for report in {root}/val$"):
        data.load(_data(root), "report")


def test_where_the_files_lie_is_no_part_of_the_key_and_what_they_are_is(tmp_path):
    here, there = _data(tmp_path / "here"), _data(tmp_path / "there")
    assert digest(here) == digest(there)
    assert digest(here) != digest(_data(tmp_path / "here", set="tones"))
    assert here.at == {"root": str(tmp_path / "here")}


def test_the_fingerprint_sees_a_file_that_came_went_or_changed(image_folder):
    root = image_folder()
    prints = [data.load(_data(root), "report").fingerprint()]
    file = root / "val" / "dark" / "0.png"
    content = file.read_bytes()
    file.write_bytes(content + b"\0")
    prints.append(data.load(_data(root), "report").fingerprint())
    file.unlink()
    prints.append(data.load(_data(root), "report").fingerprint())
    file.write_bytes(content)
    prints.append(data.load(_data(root), "report").fingerprint())
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the same size
    prints.append(data.load(_data(root), "report").fingerprint())
    assert len(set(prints)) == 4
    assert prints[3] == prints[0]


@pytest.mark.parametrize(
    ("name", "classes", "image"),
    [
        ("imagenet", 1000, 224),
        ("cifar10", 10, 32),
        ("cifar100", 100, 32),
        ("flowers102", 102, 224),
        ("oxford_pets", 37, 224),
    ],
)
def test_a_named_folder_has_the_facts_of_its_data_set(name, classes, image):
    assert data.facts(data.resolve(name, {})) == data.Facts(classes=classes, channels=3, image=image)


def test_a_named_folder_is_read_as_any_other(image_folder, monkeypatch, tmp_path):
    root = image_folder(classes=tuple("abcdefghij"), train=2, val=1)
    images = data.load(data.resolve("cifar10", {"root": str(root), "selection": 0.0}), "train")
    assert images.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert images.normalized == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_misspelt_option_is_a_line():
    with pytest.raises(UserError, match=r"^no field 'data.normalise'; nearest: 'data.normalize'$"):
        data.resolve("imagefolder", {"set": "x", "classes": 3, "normalise": "half"})
    with pytest.raises(UserError, match=r"^data imagefolder: .*required field `set`"):
        data.resolve("imagefolder", {"classes": 3})


def test_batches_of_files_are_the_images_in_the_order_that_was_asked_for(image_folder):
    images = data.load(_data(image_folder()), "train")
    order = [torch.tensor([5, 0, 17]), torch.tensor([3])]
    drawn = torch.get_rng_state()
    for workers in (0, 1):
        got = list(batches(feed(images, device="cpu", workers=workers, **HOW), order))
        for (indices, pixels, labels), asked in zip(got, order, strict=True):
            assert torch.equal(indices, asked)
            assert torch.equal(labels, images.labels[asked])
            assert torch.equal(pixels, torch.stack([images.image(int(index), **HOW) for index in asked]))
    assert torch.equal(torch.get_rng_state(), drawn)  # dropout draws from it


def test_every_split_of_files_has_other_images(image_folder):
    root = image_folder()
    splits = [set(_names(data.load(_data(root), split))) for split in ("train", "selection", "report")]
    assert all(not one & other for one, other in itertools.combinations(splits, 2))


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "cifar100", "flowers102", "oxford_pets"])
def test_how_pixels_are_normalised_is_known_without_the_files(name):
    assert data.normalized(data.resolve(name, {"normalize": "clip"})) == imagefolder.MEAN_STD["clip"]
    given = data.resolve(name, {})
    assert data.normalized(given) == imagefolder.MEAN_STD[given.options["normalize"]]


def test_what_says_nothing_of_its_pixels_or_is_not_known_here_is_not_guessed():
    assert data.normalized(data.resolve("digits", {})) is None
    assert data.normalized(Data(name="of another machine")) is None
