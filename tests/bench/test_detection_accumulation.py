import numpy as np

from bench.detection import accumulation, annotations, average_precision, matching, results


def test_a_recall_is_reached_where_the_numbers_themselves_say_so():
    recall = np.concatenate([np.arange(objects + 1) / objects for objects in range(1, 500)])
    reached = accumulation._reached(recall)
    assert np.array_equal(reached, np.searchsorted(np.linspace(0, 1, 101), recall, side="right") - 1)
    assert (reached.min(), reached.max()) == (0, 100)


def test_an_image_without_weight_is_as_if_it_were_not_there(detections):
    dataset, entries = detections(41)
    images = [image["id"] for image in dataset["images"]]
    truth = annotations.of(dataset, "gt")
    whole = matching.matched(truth, results.checked(entries, truth, "dt"), iou="bbox")
    weights = np.array([number % 3 for number in range(len(images))])  # a third of them is there once, a third twice
    some = {image for image, times in zip(images, weights.tolist(), strict=True) if times}
    part = annotations.only(truth, some)
    kept = [entry for entry in entries if entry["image_id"] in some]
    rest = matching.matched(part, results.checked(kept, part, "dt"), iou="bbox")
    most = (1, 10, 100)
    curves = [
        accumulation.curves(accumulation.prepared(whole, first=most), weights),
        accumulation.curves(accumulation.prepared(rest, first=most), weights[weights > 0]),
    ]
    found, wanted = (average_precision.numbers(one, "bbox", most) for one in curves)
    assert found == wanted
    assert len(found) == 12


def test_areas_that_are_not_asked_for_are_left_out(detections):
    dataset, entries = detections(42)
    truth = annotations.of(dataset, "gt")
    given = matching.matched(truth, results.checked(entries, truth, "dt"), iou="bbox")
    found = accumulation.curves(accumulation.prepared(given, areas=["all"]))
    numbers = average_precision.numbers(found, "bbox", ())
    every = average_precision.of_matches(given).numbers
    assert numbers == {name: every[name] for name in ("ap_box", "ap50_box", "ap75_box")}
