"""ReaL accuracies against timm's own on the same predictions, and what a wrong file of labels says."""

import json

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import RealLabelsImagenet

from bench import data, models, weights
from bench.errors import Invalid, Needs
from bench.measures import real, top1
from bench.subject import Subject
from bench.trial import Evaluate, Input, Source

IMAGES, CLASSES = 12, 3


@pytest.fixture
def validation(tmp_path):
    """Twelve validation images of three classes, named as ImageNet's are."""
    random, root = np.random.default_rng(0), tmp_path / "images"
    for number in range(1, IMAGES + 1):
        folder = root / "val" / f"n{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        (root / "train" / folder.name).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (36, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"ILSVRC2012_val_{number:08d}.JPEG")
    Image.fromarray(pixels).save(root / "train" / "n0" / "a.png")
    return root


@pytest.fixture
def trial(validation, tmp_path, digits_trial):
    model, given = models.resolve("timm:test_vit", {}), Input(image=32, classes=CLASSES)
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.serialized(models.build(model, given).state_dict()))
    named = data.resolve("imagefolder", {"set": "few", "classes": CLASSES, "root": str(validation)})
    made = digits_trial(model=model, input=given, data=named, evaluate=Evaluate(image=32))
    return msgspec.structs.replace(made, train=None, seed=None, weights=Source(kind="file", ref=str(path)))


def test_it_is_what_timm_says_of_the_same_predictions(validation, trial, tmp_path):
    labels = [[0], [], [1, 2], [2], [0, 1], [1], [], [2], [0], [1], [0, 1, 2], [2]]
    (validation / "real.json").write_text(json.dumps(labels))
    subject = Subject(store=tmp_path)
    found = real.measure(trial, subject)["real"].samples[0]
    other = Subject(store=tmp_path)
    top1.measure(trial, other)
    with np.load(tmp_path / other.artifacts["predictions"], allow_pickle=False) as kept:
        logits = torch.from_numpy(kept["logits"])
    files = [path.name for path in data.load(trial.data, "report").files]
    theirs = RealLabelsImagenet(files, real_json=str(validation / "real.json"), topk=(1,))
    theirs.add_result(logits)
    assert found == pytest.approx(theirs.get_accuracy(k=1))
    assert subject.bound["images"] == 10  # two have no label
    with np.load(tmp_path / subject.artifacts["predictions"], allow_pickle=False) as kept:
        assert 100 * kept["right"].mean() == pytest.approx(found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "no list of lists of classes, one a validation image: Expected `array`, got `object`"),
        ("[[0]]", "labels of 1 images, and none of 'ILSVRC2012_val_000000"),
        (json.dumps([[7]] * IMAGES), "image 3 has class 7, of 3 classes"),
        (json.dumps([[]] * IMAGES), "no label for any of 12 images"),
    ],
)
def test_a_wrong_file_is_one_line(validation, trial, tmp_path, content, said):
    (validation / "real.json").write_text(content)
    with pytest.raises(Invalid) as raised:
        real.measure(trial, Subject(store=tmp_path))
    assert str(raised.value).startswith(f"{validation / 'real.json'}: {said}")


def test_other_images_and_no_file_are_refused(validation, trial, tmp_path):
    with pytest.raises(Needs, match=r"^ReaL labels as .*real.json"):
        real.measure(trial, Subject(store=tmp_path))
    (validation / "real.json").write_text(json.dumps([[0]] * IMAGES))
    (validation / "val" / "n0" / "mine.png").write_bytes((validation / "train" / "n0" / "a.png").read_bytes())
    with pytest.raises(Invalid, match=r"'mine.png' is named like none"):
        real.measure(trial, Subject(store=tmp_path))
    digits = msgspec.structs.replace(trial, data=data.resolve("digits", {}))
    with pytest.raises(Invalid, match=r"of ImageNet's validation images alone"):
        real.measure(digits, Subject(store=tmp_path))
