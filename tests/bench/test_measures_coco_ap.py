import json

import msgspec
import numpy as np
import pytest

from bench import data, predictions
from bench.data import generated_coco
from bench.detection import annotations, average_precision, bootstrap, inference, matching, results
from bench.errors import Invalid, Needs
from bench.measures import coco_ap
from bench.record import STD_OVER_IMAGES
from bench.subject import Subject
from bench.trial import Evaluate, Input, Model, Predictions, Trial


@pytest.fixture
def trial(detections, tmp_path):
    """A function that writes ground truth and results as files, and makes a trial that scores them."""

    def make(*, entries=None, **made):
        dataset, found = detections(31, **made)
        for half in ("train2017", "val2017"):
            (tmp_path / half).mkdir(exist_ok=True)
            (tmp_path / "annotations").mkdir(exist_ok=True)
            (tmp_path / "annotations" / f"instances_{half}.json").write_text(json.dumps(dataset))
        path = tmp_path / "results.json"
        path.write_text(json.dumps(found if entries is None else entries))
        return Trial(
            task="score",
            model=Model(name="predictions"),
            input=Input(image=None, classes=4),
            data=data.resolve("cocofolder", {"set": "shapes", "classes": 4, "root": str(tmp_path)}),
            predictions=Predictions(path=str(path), digest=predictions.digest(path) or ""),
        )

    return make


def measured(trial, store):
    subject = Subject(store=store)
    found = {name: said.samples[0] for name, said in coco_ap.measure(trial, subject).items()}
    with np.load(subject.store / subject.artifacts["predictions"], allow_pickle=False) as kept:
        return found, subject, dict(kept)


def test_a_file_of_boxes_has_the_numbers_of_pycocotools(trial, tmp_path):
    given = trial()
    found, subject, kept = measured(given, tmp_path / "store")
    truth = annotations.read(tmp_path / "annotations" / "instances_val2017.json")
    entries = results.read(tmp_path / "results.json", truth)
    theirs = average_precision.score(truth, entries, iou="bbox", engine="reference")
    assert found == pytest.approx(theirs.numbers, abs=1e-9, rel=0)
    assert list(found) == [name for name in coco_ap.PRODUCES if "box" in name]
    assert subject.bound["truth"] == predictions.digest(truth.path)
    assert (subject.bound["images"], subject.bound["detections"]) == (12, len(entries))
    assert (subject.bound["annotations"], subject.bound["engine"]) == (len(truth.entries), ["fast"])
    assert set(subject.bound[STD_OVER_IMAGES]) == set(found)
    assert msgspec.json.encode(subject.bound)
    again = average_precision.of_matches(matching.Matches.of_arrays(kept, "bbox"))
    assert again.numbers == found
    assert subject.bound[STD_OVER_IMAGES] == bootstrap.deviations(again)


def test_a_file_of_masks_has_those_of_masks_and_one_of_both_has_both(trial, detections, tmp_path):
    _, with_masks = detections(31, masks=True)
    masked, _, kept = measured(trial(masks=True), tmp_path / "store")
    assert list(masked) == [name for name in coco_ap.PRODUCES if "mask" in name]
    both = [entry | {"bbox": [5.0, 5.0, 80.0, 90.0]} for entry in with_masks]
    found, subject, of_both = measured(trial(masks=True, entries=both), tmp_path / "store")
    assert list(found) == list(coco_ap.PRODUCES)
    assert {name: found[name] for name in masked} == masked
    assert subject.bound["engine"] == ["fast", "fast"]
    assert {name for name in of_both if name.startswith("segm_")} == set(kept)


def test_a_file_without_detections_scores_0(trial, tmp_path):
    found, _, _ = measured(trial(entries=[]), tmp_path / "store")
    assert set(found.values()) == {0.0}
    assert "ap_box" in found


def test_quantities_have_the_unit_and_the_direction_that_are_declared(trial, tmp_path):
    for name, quantity in coco_ap.measure(trial(), Subject(store=tmp_path / "store")).items():
        assert (quantity.unit, quantity.better) == coco_ap.PRODUCES[name] == ("AP", "higher")
    assert coco_ap.LABELS["ap_box"] == "box AP"
    assert coco_ap.LABELS["ap_mask_small"] == "mask AP S"
    assert coco_ap.LABELS["ap75_mask"] == "mask AP75"


def test_a_file_that_is_wrong_or_was_changed_is_one_line(trial, tmp_path):
    given = trial(entries=[{"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}])
    with pytest.raises(Invalid) as raised:
        coco_ap.measure(given, Subject(store=tmp_path))
    truth = tmp_path / "annotations" / "instances_val2017.json"
    said = f"{tmp_path}/results.json: category 3 is none of {truth}, which has 2, 7, 30, 61"
    assert str(raised.value) == f"{said}; labels 1 … 4 instead of the ids 2 … 61?"
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(Invalid, match=r"results.json was changed while"):
        coco_ap.measure(given, Subject(store=tmp_path))
    (tmp_path / "results.json").unlink()
    with pytest.raises(Invalid, match=r"results.json is gone$"):
        coco_ap.measure(given, Subject(store=tmp_path))


def test_what_is_lacking_is_said_in_a_line(trial, tmp_path):
    given, subject = trial(), Subject(store=tmp_path)
    for fields, line in (
        ({"data": None}, "AP needs data with boxes: `data: NAME`"),
        ({"data": data.resolve("digits", {})}, "AP is of boxes and masks, and digits has none"),
        ({"predictions": None}, "a score is of predictions: `predictions: FILE`"),
    ):
        with pytest.raises(Invalid) as raised:
            coco_ap.measure(msgspec.structs.replace(given, **fields), subject)
        assert str(raised.value) == line
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(Needs, match=r"^shapes: annotations for report as .*instances_val2017.json$"):
        coco_ap.measure(given, subject)


def test_what_a_model_says_of_the_selection_is_scored_on_the_images_of_the_selection(monkeypatch, tmp_path):
    monkeypatch.setenv("VITAB_DATA", str(tmp_path))
    scenes = data.resolve("generated_coco", {"images": 16, "side": 64, "selection": 0.5})
    chosen = data.load(scenes, "selection")
    options = msgspec.convert(scenes.options | scenes.at, generated_coco.Options)
    truth = annotations.read(generated_coco.annotations_file(options, "selection"))
    assert 0 < len(chosen.ids) < len(truth.images)
    perfect = [
        {name: entry[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.5}
        for entry in truth.entries
        if entry["image_id"] in chosen.ids and not entry["iscrowd"]
    ]
    monkeypatch.setattr(inference, "detect", lambda trial, subject: perfect)
    given = Trial(
        task="detect",
        model=Model(name="fcos"),
        input=Input(image=64, classes=8),
        data=scenes,
        evaluate=Evaluate(image=64, split="selection"),
    )
    store = tmp_path / "store"
    subject = Subject(store=store)
    found = coco_ap.measure(given, subject)
    assert found["ap_box"].samples[0] == pytest.approx(100)
    assert subject.bound["images"] == len(chosen.ids)
    perfect[0]["image_id"] = 10**6
    with pytest.raises(Invalid, match=r"^what fcos says: image 1000000 is none of the"):
        coco_ap.measure(given, subject)
