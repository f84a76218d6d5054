import sys
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from bench import data, predictions, registry
from bench.data import cityscapes
from bench.errors import Invalid, Needs
from bench.identity import record_key
from bench.measures import miou
from bench.segmentation.per_image import PerImage
from bench.subject import Subject
from bench.trial import Evaluate, Input, Model, Predictions, Source, Trial

CLASSES = 5


def _maps(count=6):
    """Truths of classes, some pixels without one, and predictions that are mostly right."""
    random = np.random.default_rng(0)
    for _ in range(count):
        truth = random.integers(0, CLASSES, (11, 13), dtype=np.uint8)
        noise = random.integers(0, CLASSES, truth.shape, dtype=np.uint8)
        prediction = np.where(random.random(truth.shape) < 0.6, truth, noise)
        truth[0] = 255
        yield truth, prediction


def _write(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


@pytest.fixture
def root(tmp_path):
    """Pictures, label maps stored as 1 … 5 and 0 for none, and predictions: stored so, and as classes."""
    for number, (truth, prediction) in enumerate(_maps()):
        name = f"{number}.png"
        _write(tmp_path / "images" / "validation" / name, truth)
        _write(tmp_path / "annotations" / "validation" / name, np.where(truth == 255, 0, truth + 1).astype(np.uint8))
        _write(tmp_path / "said" / name, prediction + np.uint8(1))
        _write(tmp_path / "classes" / name, prediction)
    return tmp_path


@pytest.fixture
def trial(root):
    """A function that makes a trial that scores a folder of predictions."""

    def make(said="said", **options):
        given = {"set": "shapes", "classes": CLASSES, "reduced": True, "root": str(root), "selection": 0.0} | options
        return Trial(
            task="score",
            model=Model(name="predictions"),
            input=Input(image=None, classes=CLASSES),
            data=data.resolve("labelfolder", given),
            predictions=Predictions(path=str(root / said), digest=predictions.digest(root / said) or ""),
        )

    return make


def _measured(trial, root):
    subject = Subject(store=root / "store")
    found = {name: said.samples[0] for name, said in miou.measure(trial, subject).items()}
    with np.load(subject.store / subject.artifacts["predictions"], allow_pickle=False) as kept:
        return found, subject, PerImage.of_arrays(dict(kept))


def test_a_folder_of_predictions_is_scored_against_the_datas_label_maps(trial, root):
    found, subject, kept = _measured(trial(), root)
    truth, prediction = (np.concatenate([one.ravel() for one in maps]) for maps in zip(*_maps(), strict=True))
    counted = truth < 255
    flat = truth[counted], prediction[counted]
    assert found == {
        "miou": pytest.approx(100 * jaccard_score(*flat, average="macro")),
        "pixel_accuracy": pytest.approx(100 * np.mean(flat[0] == flat[1])),
        "mean_accuracy": pytest.approx(100 * np.mean([np.mean(flat[1][flat[0] == c] == c) for c in range(CLASSES)])),
    }
    assert {name: subject.bound[name] for name in ("images", "pixels", "absent_classes")} == {
        "images": 6,
        "pixels": 6 * 10 * 13,
        "absent_classes": [],
    }
    assert set(subject.bound) > {"truth", "numpy", "pillow", "predictions_without_truth"}
    assert msgspec.json.encode(subject.bound)
    assert kept.names == ("0", "1", "2", "3", "4", "5")
    assert int(kept.intersection.sum()) == int(np.sum(flat[0] == flat[1]))
    key = record_key("miou", miou.VERSION, miou.DEPENDS_ON, trial())
    assert subject.artifacts == {"predictions": f"scores/predictions-{key}.npz"}


def test_predictions_may_be_stored_as_classes_where_the_trial_says_so(trial, root):
    as_labels, _, _ = _measured(trial(), root)
    as_classes, _, _ = _measured(trial("classes", predictions="classes"), root)
    assert as_classes == as_labels
    with pytest.raises(Invalid, match=r"^the predictions look off by one: "):
        _measured(trial("classes"), root)


def test_predictions_without_a_truth_are_counted_and_left_out(trial, root):
    before, subject, _ = _measured(trial(), root)
    assert subject.bound["predictions_without_truth"] == 0
    _write(root / "said" / "other.png", np.zeros((2, 2), np.uint8))
    after, subject, _ = _measured(trial(), root)
    assert after == before
    assert subject.bound["predictions_without_truth"] == 1


def test_other_predictions_are_another_record_wherever_they_lie(trial, root):
    given = trial()
    (root / "said").rename(root / "moved")
    moved = trial("moved")
    assert record_key("miou", 1, miou.DEPENDS_ON, moved) == record_key("miou", 1, miou.DEPENDS_ON, given)
    _write(root / "moved" / "0.png", np.ones((11, 13), np.uint8))
    with pytest.raises(Invalid, match=r"moved was changed"):
        _measured(moved, root)
    assert record_key("miou", 1, miou.DEPENDS_ON, trial("moved")) != record_key("miou", 1, miou.DEPENDS_ON, moved)


def test_a_bad_file_is_a_line_that_names_it(trial, root):
    (root / "said" / "3.png").unlink()
    with pytest.raises(Invalid, match=r"said: no prediction for 1 of 6 label maps: 3$"):
        _measured(trial(), root)
    _write(root / "said" / "3.png", np.full((11, 13), 77, np.uint8))
    with pytest.raises(
        Invalid, match=r"said/3.png: label 77 at row 0, column 0 is no class; allowed: 1 … 5, and 0, 255 "
    ):
        _measured(trial(), root)


def test_what_is_no_data_of_label_maps_is_a_line(trial, root):
    digits = msgspec.structs.replace(trial(), data=data.resolve("digits", {}))
    with pytest.raises(Invalid, match=r"^mIoU is of label maps, and digits has none$"):
        _measured(digits, root)
    with pytest.raises(Invalid, match=r"^mIoU needs data with label maps: `data: NAME`$"):
        _measured(msgspec.structs.replace(trial(), data=None), root)
    with pytest.raises(Invalid, match=r"^a score is of predictions: `predictions: FOLDER`$"):
        _measured(msgspec.structs.replace(trial(), predictions=None), root)
    with pytest.raises(Needs, match=r"^shapes: no label map for report as .*/nowhere/annotations/validation/\*\.png$"):
        _measured(trial(root=str(root / "nowhere")), root)


def test_cityscapes_is_scored_by_ids_and_by_train_ids(tmp_path):
    random = np.random.default_rng(1)
    ids = np.array(list(cityscapes.CLASSES.values()), dtype=np.uint8)
    for number in range(3):
        frame = f"lindau_000000_{number:06}"
        truth = random.integers(0, cityscapes.IDS, (20, 30), dtype=np.uint8)
        classes = random.integers(0, 19, truth.shape, dtype=np.uint8)
        said = np.where(random.random(truth.shape) < 0.7, truth, ids[classes])
        said_classes = np.full(256, 255, np.uint8)
        said_classes[ids] = np.arange(19)
        _write(tmp_path / "gtFine" / "val" / "lindau" / f"{frame}_gtFine_labelIds.png", truth)
        _write(tmp_path / "ids" / f"{frame}_leftImg8bit.png", said)
        _write(tmp_path / "trainids" / "deep" / f"{frame}.png", said_classes[said])
    found = {}
    for folder, stored in (("ids", "labels"), ("trainids", "classes")):
        chosen = data.resolve("cityscapes", {"root": str(tmp_path), "predictions": stored})
        given = Predictions(path=str(tmp_path / folder), digest=predictions.digest(tmp_path / folder))
        trial = Trial(
            task="score",
            model=Model(name="predictions"),
            input=Input(image=None, classes=19),
            data=chosen,
            predictions=given,
        )
        found[folder], _, kept = _measured(trial, tmp_path)
    assert found["ids"] == found["trainids"]
    assert kept.names[0] == "lindau/lindau_000000_000000_gtFine_labelIds"
    assert 60 < found["ids"]["pixel_accuracy"] < 80


@pytest.fixture
def segmenting(monkeypatch):
    """A function that puts what a model says in place of the model."""

    def say(*said):
        module = SimpleNamespace(segment=lambda trial, subject: iter(said))
        monkeypatch.setitem(sys.modules, "bench.segmentation.inference", module)

    return say


@pytest.fixture
def of_model(trial):
    weights = Source(kind="published", ref="somebody's")
    return msgspec.structs.replace(
        trial(), task="segment", predictions=None, weights=weights, evaluate=Evaluate(image=16)
    )


def test_what_a_model_says_is_scored_as_files_are(trial, of_model, root, segmenting):
    segmenting(*((str(number), prediction.astype(np.int64)) for number, (_, prediction) in enumerate(_maps())))
    found, subject, kept = _measured(of_model, root)
    as_files, _, of_files = _measured(trial(), root)
    assert found == as_files
    assert all(np.array_equal(*of) for of in zip(kept.sums, of_files.sums, strict=True))
    assert subject.artifacts["predictions"].startswith("weights/")


def test_what_a_model_says_of_another_picture_is_refused(of_model, root, segmenting):
    segmenting(*((str(number), prediction) for number, (_, prediction) in enumerate(reversed(list(_maps())), start=1)))
    with pytest.raises(Invalid, match=r"^a prediction of '1' where one of '0' belongs$"):
        _measured(of_model, root)


def test_it_is_measured_of_label_maps_and_of_nothing_else():
    module = registry.load("measures", "miou")
    assert module.TASKS == ("score", "segment")
    assert set(module.PRODUCES) == set(module.LABELS) == {"miou", "pixel_accuracy", "mean_accuracy"}
