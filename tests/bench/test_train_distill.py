import math

import msgspec
import pytest
import torch

from bench.errors import Invalid
from bench.identity import weights_key
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
    teacher, sha256 = distill.teacher(source, Input(image=16, channels=1, classes=10), left.subject.store)
    assert sha256 == left.subject.bound["weights"]
    assert not teacher.training
    assert not any(value.requires_grad for value in teacher.parameters())
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(teacher(images), teacher(images))


def test_a_teacher_of_other_classes_is_one_line(digits_trial, trained):
    left = trained(digits_trial())
    with pytest.raises(Invalid, match=r"do not fit the model: 2 have another shape, first 'head.weight'"):
        distill.teacher(
            Source(kind="trial", ref=left.folder.name), Input(image=8, channels=1, classes=3), left.subject.store
        )


def test_teacher_and_weight_enter_the_key(digits_trial):
    one = digits_trial(distill=Distill(teacher=TEACHER))
    other = msgspec.structs.replace(one, distill=Distill(teacher=TEACHER, weight=0.4))
    elsewhere = msgspec.structs.replace(one, distill=Distill(teacher=Source(kind="trial", ref="1" * 20)))
    assert len({weights_key(trial) for trial in (digits_trial(), one, other, elsewhere)}) == 4
