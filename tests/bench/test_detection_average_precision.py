import random

import pytest

from bench.detection import annotations, average_precision, results
from bench.errors import Invalid


def scores(dataset, entries, **how):
    truth = annotations.of(dataset, "gt")
    return average_precision.score(truth, results.checked(entries, truth, "dt"), **({"iou": "bbox"} | how))


def one_class(boxes, found, *, images=1):
    """Ground truth of one class, (image, box) each, and detections (image, box, score)."""
    dataset = {
        "images": [{"id": number, "width": 100, "height": 100} for number in range(1, images + 1)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 1, "bbox": box}
            for number, (image, box) in enumerate(boxes)
        ],
    }
    return dataset, [{"image_id": i, "category_id": 1, "bbox": box, "score": score} for i, box, score in found]


@pytest.mark.parametrize("engine", ["reference", "faster_coco_eval"])
@pytest.mark.parametrize(
    ("made", "how"),
    [
        ({"seed": 1}, {}),
        ({"seed": 2, "digits": 1}, {}),  # most of the scores are equal
        ({"seed": 3, "each": 1000, "images": 4, "digits": 2}, {}),
        ({"seed": 4, "each": 300, "images": 4}, {"most_detections": (1, 10, 300)}),
        ({"seed": 5}, {"most_detections": (3,)}),
        ({"seed": 6}, {"most_detections": (7, 2)}),
        ({"seed": 7, "masks": True}, {"iou": "segm"}),
        ({"seed": 8, "masks": True, "digits": 1, "each": 150}, {"iou": "segm"}),
    ],
    ids=str,
)
def test_every_number_is_that_of_the_libraries(detections, made, how, engine, capfd):
    dataset, entries = detections(**made)
    ours = scores(dataset, entries, **how)
    theirs = scores(dataset, entries, **how, engine=engine)
    assert ours.numbers == pytest.approx(theirs.numbers, abs=1e-9, rel=0)
    assert len(ours.numbers) == 9 + len(ours.most_detections)
    assert ours.numbers[f"ap_{average_precision.KINDS[ours.iou]}"] > 0.5
    assert list(ours.per_class) == [2, 7, 61]
    for category, numbers in theirs.per_class.items():
        assert ours.per_class[category] == pytest.approx(numbers, abs=1e-9, rel=0)
    assert capfd.readouterr() == ("", "")


