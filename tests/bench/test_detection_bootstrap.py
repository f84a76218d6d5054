import copy

import numpy as np
import pytest

from bench.detection import accumulation, annotations, average_precision, bootstrap, results
from bench.errors import Invalid


def scored(dataset, entries, **how):
    truth = annotations.of(dataset, "gt")
    return average_precision.score(truth, results.checked(entries, truth, "dt"), **({"iou": "bbox"} | how))


def resampled(dataset, entries, weights):
    """Files in which an image is there so many times, each time with an id of its own."""
    images, truth, found = [], [], []
    number = 0
    for image, times in zip(sorted(dataset["images"], key=lambda one: one["id"]), weights, strict=True):
        for _ in range(times):
            number += 1
            images.append(image | {"id": number})
            for into, some in ((truth, dataset["annotations"]), (found, entries)):
                into += [entry | {"image_id": number} for entry in some if entry["image_id"] == image["id"]]
    for place, entry in enumerate(truth):
        entry["id"] = place + 1
    return dataset | {"images": images, "annotations": truth}, found


@pytest.mark.parametrize("masks", [False, True])
def test_a_resample_has_the_numbers_that_pycocotools_finds_in_files_of_it(detections, masks):
    dataset, entries = detections(11, masks=masks, images=10)
    how = {"iou": "segm" if masks else "bbox", "most_detections": (1, 5, 20)}
    scores = scored(dataset, entries, **how)
    given = accumulation.prepared(scores.matches, first=scores.most_detections)
    for weights in bootstrap._draws(10, 6, seed=0):
        assert weights.sum() == 10
        files = resampled(dataset, entries, weights.tolist())
        wanted = scored(*files, **how, engine="reference")
        curves = accumulation.curves(given, weights)
        found = average_precision.numbers(curves, scores.iou, scores.most_detections)
        assert found == pytest.approx(wanted.numbers, abs=1e-9, rel=0)
        assert len(found) > 6


def test_an_interval_is_the_spread_of_resamples_about_the_number(detections):
    scores = scored(*detections(12, images=40))
    names = list(scores.numbers)
    found = bootstrap.intervals(scores, draws=80, seed=3)
    assert list(found) == names
    given = accumulation.prepared(scores.matches, first=(1, 10, 100))
    drawn = [
        average_precision.numbers(accumulation.curves(given, weights), "bbox", (1, 10, 100))["ap_box"]
        for weights in bootstrap._draws(40, 80, seed=3)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975]) - np.mean(drawn)
    ap = found["ap_box"]
    assert ap.value == pytest.approx(scores.numbers["ap_box"], abs=1e-12)
    assert (ap.low, ap.high) == pytest.approx((ap.value + low, ap.value + high), abs=1e-9)
    assert ap.deviation == pytest.approx(np.std(drawn, ddof=1), abs=1e-9)
    assert ap.draws == 80
    assert bootstrap.intervals(scores, ["ap_box"], draws=80, seed=3)["ap_box"] == ap
    assert bootstrap.intervals(scores, ["ap_box"], draws=80, seed=4)["ap_box"] != ap


def test_more_images_make_an_interval_narrower(detections):
    few, many = (
        bootstrap.intervals(scored(*detections(13, images=count)), ["ap50_box"], draws=100)["ap50_box"].deviation
        for count in (20, 180)
    )
    assert many < few / 2  # as the square root: a third


def test_two_models_are_compared_on_the_same_images(detections):
    dataset, entries = detections(14, images=60)
    worse = copy.deepcopy(entries)
    for entry in worse:
        entry["bbox"][0] += 0.08 * entry["bbox"][2]
    one, other = scored(dataset, entries), scored(dataset, worse)
    names = ["ap_box", "ap75_box"]
    paired = bootstrap.differences(one, other, names, draws=200)
    for name in names:
        assert paired[name].value == pytest.approx(one.numbers[name] - other.numbers[name], abs=1e-9)
        alone = [bootstrap.intervals(scores, [name], draws=200)[name].deviation for scores in (one, other)]
        assert paired[name].deviation < 0.8 * np.hypot(*alone)  # what is hard for both cancels out
    itself = bootstrap.differences(one, one, draws=5)
    assert {(found.low, found.high) for found in itself.values()} == {(0.0, 0.0)}
    back = bootstrap.differences(other, one, names, draws=200)["ap_box"]
    assert (back.low, back.high) == pytest.approx((-paired["ap_box"].high, -paired["ap_box"].low), abs=1e-9)


def test_models_on_other_images_are_not_compared(detections):
    one = scored(*detections(15))
    with pytest.raises(Invalid, match=r"^two results are compared on the same ground truth: their images differ$"):
        bootstrap.differences(one, scored(*detections(15, images=13)))
    dataset, entries = detections(15)
    with pytest.raises(Invalid, match="numbers of detections"):
        bootstrap.differences(one, scored(dataset, entries, most_detections=(1, 10)))


def test_numbers_of_which_there_is_nothing_have_no_interval(detections):
    dataset, entries = detections(16)
    assert bootstrap.intervals(scored(dataset | {"annotations": []}, entries), draws=5) == {}
    assert bootstrap.intervals(scored(dataset, []), ["ap_box", "ar7_box"], draws=5).keys() == {"ap_box"}
