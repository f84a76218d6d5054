"""`vitab score` on generated scenes: what it prints is what pycocotools and the label maps themselves say."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.scenes import folders


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Two dozen scenes of 96 pixels, as COCO and as ADE20K."""
    root = tmp_path_factory.mktemp("scenes")
    for layout in ("coco", "ade20k"):
        folders.generate(layout, root / layout, images=24, side=96, seed=3)
    return root


@pytest.fixture
def boxes(scenes, tmp_path):
    """Ground truth, and two files of detections: its own boxes a little off, and further off with strange classes."""
    truth = scenes / "coco" / "annotations" / "instances_val2017.json"
    said = json.loads(truth.read_text())
    random = np.random.default_rng(0)
    files = []
    for name, off in (("near", 1.0), ("far", 5.0)):
        entries = [
            {
                "image_id": one["image_id"],
                "category_id": one["category_id"],
                "bbox": (np.array(one["bbox"]) + random.normal(0, off, 4) * [1, 1, 0, 0]).tolist(),
                "score": float(random.uniform()),
            }
            for one in said["annotations"]
            if not one["iscrowd"]
        ]
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(entries))
    return truth, *files


def by_pycocotools(truth, detections):
    """Its numbers in percent, without those that it says −1 of."""
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO(str(truth))
        engine = COCOeval(whole, whole.loadRes(str(detections)), "bbox")
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    return [100 * value for value in engine.stats if value >= 0]


def test_detections_are_scored_as_pycocotools_does(call, boxes):
    truth, near, _ = boxes
    (said,) = call("score", "coco", "--gt", truth, "--dt", near, "--json", "--draws", "50").json
    assert [one["value"] for one in said["numbers"]] == pytest.approx(by_pycocotools(truth, near))
    assert all(0 <= one["interval"]["low"] <= one["value"] <= one["interval"]["high"] <= 100 for one in said["numbers"])
    first = said["numbers"][0]
    assert first["interval"]["low"] < first["value"] < first["interval"]["high"]


def test_people_read_a_line_for_each_number_and_class(call, boxes):
    truth, near, _ = boxes
    said = call("score", "coco", "--gt", truth, "--dt", near, "--draws", "0", "--per-class")
    lines = said.out.splitlines()
    assert lines[0].startswith("boxes: 6 images, ")
    ap = by_pycocotools(truth, near)[0]
    assert f"box AP {ap:.2f}" in [" ".join(line.split()) for line in lines]
    names = {category["name"] for category in json.loads(truth.read_text())["categories"]}
    classes = lines[next(number for number, line in enumerate(lines) if line.startswith("class ")) + 1 :]
    assert {line.split("  ")[0] for line in classes} <= names
    assert len(classes) >= 5


def test_an_ap_of_fewer_detections_says_so(call, boxes):
    truth, near, _ = boxes
    usual, few = (
        call("score", "coco", "--gt", truth, "--dt", near, "--draws", "0", "--most-detections", most, "--json").json[0]
        for most in ("10,100", "1,10")
    )
    assert few["said"] == usual["said"] + "; AP of at most 10 detections of a class in an image, not COCO's 100"


def test_classes_of_one_name_have_numbers_of_their_own(call, boxes, tmp_path):
    truth, near, _ = boxes
    said = json.loads(truth.read_text())
    said["categories"][0]["name"] = said["categories"][1]["name"]
    twice = tmp_path / "twice.json"
    twice.write_text(json.dumps(said))
    own, others = (
        call("score", "coco", "--gt", gt, "--dt", near, "--per-class", "--draws", "0", "--json").json[0]
        for gt in (truth, twice)
    )
    assert list(own["per_class"].values()) == list(others["per_class"].values())
    assert {"ring (2)", "ring (3)"} <= others["per_class"].keys()


def test_two_models_are_compared_on_the_same_images(call, boxes):
    truth, near, far = boxes
    (said,) = call("score", "coco", "--gt", truth, "--dt", near, "--against", far, "--json").json
    first = said["numbers"][0]
    assert first["other"] == pytest.approx(by_pycocotools(truth, far)[0])
    assert 0 < first["difference"]["low"] < first["value"] - first["other"] < first["difference"]["high"]


def test_label_maps_are_scored_over_the_whole_set(call, scenes, tmp_path):
    truths = scenes / "ade20k" / "annotations" / "validation"
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    right = wrong = 0
    for path in sorted(truths.iterdir()):
        truth = np.array(Image.open(path))
        said = np.roll(truth, 3, axis=1)
        said[said == 0] = 1
        Image.fromarray(said).save(predicted / path.name)
        right += int(((said == truth) & (truth > 0)).sum())
        wrong += int(((said != truth) & (truth > 0)).sum())
    words = ("score", "segmentation", "--gt", truths, "--pred", predicted, "--classes", "20", "--reduced")
    (said,) = call(*words, "--json").json
    found = {one["name"]: one for one in said["numbers"]}
    assert found["pixel_accuracy"]["value"] == pytest.approx(100 * right / (right + wrong))
    assert found["miou"]["interval"]["low"] < found["miou"]["value"] < found["miou"]["interval"]["high"]
    (exact,) = call(*words[:5], truths, *words[6:], "--json", "--draws", "0").json
    assert {one["value"] for one in exact["numbers"]} == {100.0}
    assert "left out of the means, as neither shows them: " in call(*words, "--draws", "0").out


def test_what_cannot_be_scored_is_one_line(call, boxes, scenes, tmp_path):
    truth, near, _ = boxes
    labels = scenes / "ade20k" / "annotations" / "validation"
    nothing = tmp_path / "nothing.json"
    for words, said in (
        (("coco", "--gt", nothing, "--dt", near), f"{nothing}: "),
        (("coco", "--gt", truth, "--dt", truth), f"{truth}: no results: a list of detections is wanted, not dict"),
        (("coco", "--gt", truth), "vitab score coco: the following arguments are required: --dt"),
        (("segmentation", "--gt", labels, "--pred", labels), "vitab score segmentation: whose labels are these? "),
        (("segmentation", "--gt", labels, "--pred", tmp_path / "no", "--classes", "20"), "predictions as a folder of "),
        (("segmentation", "--gt", labels, "--pred", labels, "--classes", "20", "--layout", "ade20k"), "vitab score "),
        (("masks",), "vitab score: no task 'masks'; "),
    ):
        answer = call("score", *words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
        assert answer.err.startswith(said)
