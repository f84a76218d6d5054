import dataclasses
import itertools
import json
import shutil

import pytest
import torch
from PIL import Image

from bench import data
from bench.errors import Invalid, Needs, UserError
from bench.identity import digest

SPLITS = ("train", "selection", "report")


@pytest.fixture
def root(tmp_path):
    """Sixteen pictures for training and two for evaluation, 40 × 20 pixels, categories 7 and 3."""
    categories = [{"id": 7, "name": "late"}, {"id": 3, "name": "early"}]
    for half, count in (("train2017", 16), ("val2017", 2)):
        (tmp_path / half).mkdir()
        images, entries = [], []
        for number in range(1, count + 1):
            name = f"{half}-{number}.png"
            Image.new("RGB", (40, 20), (10 * number, 0, 255)).save(tmp_path / half / name)
            images.append({"id": 50 - number, "file_name": name, "width": 40, "height": 20})
            box = {"image_id": 50 - number, "iscrowd": 0, "area": 50.0}
            entries.append(box | {"id": 2 * number, "category_id": 7, "bbox": [10, 5, 10, 5]})
        entries.append(box | {"id": 901, "category_id": 3, "bbox": [30, 10, 20, 20]})  # leaves the picture
        entries.append(box | {"id": 902, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1})
        entries.append(box | {"id": 903, "category_id": 3, "bbox": [40, 0, 9, 9]})  # outside
        whole = {"images": images, "annotations": entries, "categories": categories}
        _write(tmp_path, half, whole)
    return tmp_path


def _write(root, half, whole):
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{half}.json").write_text(json.dumps(whole))


def _change(root, half, change):
    path = root / "annotations" / f"instances_{half}.json"
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


def _data(root, **options):
    return data.resolve("cocofolder", {"set": "boxes", "classes": 2, "root": str(root)} | options)


def _module():
    from bench.data import cocofolder

    return cocofolder


def _options(root, **options):
    return _module().Options(**({"set": "boxes", "classes": 2, "root": str(root)} | options))


def test_boxes_are_those_of_the_square_image_by_ascending_category_id(root):
    images = data.load(_data(root), "report")
    assert images.ids == (49, 48)
    assert images.category_ids == (3, 7)
    assert images.sizes == ((40, 20), (40, 20))
    one, two = (images.targets(index, size=80) for index in range(2))
    assert one.dtype == torch.float32
    assert one.tolist() == [[20, 20, 40, 40, 1], [-1] * 5]
    assert two.tolist() == [[20, 20, 40, 40, 1], [60, 40, 80, 80, 0]]  # without the crowd and what is outside


def test_boxes_of_all_images_are_looked_at_once_and_not_for_every_image(root):
    class Counted(tuple):
        looks = 0

        def __len__(self):
            Counted.looks += 1
            return super().__len__()

    images = data.load(_data(root), "report")
    images = dataclasses.replace(images, boxes=[Counted(boxes) for boxes in images.boxes])
    looks = []
    for _ in range(2):
        Counted.looks = 0
        images.targets(0, size=80)
        looks.append(Counted.looks)
    assert looks[0] - looks[1] == len(images)


def test_an_image_is_the_whole_picture_as_a_square(root):
    images = data.load(_data(root, normalize="none"), "report")
    image = images.image(0, size=8, crop=1.0, interpolation="bilinear")
    assert image.shape == (3, 8, 8)
    assert torch.allclose(image, torch.tensor([10 / 255, 0, 1])[:, None, None].expand(3, 8, 8))
    assert images.picture(0).size == (40, 20)
    with pytest.raises(Invalid, match=r"^evaluate.crop 0.9 of pictures with boxes; allowed: 1, every box counts$"):
        images.image(0, size=8, crop=0.9, interpolation="bilinear")


def test_few_images_are_kept_decoded_and_many_are_not(root, monkeypatch):
    images = data.load(_data(root), "train")
    how = {"size": 8, "crop": 1.0, "interpolation": "bicubic"}
    kept = images.tensor(**how)
    assert torch.equal(kept, torch.stack([images.image(index, **how) for index in range(len(images))]))
    monkeypatch.setattr("bench.pictures.MOST_KEPT", kept.numel() * 4 - 1)
    assert images.tensor(**how) is None


