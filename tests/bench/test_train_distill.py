import math

import msgspec
import numpy as np
import pytest
import torch

from bench import models, weights
from bench.data import resolve
from bench.errors import Interrupted, Invalid
from bench.identity import weights_key
from bench.subject import Subject
from bench.train import distill
from bench.trial import Distill, Input, Source

TEACHER = Source(kind="trial", ref="0" * 20)


def test_the_loss_is_that_of_the_paper():
    student, teacher = (
        torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]),
        torch.tensor([[2.0, 1.0, 0.0], [1.0, 0.0, 1.0]]),
    )
    divergence = 0.0
    for said, taught in zip(student.tolist(), teacher.tolist(), strict=True):
        q = [math.exp(value / 4) for value in said]
        p = [math.exp(value / 4) for value in taught]
        divergence += sum(b / sum(p) * math.log((b / sum(p)) / (a / sum(q))) for a, b in zip(q, p, strict=True)) / 2
    got = distill.loss(student, teacher, torch.tensor(0.7), Distill(teacher=TEACHER, temperature=4.0, weight=0.25))
    assert got.item() == pytest.approx(0.75 * 0.7 + 0.25 * 16 * divergence, rel=1e-5)


def test_a_student_that_says_the_same_has_nothing_to_learn():
    said = torch.randn(4, 10)
    assert distill.loss(said, said, torch.tensor(0.0), Distill(teacher=TEACHER)).item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_evaluates_at_the_students_size_and_never_learns(digits_trial, trained):
    left = trained(digits_trial(train={"dropout": 0.5}))
    source = Source(kind="trial", ref=left.folder.name)
    seen = Input(image=16, channels=1, classes=10)
    teacher, sha256 = distill.teacher(source, seen, left.subject.store, pixels=None)
    assert sha256 == left.subject.bound["weights"]
    assert not teacher.training
    assert not any(value.requires_grad for value in teacher.parameters())
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(teacher(images), teacher(images))


def test_a_teacher_of_other_classes_is_one_line(digits_trial, trained):
    left = trained(digits_trial())
    with pytest.raises(Invalid, match=r"^the teacher knows 10 classes and the student 3$"):
        distill.teacher(
            Source(kind="trial", ref=left.folder.name),
            Input(image=8, channels=1, classes=3),
            left.subject.store,
            pixels=None,
        )


def test_a_teacher_that_was_trained_on_other_pixels_is_refused(digits_trial, trained, image_folder):
    options = {"set": "shades", "classes": 3, "channels": 3, "root": str(image_folder()), "selection": 0.25}
    trial = digits_trial(
        data=resolve("imagefolder", options), input=Input(image=8, classes=3), train={"batch": 8, "epochs": 2}
    )
    teacher = Source(kind="trial", ref=trained(trial).folder.name)
    otherwise = resolve("imagefolder", options | {"normalize": "half"})
    student = msgspec.structs.replace(trial, data=otherwise, distill=Distill(teacher=teacher))
    with pytest.raises(Invalid) as raised:
        trained(student)
    assert str(raised.value) == (
        "these weights were trained on pixels normalised by mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, "
        "0.225; data.normalize gives mean 0.5, 0.5, 0.5 and deviation 0.5, 0.5, 0.5"
    )
    alike = msgspec.structs.replace(trial, distill=Distill(teacher=teacher))
    assert set(trained(alike).subject.bound["sources"]) == {"teacher"}


def test_teacher_and_weight_enter_the_key(digits_trial):
    one = digits_trial(distill=Distill(teacher=TEACHER))
    other = msgspec.structs.replace(one, distill=Distill(teacher=TEACHER, weight=0.4))
    elsewhere = msgspec.structs.replace(one, distill=Distill(teacher=Source(kind="trial", ref="1" * 20)))
    assert len({weights_key(trial) for trial in (digits_trial(), one, other, elsewhere)}) == 4


