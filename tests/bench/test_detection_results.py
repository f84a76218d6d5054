import json
import random

import pytest
from pycocotools import mask

from bench.detection import annotations, results
from bench.errors import Invalid

IDS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]  # COCO's 80


def truth(ids=(1, 2, 90)):
    return annotations.of(
        {
            "images": [{"id": number, "width": 8, "height": 6} for number in (1, 2)],
            "categories": [{"id": number, "name": f"class {number}"} for number in ids],
            "annotations": [],
        },
        "gt.json",
    )


def entry(**fields):
    return {"image_id": 1, "category_id": 2, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5} | fields


def without(name):
    return {field: value for field, value in entry().items() if field != name}


def masked(**fields):
    found = mask.frPyObjects({"size": [6, 8], "counts": [5, 10, 33]}, 6, 8)
    return without("bbox") | {"segmentation": {"size": [6, 8], "counts": found["counts"].decode()}} | fields


def test_results_are_read_as_they_are(tmp_path):
    path = tmp_path / "results.json"
    given = [entry(id=7, area=3.0), entry(image_id=2, score=1), masked(bbox=[0, 0, 1, 1])][:2]
    path.write_text(json.dumps(given))
    assert results.read(path, truth()) == given
    path.write_text("[]")
    assert results.read(path, truth()) == []


def test_entries_come_by_image_class_score_box_and_mask():
    other = mask.frPyObjects({"size": [6, 8], "counts": [5, 11, 32]}, 6, 8)["counts"].decode()
    ordered = [
        entry(score=0.9, category_id=1),
        entry(score=0.9),
        entry(bbox=[0.0, 9.0, 9.0, 9.0]),
        entry(),
        entry(bbox=[1.0, 2.0, 3.0, 5.0]),
        entry(image_id=2),
    ]
    by_mask = sorted([masked(), masked(segmentation={"size": [6, 8], "counts": other})], key=str)
    for wanted in (ordered, by_mask):
        for seed in range(4):
            shuffled = random.Random(seed).sample(wanted, len(wanted))
            assert results.checked(shuffled, truth(), "dt") == wanted


def test_polygons_and_plain_run_lengths_become_compressed_ones():
    plain = masked(segmentation={"size": [6, 8], "counts": [5, 10, 33]})
    square = masked(segmentation=[[1, 1, 4, 1, 4, 4, 1, 4]])
    for given, area in ((plain, 10), (square, 9)):
        (found,) = results.checked([given], truth(), "dt")
        assert mask.area(found["segmentation"]) == area


