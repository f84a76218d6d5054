"""What trained detectors and segmenters say of a split, as the measures are given it."""

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from bench import data, models, registry, weights
from bench.detection import annotations, results
from bench.detection.inference import detect
from bench.errors import Invalid, Needs
from bench.identity import weights_key
from bench.segmentation.inference import segment
from bench.subject import Subject
from bench.trial import Evaluate, Execution, Source

REPORT = 6  # of 24 scenes
BOUND = {"weights", "architecture", "data", "images", "attention"}


@pytest.fixture
def left(dense_trial, trained):
    """A function that trains a small model: its trial, and a subject with its weights."""

    def run(task, **fields):
        trial = dense_trial(task, **fields)
        folder = trained(trial).folder
        return trial, Subject(store=folder.parent.parent, weights_folder=folder)

    return run


def _options(trial):
    module = registry.load("data", trial.data.name)
    return module, msgspec.convert(trial.data.options | trial.data.at, module.Options)


def _model(trial, subject, image):
    """The trained model, built and loaded without what is tested."""
    model = models.build(trial.model, msgspec.structs.replace(trial.input, image=image)).eval()
    model.load_state_dict(weights.trained(subject.weights_folder).state)
    return model


def test_detections_are_what_the_model_says_at_the_original_size_by_the_ids_of_the_annotations(left):
    trial, subject = left("detect")
    trial = msgspec.structs.replace(trial, evaluate=Evaluate(image=64))  # scenes have 32 pixels a side
    found = detect(trial, subject)
    module, options = _options(trial)
    truth = annotations.read(module.annotations_file(options, "report"))
    assert set(subject.bound) == BOUND
    assert subject.bound["images"] == REPORT == len(truth.images)
    assert results.checked(found, truth, "detections")  # no unknown image or category, nothing that is no number
    images, model = data.load(trial.data, "report"), _model(trial, subject, 64)
    for index, number in enumerate(images.ids):
        mine = [entry for entry in found if entry["image_id"] == number]
        assert 0 < len(mine) <= 100
        pixels = images.image(index, size=64, crop=1.0, interpolation="bilinear")[None]
        with torch.no_grad():
            (rows,) = model.detections(model(pixels), 64)
        assert [entry["score"] for entry in mine] == pytest.approx(rows[:, 4].tolist(), abs=1e-5)
        best, row = mine[0], rows[0].tolist()
        assert best["category_id"] == list(truth.categories)[int(row[5])]
        x0, y0, x1, y1 = (value / 2 for value in row[:4])
        assert best["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)


def test_boxes_are_scaled_by_each_side_of_the_picture_alone(left, tmp_path, monkeypatch):
    trial, subject = left("detect")
    square = detect(trial, subject)
    module = type(data.load(trial.data, "report"))
    said = module.__dict__["__init__"]

    def wide(self, **fields):
        said(self, **fields | {"sizes": tuple((2 * width, 3 * height) for width, height in fields["sizes"])})

    monkeypatch.setattr(module, "__init__", wide)
    kept = module.picture
    monkeypatch.setattr(module, "picture", lambda self, index: Image.open(self.files[index]).convert("RGB"))
    assert kept is not module.picture
    for one, other in zip(square, detect(trial, subject), strict=True):
        x, y, width, height = one["bbox"]
        assert other == one | {"bbox": pytest.approx([2 * x, 3 * y, 2 * width, 3 * height])}


def test_a_label_map_is_the_largest_of_logits_at_the_size_of_its_picture(left):
    trial, subject = left("segment")
    trial = msgspec.structs.replace(trial, evaluate=Evaluate(image=16))
    found = list(segment(trial, subject))
    module, options = _options(trial)
    pairs = module.pairs(options, "report")
    assert [name for name, _ in found] == [picture.stem for picture, _ in pairs]
    assert set(subject.bound) == BOUND
    assert subject.bound["images"] == REPORT
    images, model = data.load(trial.data, "report"), _model(trial, subject, 16)
    for index, (_, classes) in enumerate(found):
        assert (classes.dtype, classes.shape) == (np.uint8, (32, 32))
        with torch.no_grad():
            logits = model(images.image(index, size=16, crop=1.0, interpolation="bilinear")[None])
        expected = F.interpolate(logits, size=(32, 32), mode="bilinear", align_corners=False).argmax(1)[0]
        assert (classes == expected.numpy()).mean() > 0.99  # another batch may round otherwise


def test_between_two_label_maps_torch_is_as_the_caller_left_it(left):
    trial, subject = left("segment")
    torch.use_deterministic_algorithms(False)
    for _ in segment(trial, subject):
        assert torch.is_grad_enabled()
        assert not torch.are_deterministic_algorithms_enabled()


def test_said_twice_it_is_the_same_bit_for_bit_and_the_batch_changes_nothing_that_is_seen(left):
    trial, subject = left("detect")
    assert detect(trial, subject) == detect(trial, subject)
    alone = msgspec.structs.replace(trial, execution=Execution(evaluate_batch=1))
    for one, other in zip(detect(trial, subject), detect(alone, subject), strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)
    trial, subject = left("segment")
    maps = [dict(segment(trial, subject)) for _ in range(2)]
    assert all(np.array_equal(maps[0][name], maps[1][name]) for name in maps[0])


def test_weights_of_another_trial_say_what_the_training_itself_does(left):
    trial, subject = left("detect")
    source = Source(kind="trial", ref=weights_key(trial))
    named = msgspec.structs.replace(trial, train=None, weights=source)
    other = Subject(store=subject.store)
    assert detect(named, other) == detect(trial, subject)
    assert other.bound["weights"] == subject.bound["weights"]
    with pytest.raises(Needs, match=r"^weights 0{20} are not in the store$"):
        detect(msgspec.structs.replace(named, weights=Source(kind="trial", ref="0" * 20)), other)


def test_the_split_is_the_protocols(left):
    trial, subject = left("detect", options={"selection": 0.2})
    chosen = msgspec.structs.replace(trial, evaluate=Evaluate(image=32, split="selection"))
    ids = {entry["image_id"] for entry in detect(chosen, subject)}
    assert ids == set(data.load(trial.data, "selection").ids)
    assert ids.isdisjoint(data.load(trial.data, "report").ids)


def test_a_trial_of_another_task_is_one_line(left):
    trial, subject = left("detect")
    with pytest.raises(Invalid, match=r"^fcos is a model of the task detect, and the trial's is segment$"):
        list(segment(msgspec.structs.replace(trial, task="segment"), subject))


@pytest.mark.parametrize(
    ("task", "quantities"), [("detect", {"ap_box", "ar100_box"}), ("segment", {"miou", "pixel_accuracy"})]
)
def test_what_is_said_is_scored_by_the_measure_of_the_task(left, task, quantities):
    trial, subject = left(task)
    measure = registry.load("measures", {"detect": "coco_ap", "segment": "miou"}[task])
    found = {name: said.samples[0] for name, said in measure.measure(trial, subject).items()}
    assert quantities <= set(found)
    assert all(0 <= value <= 100 for value in found.values())
    assert set(subject.bound) >= BOUND
    assert (subject.store / subject.artifacts["predictions"]).is_file()


def test_a_blind_segmenter_says_one_class_of_every_pixel(left):
    blind = models.resolve("constant", {})
    trial, subject = left("segment", model=blind, train={"lr": 0.1, "min_lr": 0.1})
    assert len({value for _, classes in segment(trial, subject) for value in np.unique(classes).tolist()}) == 1