def test_hard_distillation_takes_the_teachers_first_choice_as_a_label():
    """Equation 3 of DeiT: the mean of two cross-entropies, where weight is a half."""
    student, teacher = (
        torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]),
        torch.tensor([[2.0, 1.0, 0.0], [1.0, 0.0, 1.5]]),
    )
    heard = 0.0
    for said, choice in zip(student.tolist(), (0, 2), strict=True):
        heard += (math.log(sum(math.exp(value) for value in said)) - said[choice]) / 2
    for weight in (0.5, 0.2):
        got = distill.loss(student, teacher, torch.tensor(0.7), Distill(teacher=TEACHER, kind="hard", weight=weight))
        assert got.item() == pytest.approx((1 - weight) * 0.7 + weight * heard)


@pytest.fixture
def taught(digits_trial, trained):
    """A function that trains a student of one teacher, and gives the trial too."""
    teacher = Source(kind="trial", ref=trained(digits_trial(seed=7)).folder.name)

    def train(*, token=False, weight=0.5, **how):
        trial = digits_trial(knobs={"distilled": token}, distill=Distill(teacher=teacher, weight=weight, **how))
        return trial, trained(trial)

    return train


def test_soft_and_hard_with_and_without_a_token_are_four_students(taught):
    left = [taught(token=token, kind=kind) for token in (False, True) for kind in ("soft", "hard")]
    assert len({weights_key(trial) for trial, _ in left}) == 4
    assert len({said.weights for _, said in left}) == 4


@pytest.mark.parametrize(("weight", "still"), [(0.0, "head_dist.weight"), (1.0, "head.weight")])
def test_the_class_token_hears_the_label_and_the_distillation_token_the_teacher(
    digits_trial, trained, tmp_path, weight, still
):
    """A head that hears nothing has no gradient: all that moves it is decay, which is 0 here."""
    teacher = Source(kind="trial", ref=trained(digits_trial(seed=7)).folder.name)
    trial = digits_trial(
        train={"weight_decay": 0.0}, knobs={"distilled": True}, distill=Distill(teacher=teacher, weight=weight)
    )
    with pytest.raises(Interrupted):
        trained(trial, stop_after=1)
    file = tmp_path / "store" / "weights" / weights_key(trial) / "checkpoint.pt"
    first = torch.load(file, weights_only=True)["model"]
    last = weights.trained(trained(trial).folder).state
    assert {name for name in ("head.weight", "head_dist.weight") if torch.equal(first[name], last[name])} == {still}


def test_a_librarys_model_with_the_token_hears_as_ours_does(digits_trial, trained):
    teacher = Source(kind="trial", ref=trained(digits_trial(seed=7)).folder.name)
    arguments = {"patch_size": 2, "embed_dim": 48, "depth": 1, "num_heads": 4}
    library = models.resolve("timm:deit_tiny_distilled_patch16_224", arguments)
    distilled = Distill(teacher=teacher, kind="hard", weight=1.0)
    left = trained(digits_trial(model=library, distill=distilled, train={"weight_decay": 0.0, "epochs": 2}))
    state = weights.trained(left.folder).state
    assert state["head_dist.bias"].any()
    assert not state["head.bias"].any()  # as it was drawn


def test_each_readout_is_an_accuracy_of_the_same_weights(taught):
    from bench.measures import top1

    trial, left = taught(token=True, kind="hard")
    said = {}
    for readout in ("both", "class", "distillation"):
        asked = msgspec.structs.replace(trial, evaluate=msgspec.structs.replace(trial.evaluate, readout=readout))
        assert weights_key(asked) == weights_key(trial)
        subject = Subject(store=left.subject.store, weights_folder=left.folder)
        top1.measure(asked, subject)
        said[readout] = np.load(left.subject.store / subject.artifacts["predictions"])["logits"]
    assert np.allclose(said["both"], (said["class"] + said["distillation"]) / 2, atol=1e-6)
    assert not np.allclose(said["class"], said["distillation"])
