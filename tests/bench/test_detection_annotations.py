import copy
import json

import pytest
from pycocotools import mask

from bench.detection import annotations
from bench.errors import Invalid

BOX = [10.0, 10.0, 20.0, 30.0]
SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def small(*entries):
    return {
        "images": [{"id": 9, "width": 60, "height": 50, "file_name": "nine.jpg"}, {"id": 4, "width": 50, "height": 60}],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
        "annotations": list(entries),
    }


def entry(**fields):
    return {"id": 3, "image_id": 9, "category_id": 1, "bbox": BOX, "area": 400.5, "iscrowd": 0} | fields


def without(name):
    return {field: value for field, value in entry().items() if field != name}


def test_a_file_is_read_with_everything_that_evaluators_ask_for(tmp_path):
    path = tmp_path / "instances.json"
    given = small(entry(segmentation=SQUARE), entry(id=0, iscrowd=1))
    path.write_text(json.dumps(given))
    found = annotations.read(path)
    assert (found.path, found.said) == (path, str(path))
    assert list(found.images.items()) == [
        (4, annotations.Image(width=50, height=60, file_name="")),
        (9, annotations.Image(width=60, height=50, file_name="nine.jpg")),
    ]
    assert list(found.categories.items()) == [(1, "person"), (90, "toothbrush")]
    assert found.entries == [
        entry(id=1, segmentation=SQUARE),  # 0 is "nothing matched" to evaluators: they are numbered again
        entry(id=2, iscrowd=1),
    ]
    assert given == small(entry(segmentation=SQUARE), entry(id=0, iscrowd=1))


def test_what_may_be_missing_is_filled_in():
    lone = {"image_id": 9, "category_id": 1}
    found = annotations.of(small(lone | {"bbox": [1, 2, 3, 4]}, lone | {"segmentation": SQUARE}), "gt").entries
    assert found[0] == {"id": 1, "iscrowd": 0, "area": 12.0, "bbox": [1.0, 2.0, 3.0, 4.0]} | lone
    assert (found[1]["bbox"], found[1]["area"]) == ([10.0, 10.0, 20.0, 20.0], 400.0)
    boxed = annotations.of(small(lone | {"bbox": BOX, "segmentation": SQUARE}), "gt").entries
    assert boxed[0]["area"] == 400.0  # the mask's, not the box's
    assert "segmentation" not in annotations.of(small(entry(segmentation=[])), "gt").entries[0]


def test_run_lengths_of_both_kinds_are_masks():
    counts = [10, 20, 60 * 50 - 30]
    whole = mask.frPyObjects({"size": [50, 60], "counts": counts}, 50, 60)
    for segmentation in (
        {"size": [50, 60], "counts": counts},
        {"size": [50, 60], "counts": whole["counts"].decode()},
        whole,
    ):
        found = annotations.of(small(without("area") | {"segmentation": segmentation}), "gt").entries
        assert found[0]["area"] == 20


