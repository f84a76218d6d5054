import io

import numpy as np
import pytest

from bench.detection import annotations, average_precision, matching, overlaps, results


def matches(dataset, entries, **how):
    truth = annotations.of(dataset, "gt")
    return matching.matched(truth, results.checked(entries, truth, "dt"), **({"iou": "bbox"} | how))


def same(one, other):
    return all(np.array_equal(array, other.arrays()[name]) for name, array in one.arrays().items())


def placed(*boxes, crowd=()):
    """Ground truth of one image and class."""
    return {
        "images": [{"id": 1, "width": 200, "height": 200}],
        "categories": [{"id": 1}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": list(box), "iscrowd": int(place in crowd)}
            for place, box in enumerate(boxes)
        ],
    }


def said(*boxes):
    """Detections, the first one with the highest score."""
    return [
        {"image_id": 1, "category_id": 1, "bbox": list(box), "score": 1 - place / 100}
        for place, box in enumerate(boxes)
    ]


def bits(array):
    """Thresholds, by area: all, small, medium, large."""
    return [[f"{value:010b}"[::-1] for value in row] for row in array.tolist()]


ALL, NONE = "1" * 10, "0" * 10


def test_an_object_is_taken_once_and_by_the_detection_with_the_highest_score():
    box, near = (0, 0, 50, 50), (0, 0, 50, 40)  # they overlap by 0.8
    found = matches(placed(box), said(near, box))
    assert bits(found.found)[0] == ["1" * 7 + "000", "0" * 7 + "111"]
    assert bits(found.ignored)[0] == [NONE, NONE]


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong_however_often():
    found = matches(placed((0, 0, 150, 150), crowd=[0]), said((0, 0, 20, 20), (5, 5, 20, 20), (190, 190, 5, 5)))
    assert bits(found.found)[0] == [NONE] * 3
    assert bits(found.ignored)[0] == [ALL, ALL, NONE]
    assert found.counted.tolist() == [[False]] * 4


def test_an_object_that_counts_is_taken_before_one_that_overlaps_more_and_does_not():
    whole, part = (0, 0, 40, 40), (0, 0, 40, 30)  # by 0.75
    found = matches(placed(whole, part, crowd=[0]), said(whole))
    assert bits(found.found)[0] == ["1" * 6 + "0000"]
    assert bits(found.ignored)[0] == ["0" * 6 + "1111"]


def test_objects_and_detections_of_another_size_do_not_count():
    found = matches(placed((0, 0, 20, 20)), said((0, 0, 20, 20), (100, 100, 50, 50)))
    assert found.counted[:, 0].tolist() == [True, True, False, False]
    assert bits(found.found) == [[ALL, NONE], [ALL, NONE], [NONE, NONE], [NONE, NONE]]
    assert bits(found.ignored) == [[NONE, NONE], [NONE, ALL], [ALL, NONE], [ALL, ALL]]


@pytest.mark.parametrize("masks", [False, True])
def test_how_many_overlaps_are_found_at_once_does_not_matter(detections, monkeypatch, masks):
    dataset, entries = detections(21, masks=masks)
    iou = "segm" if masks else "bbox"
    whole = matches(dataset, entries, iou=iou)
    for many in (1, 50):
        monkeypatch.setattr(overlaps, "MOST_AT_ONCE", many)
        assert same(matches(dataset, entries, iou=iou), whole)


def test_matches_of_boxes_and_masks_are_kept_in_one_file(detections):
    dataset, entries = detections(22, masks=True)
    boxed = [entry | {"bbox": [1.0, 1.0, 60.0, 60.0]} for entry in entries]
    both = [matches(dataset, boxed, iou=iou, most=20) for iou in ("bbox", "segm")]
    file = io.BytesIO()
    np.savez_compressed(file, **{name: array for one in both for name, array in one.arrays().items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as kept:
        back = [matching.Matches.of_arrays(kept, iou) for iou in ("bbox", "segm")]
    assert [(one.iou, one.most) for one in back] == [("bbox", 20), ("segm", 20)]
    assert all(same(one, other) for one, other in zip(both, back, strict=True))
    again = average_precision.of_matches(back[1], (1, 10, 20)).numbers
    assert again == average_precision.of_matches(both[1], (1, 10, 20)).numbers


def test_a_set_without_images_or_categories_has_nothing_to_find():
    empty = matches({"images": [], "categories": [], "annotations": []}, [])
    assert average_precision.of_matches(empty).numbers == {}