def test_by_their_own_reading_of_the_files_the_libraries_find_the_same(detections, capfd):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dataset, entries = detections(9)
    for entry in dataset["annotations"]:
        entry["id"] += 1  # 0 is "nothing matched" to them
    ours = scores(dataset, entries).numbers
    truth = COCO()
    truth.dataset = dataset
    truth.createIndex()
    theirs = COCOeval(truth, truth.loadRes(entries), "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    assert list(ours.values()) == pytest.approx([100 * number for number in theirs.stats], abs=1e-9, rel=0)
    assert list(ours) == [
        *("ap_box", "ap50_box", "ap75_box", "ap_box_small", "ap_box_medium", "ap_box_large"),
        *("ar1_box", "ar10_box", "ar100_box", "ar_box_small", "ar_box_medium", "ar_box_large"),
    ]


def test_where_everything_is_found_once_every_number_that_there_is_is_100():
    dataset, entries = one_class([(1, [10, 10, 20, 20])], [(1, [10, 10, 20, 20], 0.3)])
    found = scores(dataset, entries).numbers
    # and of what is medium or large there is nothing to say
    names = ("ap_box", "ap50_box", "ap75_box", "ap_box_small", "ar1_box", "ar10_box", "ar100_box", "ar_box_small")
    assert found == pytest.approx(dict.fromkeys(names, 100.0), abs=1e-9)


@pytest.mark.parametrize("engine", ["fast", "reference", "faster_coco_eval"])
def test_a_curve_that_is_known_has_the_area_that_is_known(engine):
    box = [10, 10, 50, 50]
    dataset, entries = one_class(
        [(1, box), (2, box)], [(1, box, 0.9), (3, box, 0.8), (2, box, 0.7), (2, box, 0.6)], images=3
    )
    found = scores(dataset, entries, engine=engine).numbers
    # right, wrong, right, and found again: precision 1 up to half of the recall, 2/3 from there on
    assert found["ap_box"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101, abs=1e-9)
    assert found["ar1_box"] == 100


def test_the_example_in_the_documentation_of_torchmetrics_comes_out_as_there():
    box, seen = [214.0, 41.0, 348.0, 244.0], [258.0, 41.0, 348.0, 244.0]
    dataset, entries = one_class([(1, box)], [(1, seen, 0.536)])
    found = {name: round(number, 9) for name, number in scores(dataset, entries).numbers.items()}
    assert found == {
        **{"ap_box": 60, "ap50_box": 100, "ap75_box": 100, "ap_box_large": 60},
        **{"ar1_box": 60, "ar10_box": 60, "ar100_box": 60, "ar_box_large": 60},
    }


@pytest.mark.parametrize("engine", ["fast", "reference", "faster_coco_eval"])
def test_without_detections_every_number_is_0(detections, engine):
    dataset, _ = detections()
    assert set(scores(dataset, [], engine=engine).numbers.values()) == {0.0}


@pytest.mark.parametrize("engine", ["fast", "reference", "faster_coco_eval"])
def test_without_ground_truth_there_is_no_number(detections, engine):
    dataset, entries = detections()
    found = scores(dataset | {"annotations": []}, entries, engine=engine)
    assert (found.numbers, found.per_class) == ({}, {})


@pytest.mark.parametrize("masks", [False, True])
def test_the_order_of_a_file_decides_nothing(detections, masks):
    dataset, entries = detections(3, masks=masks, digits=1, images=6)
    iou = "segm" if masks else "bbox"
    as_they_are = scores(dataset, entries, iou=iou)
    random.Random(0).shuffle(entries)
    for engine in ("fast", "reference", "faster_coco_eval"):
        shuffled = scores(dataset, entries, iou=iou, engine=engine)
        assert shuffled.numbers == pytest.approx(as_they_are.numbers, abs=1e-9, rel=0)


def test_an_annotation_with_id_0_counts_as_any_other():
    box = [10, 10, 50, 50]
    dataset, entries = one_class([(1, box), (1, [70, 70, 5, 5])], [(1, box, 0.9), (1, [70, 70, 5, 5], 0.8)])
    assert [entry["id"] for entry in dataset["annotations"]] == [0, 1]
    for engine in ("fast", "reference", "faster_coco_eval"):
        assert scores(dataset, entries, engine=engine).numbers["ap_box"] == 100


def test_masks_are_small_or_large_by_themselves_and_not_by_the_boxes_beside_them(detections):
    dataset, entries = detections(4, masks=True)
    alone = scores(dataset, entries, iou="segm").numbers
    with_boxes = [entry | {"bbox": [0.0, 0.0, 100.0, 100.0]} for entry in entries]
    for engine in ("fast", "reference", "faster_coco_eval"):
        assert scores(dataset, with_boxes, iou="segm", engine=engine).numbers == pytest.approx(alone, abs=1e-9)


def test_what_cannot_be_asked_is_said_in_a_line(detections):
    dataset, entries = detections()
    with pytest.raises(
        Invalid, match=r"^iou segm compares the results' 'segmentation', which they do not have; al.*: b"
    ):
        scores(dataset, entries, iou="segm")
    masked, with_masks = detections(masks=True)
    with pytest.raises(Invalid, match=r"^iou bbox compares the results' 'bbox', which they do not have; allowed: segm"):
        scores(masked, with_masks)
    with pytest.raises(Invalid, match=r"^gt: iou segm needs masks; annotation entry 0 has no 'segmentation'$"):
        scores(dataset, with_masks, iou="segm")
    for most, why in (((), "one or more"), ((0, 10), "one or more"), ((1.5,), "one or more"), ((5, 5), "stands there")):
        with pytest.raises(Invalid, match=why):
            scores(dataset, entries, most_detections=most)