LABELS = [entry(category_id=number) for number in range(80)]
FROM_ONE = [entry(category_id=number) for number in range(1, 81)]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"annotations": []}, "dt: no results: a list of detections is wanted, not dict (is this ground truth?)"),
        ("dt", "dt: no results: a list of detections is wanted, not str"),
        ([entry(), 3], "dt: entry 1 is no dictionary but int"),
        ([entry(), without("image_id")], "dt: entry 1 has no 'image_id'"),
        ([entry(), without("category_id")], "dt: entry 1 has no 'category_id'"),
        ([entry(), without("score")], "dt: entry 1 has no 'score'"),
        ([without("bbox")], "dt: entry 0 has neither 'bbox' nor 'segmentation'"),
        ([entry(), without("bbox")], "dt: entry 1 has no 'bbox', and entry 0 has one"),
        ([entry(), entry(segmentation=[])], "dt: entry 1 has 'segmentation', and entry 0 has none"),
        ([entry(image_id="1")], "dt: entry 0: image_id is '1', no whole number"),
        ([entry(category_id=1.0)], "dt: entry 0: category_id is 1.0, no whole number"),
        ([entry(image_id=5)], "dt: image 5 is none of the 2 images of gt.json"),
        ([entry(image_id=7), entry(image_id=5)], "dt: images 5, 7 are none of the 2 images of gt.json"),
        ([entry(category_id=91)], "dt: category 91 is none of gt.json, which has 1, 2, 90"),
        ([entry(score=None)], "dt: entry 0: score is None, no number"),
        ([entry(score=True)], "dt: entry 0: score is True, no number"),
        ([entry(), entry(score=float("nan"))], "dt: entry 1: score is nan, not finite"),
        ([entry(), entry(score=float("-inf"))], "dt: entry 1: score is -inf, not finite"),
        ([entry(), entry(score=10**400)], f"dt: entry 1: score is {10**400}, not finite"),
        ([entry(), entry(bbox=[1, 2, 3])], "dt: entry 1: bbox is [1, 2, 3], not four numbers x, y, width, height"),
        ([entry(bbox=None)], "dt: entry 0: bbox is None, not four numbers x, y, width, height"),
        ([entry(bbox=[1, "2", 3, 4])], "dt: entry 0: bbox has '2', no number"),
        ([entry(bbox=[1, float("nan"), 3, 4])], "dt: entry 0: bbox has nan, not finite"),
        ([entry(bbox=[1, 10**400, 3, 4])], f"dt: entry 0: bbox has {10**400}, not finite"),
        (
            [entry(bbox=[9, 9, 4, -5])],
            "dt: entry 0: bbox [9, 9, 4, -5] has a negative width or height (is it x0, y0, x1, y1?)",
        ),
        (
            [masked(), masked(segmentation={"size": [8, 6], "counts": "x"})],
            "dt: entry 1: a mask of 8 × 6 (height × width) in an image of 6 × 8",
        ),
        (
            [masked(), masked(segmentation={"size": [6, 8], "counts": "5:"})],
            "dt: entry 1: its run lengths are broken: they are not of the image's 48 pixels",
        ),
        ([masked(segmentation=[])], "dt: entry 0: a segmentation without a polygon"),
    ],
    ids=lambda value: value[:70] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_one_line_that_names_the_entry(given, line):
    with pytest.raises(Invalid) as raised:
        results.checked(given, truth(), "dt")
    assert str(raised.value) == line


def test_labels_instead_of_ids_are_all_named_with_a_hint():
    for given, unknown, hint in (
        (LABELS, "0, 12, 26, 29, 30, 45, 66, 68, 69, 71", "; labels off by one? 0 … 79 instead of the ids 1 … 90"),
        (FROM_ONE, "12, 26, 29, 30, 45, 66, 68, 69, 71", "; labels 1 … 80 instead of the ids 1 … 90?"),
    ):
        with pytest.raises(Invalid) as raised:
            results.checked(given, truth(IDS), "dt.json")
        known = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, … (80 in all)"
        assert str(raised.value) == f"dt.json: categories {unknown} are none of gt.json, which has {known}{hint}"


def test_labels_from_1_where_ids_begin_at_0_have_a_hint_and_labels_from_elsewhere_have_none():
    for ids, given, line in (
        (range(3), (1, 2, 3), "category 3 is none of gt.json, which has 0, 1, 2; labels off by one? 1 … 3 instead of"),
        (range(1, 4), (0, 2), "category 0 is none of gt.json, which has 1, 2, 3; labels off by one? 0 … 2 instead of"),
        ((5, 9), (5, 7), "category 7 is none of gt.json, which has 5, 9"),
        ((), (5,), "category 5 is none of gt.json, which has none"),
    ):
        with pytest.raises(Invalid) as raised:
            results.checked([entry(category_id=number) for number in given], truth(ids), "dt")
        hint = f" the ids {ids[0]} … {ids[-1]}" if line.endswith("of") else ""
        assert str(raised.value) == f"dt: {line}{hint}"


def test_a_file_is_named_by_its_path(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([entry(score=float("nan"))]))  # NaN is no JSON, and yet what writers leave
    with pytest.raises(Invalid) as raised:
        results.read(path, truth())
    assert str(raised.value) == f"{path}: entry 0: score is nan, not finite"
    path.write_text(json.dumps([entry()])[:-9])
    with pytest.raises(Invalid, match=r"results.json: the file is cut off at character"):
        results.read(path, truth())
