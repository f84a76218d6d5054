import hashlib

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from bench import data, models, weights
from bench.errors import Invalid, Needs
from bench.measures import top1
from bench.subject import Subject
from bench.trial import Evaluate, Input, Source

REPORT, SELECTION = 445, 146  # images of digits
LEARNING = {"train": {"epochs": 8, "lr": 3e-3}, "data": data.resolve("digits", {}, subset=0.5)}  # to know some digits


@pytest.fixture
def measured(digits_trial, trained, tmp_path):
    """A function that trains a small ViT and measures it: (quantities, subject, predictions)."""

    def run(trial=None, *, weights_of=None):
        trained_trial = digits_trial(**LEARNING)
        left = trained(trained_trial)
        subject = Subject(store=left.subject.store, weights_folder=left.folder if weights_of is None else None)
        trial = trial or trained_trial
        if weights_of is not None:
            trial = msgspec.structs.replace(trial, train=None, seed=None, weights=weights_of(left))
        found = {name: said.samples[0] for name, said in top1.measure(trial, subject).items()}
        with np.load(subject.store / subject.artifacts["predictions"], allow_pickle=False) as kept:
            return found, subject, dict(kept)

    return run


def test_it_is_the_share_of_images_whose_largest_logit_is_right(measured):
    found, subject, kept = measured()
    assert {name: array.shape for name, array in kept.items()} == {
        "labels": (REPORT,),
        "top1": (REPORT,),
        "probability": (REPORT,),
        "logits": (REPORT, 10),
    }
    assert 40 < found["top1"] < 95  # neither by chance nor without a mistake
    assert found["top1"] == pytest.approx(100 * accuracy_score(kept["labels"], kept["top1"]), abs=1e-12)
    assert found["top5"] == pytest.approx(100 * top_k_accuracy_score(kept["labels"], kept["logits"], k=5), abs=1e-12)
    assert kept["labels"].tolist() == data.load(data.resolve("digits", {}), "report").labels.tolist()
    chances = torch.from_numpy(kept["logits"]).softmax(1).numpy()
    assert kept["probability"] == pytest.approx(chances[np.arange(REPORT), kept["labels"]])
    assert subject.bound["images"] == REPORT
    assert {"weights", "architecture", "data", "attention"} < set(subject.bound)


def test_a_file_and_another_trials_weights_measure_as_the_training_itself(measured):
    own, _, kept = measured()
    for source in (
        lambda left: Source(kind="trial", ref=left.folder.name),
        lambda left: Source(kind="file", ref=str(left.folder / "weights.safetensors")),
    ):
        found, subject, again = measured(weights_of=source)
        assert found == own
        assert np.array_equal(again["logits"], kept["logits"])
        file = subject.store / "weights"
        digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in file.glob("*/weights.safetensors")}
        assert subject.bound["weights"] in digests


def test_the_split_and_the_image_size_are_the_protocols(measured, digits_trial):
    at_8, _, _ = measured()
    selection, subject, _ = measured(digits_trial(**LEARNING, evaluate=Evaluate(image=8, split="selection")))
    assert subject.bound["images"] == SELECTION
    larger, _, kept = measured(digits_trial(**LEARNING, evaluate=Evaluate(image=16)))
    assert len(kept["labels"]) == REPORT
    assert len({at_8["top1"], selection["top1"], larger["top1"]}) == 3


def test_the_batch_that_images_are_evaluated_in_does_not_matter(measured, digits_trial):
    whole, _, kept = measured()
    trial = digits_trial(**LEARNING)
    small = msgspec.structs.replace(trial, execution=msgspec.structs.replace(trial.execution, evaluate_batch=7))
    found, _, again = measured(small)
    assert found == whole
    assert np.allclose(again["logits"], kept["logits"], atol=1e-5)


def test_with_five_classes_there_is_no_top5(image_folder, tmp_path, digits_trial):
    classes = tuple("abcde")
    folder = {"set": "five", "root": str(image_folder(classes=classes)), "classes": 5, "image": 16}
    trial = msgspec.structs.replace(
        digits_trial(), data=data.resolve("imagefolder", folder), input=Input(image=16, classes=5), train=None
    )
    trial = msgspec.structs.replace(trial, evaluate=Evaluate(image=16))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.serialized(models.build(trial.model, trial.input).state_dict()))
    trial = msgspec.structs.replace(trial, weights=Source(kind="file", ref=str(path)))
    assert set(top1.measure(trial, Subject(store=tmp_path))) == {"top1"}


def test_what_is_lacking_is_said_in_a_line(digits_trial, tmp_path):
    subject = Subject(store=tmp_path)
    bare = msgspec.structs.replace(digits_trial(), train=None, seed=None)
    with pytest.raises(Invalid, match=r"^accuracies need weights: a training, or weights of another trial, a file "):
        top1.measure(bare, subject)
    with pytest.raises(Invalid, match=r"^accuracies need data and an evaluation protocol$"):
        top1.measure(msgspec.structs.replace(bare, data=None), subject)
    with pytest.raises(Needs, match=r"^weights [0-9a-f]{20} are not in the store$"):
        top1.measure(digits_trial(), subject)
    absent = Source(kind="file", ref=str(tmp_path / "absent.pt"))
    with pytest.raises(Needs, match=r"absent.pt': no such file or directory$"):
        top1.measure(msgspec.structs.replace(bare, weights=absent), subject)


def test_weights_that_were_published_for_other_pixels_are_refused(monkeypatch, digits_trial, tmp_path):
    images = data.load(data.resolve("digits", {}), "report")
    theirs = ((0.5,), (0.25,))
    given = msgspec.structs.replace(
        digits_trial(), train=None, weights=Source(kind="published", ref="timm:resnet18.a1_in1k")
    )
    monkeypatch.setattr(weights, "load", lambda source, store: weights.Loaded(state={}, sha256="", normalized=theirs))
    monkeypatch.setattr(data, "load", lambda *_: type(images)(images.pixels, images.labels, ((0.0,), (1.0,))))
    with pytest.raises(Invalid) as raised:
        top1.measure(given, Subject(store=tmp_path))
    assert str(raised.value) == (
        "these weights were published for pixels normalised by mean 0.5 and deviation 0.25; "
        "data.normalize gives mean 0 and deviation 1"
    )


def test_weights_that_were_trained_on_other_pixels_are_refused(digits_trial, trained, image_folder):
    options = {"set": "shades", "classes": 3, "channels": 3, "root": str(image_folder()), "selection": 0.25}
    shades = data.resolve("imagefolder", options)
    trial = digits_trial(data=shades, input=Input(image=8, classes=3), train={"batch": 8, "epochs": 2})
    left = trained(trial)
    source = Source(kind="trial", ref=left.folder.name)
    alike = msgspec.structs.replace(trial, train=None, seed=None, weights=source)
    assert "top1" in top1.measure(alike, Subject(store=left.subject.store))
    otherwise = msgspec.structs.replace(alike, data=data.resolve("imagefolder", options | {"normalize": "none"}))
    with pytest.raises(Invalid) as raised:
        top1.measure(otherwise, Subject(store=left.subject.store))
    assert str(raised.value) == (
        "these weights were trained on pixels normalised by mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, "
        "0.225; data.normalize gives mean 0, 0, 0 and deviation 1, 1, 1"
    )