def test_selection_is_cut_from_training_and_report_is_the_other_half(root):
    files = {split: [path.name for path in data.load(_data(root, selection=0.25), split).files] for split in SPLITS}
    assert [len(files[split]) for split in SPLITS] == [12, 4, 2]
    assert all(not {*files[a]} & {*files[b]} for a, b in itertools.combinations(SPLITS, 2))
    assert all(name.startswith("val2017") == (split == "report") for split in SPLITS for name in files[split])
    assert len(data.load(_data(root, selection=0.0), "train")) == 16
    assert len(data.load(_data(root, selection=0.0), "selection")) == 0


def test_ids_and_boxes_belong_to_the_files_whatever_order_the_annotations_have(root):
    before = data.load(_data(root), "train")
    _change(root, "train2017", lambda whole: (whole["images"].reverse(), whole["annotations"].reverse()))
    after = data.load(_data(root), "train")
    assert before.files == after.files
    assert before.ids == after.ids
    assert [path.stem for path in after.files] == [f"train2017-{50 - number}" for number in after.ids]


def test_a_share_of_the_training_images_keeps_its_boxes(root):
    whole = data.load(_data(root, selection=0.0), "train")
    half = data.load(data.resolve("cocofolder", {"set": "b", "classes": 2, "root": str(root)}, subset=0.5), "train")
    assert len(half) == round(len(data.load(_data(root), "train")) / 2)
    assert half.targets(0, size=40).shape == whole.targets(0, size=40).shape


def test_other_halves_and_folders_within_them_may_be_named(root):
    for half, year in (("train2017", "a"), ("val2017", "b")):
        (root / half).rename(root / year)
        (root / "annotations" / f"instances_{half}.json").rename(root / "annotations" / f"instances_{year}.json")
    (root / "b" / "deeper").mkdir()
    (root / "b" / "val2017-1.png").rename(root / "b" / "deeper" / "1.png")
    _change(root, "b", lambda whole: whole["images"][0].update(file_name="deeper/1.png"))
    images = data.load(_data(root, train="a", val="b"), "report")
    assert sorted(path.relative_to(root).as_posix() for path in images.files) == ["b/deeper/1.png", "b/val2017-2.png"]
    options = _options(root, train="a", val="b")
    assert _module().annotations_file(options, "report") == root / "annotations" / "instances_b.json"
    assert _module().annotations_file(options, "selection") == root / "annotations" / "instances_a.json"
    assert _module().category_ids(options) == (3, 7)


def test_a_score_needs_no_pictures(root):
    shutil.rmtree(root / "train2017")
    shutil.rmtree(root / "val2017")
    assert _module().annotations_file(_options(root), "report").is_file()
    assert _module().category_ids(_options(root)) == (3, 7)


@pytest.mark.parametrize(
    ("half", "change", "error", "said"),
    [
        (
            "val2017",
            lambda whole: whole["images"][0].update(file_name="none.png"),
            Needs,
            "image 49 of {root}/annotations/instances_val2017.json, as {root}/val2017/none.png",
        ),
        (
            "val2017",
            lambda whole: whole["images"][0].update(file_name="../train2017/train2017-1.png"),
            Invalid,
            "{root}/annotations/instances_val2017.json: image 49: no file below {root}/val2017 is named "
            "'../train2017/train2017-1.png'",
        ),
        (
            "val2017",
            lambda whole: whole["images"][0].pop("file_name"),
            Invalid,
            "{root}/annotations/instances_val2017.json: image 49: no file below {root}/val2017 is named ''",
        ),
        (
            "val2017",
            lambda whole: whole["images"][0].update(file_name="val2017-2.png"),
            Invalid,
            "{root}/annotations/instances_val2017.json: images 48 and 49 are one file, 'val2017-2.png'",
        ),
        (
            "val2017",
            lambda whole: whole["categories"].append({"id": 9, "name": "more"}),
            Needs,
            "boxes with 2 classes; {root}/annotations/instances_val2017.json has 3",
        ),
        (
            "val2017",
            lambda whole: whole.update(images=[], annotations=[]),
            Needs,
            "boxes: no image for report in {root}/annotations/instances_val2017.json",
        ),
    ],
)
def test_what_is_wrong_with_annotations_is_a_line(root, half, change, error, said):
    _change(root, half, change)
    with pytest.raises(error) as raised:
        data.load(_data(root), "report")
    assert str(raised.value) == said.format(root=root)