def bad(change):
    """Ground truth that was changed by a function."""
    given = copy.deepcopy(small(entry(), entry(id=5)))
    return change(given) or given


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([], "gt: no ground truth: a dictionary of images, annotations, categories is wanted (are these results?)"),
        ({"images": []}, "gt: no ground truth: it has no list 'annotations'"),
        (small(entry()) | {"images": {}}, "gt: no ground truth: it has no list 'images'"),
        (small("a"), "gt: annotation entry 0 is no dictionary but str"),
        (bad(lambda gt: gt["images"][1].pop("id") and None), "gt: image entry 1 has no 'id'"),
        (bad(lambda gt: gt["images"][1].update(id="4")), "gt: image entry 1: id is '4', no whole number"),
        (bad(lambda gt: gt["images"][1].update(id=9)), "gt: image id 9 more than once"),
        (bad(lambda gt: gt["images"][1].pop("width") and None), "gt: image entry 1 has no 'width'"),
        (bad(lambda gt: gt["images"][1].update(height=0)), "gt: image entry 1: height is 0, no number of pixels"),
        (bad(lambda gt: gt["categories"][1].update(id=90)), "gt: category id 90 more than once"),
        (small(entry(), entry(), entry(id=7)), "gt: annotation id 3 more than once"),
        (small(without("image_id")), "gt: annotation entry 0 (id 3) has no 'image_id'"),
        (small(without("category_id")), "gt: annotation entry 0 (id 3) has no 'category_id'"),
        (small(entry(image_id=1)), "gt: annotation entry 0 (id 3) is of image 1, which is none of its 2 images"),
        (small(entry(category_id=2)), "gt: annotation entry 0 (id 3) is of category 2; its categories: 1, 90"),
        (small(entry(category_id=True)), "gt: annotation entry 0 (id 3): category_id is True, no whole number"),
        (small(entry(image_id=2**63)), f"gt: annotation entry 0 (id 3): image_id is {2**63}, more than 64 bits hold"),
        (small(entry(iscrowd=2)), "gt: annotation entry 0 (id 3): iscrowd is 2; allowed: 0, 1"),
        (small(entry(area=-1)), "gt: annotation entry 0 (id 3): area is -1, negative"),
        (small(entry(area=float("nan"))), "gt: annotation entry 0 (id 3): area is nan, not finite"),
        (small(entry(area="1")), "gt: annotation entry 0 (id 3): area is '1', no number"),
        (small(without("bbox")), "gt: annotation entry 0 (id 3) has neither 'bbox' nor 'segmentation'"),
        (
            small(entry(bbox=[1, 2, 3])),
            "gt: annotation entry 0 (id 3): bbox is [1, 2, 3], not four numbers x, y, width, height",
        ),
        (small(entry(bbox=[1, 2, None, 3])), "gt: annotation entry 0 (id 3): bbox has None, no number"),
        (small(entry(bbox=[1, 2, float("inf"), 3])), "gt: annotation entry 0 (id 3): bbox has inf, not finite"),
        (
            small(entry(bbox=[9, 9, -4, 3])),
            "gt: annotation entry 0 (id 3): bbox [9, 9, -4, 3] has a negative width or height (is it x0, y0, x1, y1?)",
        ),
        (
            small(entry(segmentation=[[1, 2, 3, 4]])),
            "gt: annotation entry 0 (id 3): a polygon is a list of three or more pairs x, y",
        ),
        (
            small(entry(segmentation=[[1, 2, 3, 4, 5, float("nan")]])),
            "gt: annotation entry 0 (id 3): a polygon has a coordinate that is no finite number",
        ),
        (
            small(entry(segmentation=[[0, 0, 1e9, 0, 1e9, -1e9]])),
            "gt: annotation entry 0 (id 3): a polygon reaches 1e+09, far outside of its image",
        ),
        (
            small(entry(segmentation={"size": [50, 60], "counts": "É5"})),
            "gt: annotation entry 0 (id 3): run lengths have a character that is of none",
        ),
        (
            small(entry(segmentation=SQUARE)) | {"images": [{"id": 9, "width": 2**20, "height": 2**20}]},
            "gt: annotation entry 0 (id 3): masks in an image of 1,048,576 × 1,048,576 pixels; at most 4,294,967,295"
            " in all",
        ),
        (
            small(entry(segmentation={"size": [60, 50], "counts": [3000]})),
            "gt: annotation entry 0 (id 3): a mask of 60 × 50 (height × width) in an image of 50 × 60",
        ),
        (
            small(entry(segmentation={"size": [50, 60], "counts": [1, 2]})),
            "gt: annotation entry 0 (id 3): run lengths of 3 pixels in an image of 3,000",
        ),
        (
            small(entry(segmentation={"size": [50, 60], "counts": [-1, 3001]})),
            "gt: annotation entry 0 (id 3): run lengths are whole numbers, none of them negative",
        ),
        (
            small(entry(segmentation={"size": [50, 60], "counts": 3000})),
            "gt: annotation entry 0 (id 3): run lengths are a text or a list of numbers, not int",
        ),
        (
            small(entry(), entry(id=4, segmentation={"size": [50, 60], "counts": "5"})),
            "gt: annotation entry 1: its run lengths are broken: they are not of the image's 3,000 pixels",
        ),
        (
            small(entry(segmentation="mask.png")),
            "gt: annotation entry 0 (id 3): a segmentation is polygons, or run lengths as {'size', 'counts'}",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_one_line_that_names_the_entry(given, line):
    with pytest.raises(Invalid) as raised:
        annotations.of(given, "gt")
    assert str(raised.value) == line


def test_very_many_ids_are_counted_and_some_of_them_named():
    with pytest.raises(Invalid) as raised:
        annotations.of(small() | {"images": [{"id": n // 2, "width": 1, "height": 1} for n in range(60)]}, "gt")
    assert str(raised.value) == "gt: image id 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (30 in all) more than once"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "{}: the file is empty"),
        (b'{"images": [{"id": 1', "{}: the file is cut off at character 20 of 20"),
        (b'{"images": [{"na', "{}: the file is cut off at character 13 of 16"),
        (b'{"images": [}]}', "{}: no JSON (expecting value) at character 12 of 15"),
        (b'{"images": "\xff"}', "{}: no JSON: byte 12 is no text"),
        (b"[" * 100_000, "{}: no JSON that this can be: it is nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_is_one_line_that_says_where(tmp_path, content, line):
    path = tmp_path / "instances.json"
    path.write_bytes(content)
    with pytest.raises(Invalid) as raised:
        annotations.read(path)
    assert str(raised.value) == line.format(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(Invalid) as raised:
        annotations.read(tmp_path / "none.json")
    assert str(raised.value) == f"{tmp_path}/none.json: no such file or directory"
