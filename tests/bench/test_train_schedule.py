import math

import msgspec
import pytest
import torch
from timm.scheduler import CosineLRScheduler

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


def _timms(train, steps, **how):
    """The rates of timm's scheduler, from 0 on."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=train.lr)
    scheduler = CosineLRScheduler(optimizer, lr_min=train.min_lr, warmup_lr_init=train.warmup_lr, **how)
    return [scheduler._get_lr(step)[0] for step in range(steps)]


def test_in_epochs_it_is_timms_cosine():
    train = msgspec.structs.replace(TRAIN, epochs=30, warmup_epochs=5, warmup_lr=1e-6, schedule_unit="epoch")
    theirs = _timms(train, 30, t_initial=30, warmup_t=5)
    assert _rates(train) == pytest.approx([rate for rate in theirs for _ in range(4)])


def test_in_steps_it_is_timms_cosine_that_begins_after_the_warm_up_which_ends_a_step_earlier():
    train = msgspec.structs.replace(TRAIN, epochs=30, warmup_epochs=5, warmup_lr=1e-6)
    theirs = _timms(train, 120, t_initial=99, warmup_t=20, warmup_prefix=True, t_in_epochs=False)
    assert _rates(train)[:19] == pytest.approx(theirs[1:20])
    assert _rates(train)[20:] == pytest.approx(theirs[20:])
    assert _rates(train)[19] == pytest.approx(train.lr)


def test_it_may_fall_in_a_line_or_not_at_all():
    line = _rates(msgspec.structs.replace(TRAIN, schedule="linear"))
    assert line[4:] == pytest.approx([0.01 - 0.009 * n / 15 for n in range(16)])
    constant = _rates(msgspec.structs.replace(TRAIN, schedule="constant"))
    assert constant[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert set(constant[4:]) == {0.01}


def test_it_may_fall_in_steps_down_to_the_lowest():
    train = msgspec.structs.replace(TRAIN, schedule="step", decay_epochs=1.5, decay_rate=0.5, warmup_epochs=0)
    assert _rates(train) == pytest.approx([0.01] * 6 + [0.005] * 6 + [0.0025] * 6 + [0.00125] * 2)
    assert _rates(msgspec.structs.replace(train, decay_rate=0.01))[-1] == 0.001
    by_epoch = _rates(msgspec.structs.replace(train, schedule_unit="epoch"))
    assert by_epoch == pytest.approx([0.01] * 8 + [0.005] * 4 + [0.0025] * 8)