def test_halves_with_other_categories_are_a_line(root):
    _change(root, "val2017", lambda whole: (whole["categories"][1].update(id=4), whole["annotations"].clear()))
    with pytest.raises(Needs) as raised:
        data.load(_data(root), "train")
    assert str(raised.value) == "boxes with the same categories in both halves; 3 is in that for training alone"


def test_a_broken_file_of_annotations_is_named(root):
    path = root / "annotations" / "instances_val2017.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Invalid) as raised:
        data.load(_data(root), "report")
    assert str(raised.value).startswith(f"{path}: the file is cut off at character ")


def test_a_picture_that_is_broken_or_of_another_size_is_named(root):
    images, file = data.load(_data(root), "report"), root / "val2017" / "val2017-1.png"
    index = [path.name for path in images.files].index(file.name)
    Image.new("RGB", (20, 40)).save(file)
    with pytest.raises(Invalid) as raised:
        images.picture(index)
    truth = root / "annotations" / "instances_val2017.json"
    assert str(raised.value) == f"{file}: 20 × 40 pixels, and 40 × 20 in {truth}"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(Invalid, match=r"val2017-1.png' cannot be decoded as an image$"):
        images.image(index, size=8, crop=1.0, interpolation="bilinear")


def test_what_is_not_there_is_said_and_where_it_should_be(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    coco = data.resolve("coco", {})
    said = (
        f"coco as {tmp_path}/coco/{{train2017,val2017}}/*.jpg and "
        f"{tmp_path}/coco/annotations/instances_{{train2017,val2017}}.json"
    )
    assert data.missing(coco) == said
    with pytest.raises(Needs) as raised:
        data.load(coco, "report")
    assert str(raised.value) == said
    assert data.facts(coco) == data.Facts(classes=80, channels=3, image=640, task="detect")
    with pytest.raises(Needs) as raised:
        _module().annotations_file(_options(tmp_path), "report")
    assert str(raised.value) == f"boxes: annotations for report as {tmp_path}/annotations/instances_val2017.json"


def test_coco_has_its_eighty_classes(root):
    with pytest.raises(Needs, match=r"^coco with 80 classes; .*instances_val2017.json has 2$"):
        data.load(data.resolve("coco", {"root": str(root)}), "report")


def test_where_the_files_lie_is_no_part_of_the_key_and_what_they_are_is(tmp_path):
    assert digest(_data(tmp_path / "here")) == digest(_data(tmp_path / "there"))
    assert digest(_data(tmp_path)) != digest(_data(tmp_path, set="others"))
    assert digest(_data(tmp_path)) != digest(_data(tmp_path, val="val2014"))


def test_the_fingerprint_sees_annotations_and_pictures_that_changed(root):
    def fingerprint():
        return data.load(_data(root), "report").fingerprint()

    prints = [fingerprint()]
    _change(root, "val2017", lambda whole: whole["annotations"][0].update(bbox=[10, 5, 10, 6]))
    prints.append(fingerprint())
    Image.new("RGB", (40, 20), (1, 2, 3)).save(root / "val2017" / "val2017-1.png")
    prints.append(fingerprint())
    assert len(set(prints)) == 3
    assert fingerprint() == prints[-1]


def test_a_misspelt_option_is_a_line():
    with pytest.raises(UserError, match=r"^no field 'data.clases'; nearest: 'data.classes'$"):
        data.resolve("cocofolder", {"set": "x", "clases": 3})
