"""Classifiers of frozen features against scikit-learn's on the same features, and the features against the model's."""

import msgspec
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from bench import data, features, models, weights
from bench.errors import Invalid
from bench.measures import few_shot, knn, linear_probe
from bench.subject import Subject
from bench.trial import Evaluate, Input, Source

CLASSES, TRAIN, TEST, DIM = 4, 120, 200, 12


@pytest.fixture(scope="module")
def known():
    """Features of four classes that overlap: (train, labels, test)."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    labels = torch.arange(TRAIN) % CLASSES
    train = centres[labels] + 1.2 * torch.randn(TRAIN, DIM, generator=generator)
    return train, labels, centres[torch.arange(TEST) % CLASSES] + 1.2 * torch.randn(TEST, DIM, generator=generator)


@pytest.mark.parametrize(("neighbors", "temperature"), [(20, 0.07), (5, 1.0), (500, 0.02)])
def test_the_weighted_vote_is_scikit_learns_with_the_same_weights(known, neighbors, temperature):
    train, labels, test = known
    said = knn.voted((train, labels), test, classes=CLASSES, neighbors=neighbors, temperature=temperature)
    other = KNeighborsClassifier(
        n_neighbors=min(neighbors, TRAIN),
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    )
    assert said.tolist() == other.fit(train.double().numpy(), labels.numpy()).predict(test.double().numpy()).tolist()


@pytest.mark.parametrize("inverse_penalty", [0.01, 1.0, 10.0])
def test_the_linear_probe_is_scikit_learns_logistic_regression(known, inverse_penalty):
    train, labels, test = known
    weight, bias = linear_probe.fitted(train, labels, classes=CLASSES, inverse_penalty=inverse_penalty)
    other = LogisticRegression(C=inverse_penalty, tol=1e-10, max_iter=10_000).fit(train.double().numpy(), labels)
    assert weight.numpy() == pytest.approx(other.coef_, abs=1e-4)
    ours = (test.double() @ weight.T + bias).softmax(dim=1).numpy()
    assert ours == pytest.approx(other.predict_proba(test.double().numpy()), abs=1e-5)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_the_few_shot_classifier_is_scikit_learns_ridge(known, ridge):
    train, labels, test = known
    weight, bias = few_shot.fitted(train, labels, classes=CLASSES, ridge=ridge)
    other = RidgeClassifier(alpha=ridge, solver="cholesky").fit(train.double().numpy(), labels.numpy())
    assert weight.numpy() == pytest.approx(other.coef_, abs=1e-8)
    assert bias.numpy() == pytest.approx(other.intercept_, abs=1e-8)
    said = (test.double() @ weight.T + bias).argmax(dim=1)
    assert said.tolist() == other.predict(test.double().numpy()).tolist()


def test_shots_are_as_many_of_each_class_and_of_the_seed():
    labels = [0, 1, 2] * 20
    drawn = few_shot.drawn(labels, 5, 0)
    assert sorted(labels[index] for index in drawn) == [0] * 5 + [1] * 5 + [2] * 5
    assert len(set(drawn)) == 15
    assert few_shot.drawn(labels, 5, 0) == drawn != few_shot.drawn(labels, 5, 1)
    with pytest.raises(Invalid, match=r"^evaluate.shots 21: class 0 has 20 training images$"):
        few_shot.drawn(labels, 21, 0)


def _frozen(digits_trial, tmp_path, name, *, image=32, **evaluate):
    """A trial of a random model of timm's whose weights lie in a file, and the model with its classifier."""
    model, given = models.resolve(f"timm:{name}", {}), Input(image=image, channels=1, classes=10)
    torch.manual_seed(0)
    built = models.build(model, given).eval()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.serialized(built.state_dict()))
    made = digits_trial(model=model, input=given, evaluate=Evaluate(image=image, **evaluate))
    return msgspec.structs.replace(made, train=None, weights=Source(kind="file", ref=str(path))), built


def test_features_are_what_the_classifier_reads_of_the_right_images(digits_trial, tmp_path):
    trial, built = _frozen(digits_trial, tmp_path, "test_vit")
    subject = Subject(store=tmp_path)
    found = features.of(trial, subject)
    read = []
    built.get_classifier().register_forward_hook(lambda module, given, _: read.append(given[0]))
    test = data.load(trial.data, "report")
    with torch.no_grad():
        built(test.tensor(size=32, crop=1.0, interpolation="bilinear"))
    assert torch.allclose(found.test, read[0], atol=1e-5)
    assert found.test_labels.tolist() == test.labels.tolist()
    assert (len(found.train), found.classes) == (len(data.load(trial.data, "train")), 10)
    assert {"weights", "data", "train", "images"} == set(subject.bound)


def test_features_of_several_layers_are_the_class_tokens_of_the_last_blocks(digits_trial, tmp_path):
    trial, built = _frozen(digits_trial, tmp_path, "test_vit", layers=2)
    found = features.of(trial, Subject(store=tmp_path))
    pixels = data.load(trial.data, "report").tensor(size=32, crop=1.0, interpolation="bilinear")
    tokens = []
    for block in built.blocks[-2:]:
        block.register_forward_hook(lambda module, given, said: tokens.append(built.norm(said)[:, 0]))
    with torch.no_grad():
        built(pixels)
        assert torch.allclose(found.test, torch.cat(tokens, dim=1), atol=1e-5)
    swin = _frozen(digits_trial, tmp_path, "test_resnet", layers=2)[0]
    with pytest.raises(Invalid, match=r"^evaluate.layers: class tokens of several blocks are read of timm's vision tr"):
        features.of(swin, Subject(store=tmp_path))


def test_weights_without_a_classifier_are_measured_too(digits_trial, tmp_path):
    """As DINO publishes its backbones."""
    trial, built = _frozen(digits_trial, tmp_path, "test_vit")
    headless = {name: value for name, value in built.state_dict().items() if not name.startswith("head.")}
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(weights.serialized(headless))
    other = msgspec.structs.replace(trial, weights=Source(kind="file", ref=str(bare)))
    assert knn.measure(other, Subject(store=tmp_path)) == knn.measure(trial, Subject(store=tmp_path))


def test_random_features_of_digits_tell_some_of_them_apart(digits_trial, tmp_path):
    trial, _ = _frozen(digits_trial, tmp_path, "test_vit")
    for module in (knn, linear_probe, few_shot):
        subject = Subject(store=tmp_path)
        ((name, said),) = module.measure(trial, subject).items()
        assert 20 < said.samples[0] < 100  # by chance 10
        with np.load(tmp_path / subject.artifacts["predictions"], allow_pickle=False) as kept:
            assert 100 * (kept["labels"] == kept[name]).mean() == pytest.approx(said.samples[0])
