import math

import msgspec
import pytest

from bench.train.schedule import learning_rate
from bench.trial import Train

TRAIN = Train(
    image=8,
    epochs=5,
    batch=32,
    optimizer="adamw",
    lr=0.01,
    min_lr=0.001,
    weight_decay=0.05,
    warmup_epochs=1,
    smoothing=0.1,
    clip_grad=None,
    dropout=0.0,
    drop_path=0.0,
    augment="none",
)


def _rates(train, steps_per_epoch=4):
    return [learning_rate(step, train, steps_per_epoch) for step in range(train.epochs * steps_per_epoch)]


def test_it_rises_linearly_and_falls_along_half_a_cosine_to_the_lowest():
    rates = _rates(TRAIN)
    assert rates[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert rates[4:] == pytest.approx([0.001 + 0.0045 * (1 + math.cos(math.pi * n / 15)) for n in range(16)])
    assert rates[-1] == pytest.approx(0.001)


def test_without_a_warm_up_the_first_step_has_the_highest():
    rates = _rates(msgspec.structs.replace(TRAIN, warmup_epochs=0))
    assert rates[0] == pytest.approx(0.01)
    assert rates == sorted(rates, reverse=True)


def test_a_warm_up_may_end_within_an_epoch_and_one_step_may_be_all():
    assert _rates(msgspec.structs.replace(TRAIN, warmup_epochs=0.5))[:3] == pytest.approx([0.005, 0.01, 0.01])
    assert _rates(msgspec.structs.replace(TRAIN, warmup_epochs=0, epochs=1), steps_per_epoch=1) == pytest.approx([0.01])
