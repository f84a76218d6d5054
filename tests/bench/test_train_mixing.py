import numpy as np
import pytest
import torch
from timm.data import Mixup

from bench.train.mixing import mixed
from bench.train.random_numbers import drawn_by
from bench.train.ranks import Ranks

BOTH = {"mixup": 0.8, "cutmix": 1.0, "smoothing": 0.1}


def _batch(count=8):
    return torch.arange(count * 64, dtype=torch.float32).view(count, 1, 8, 8), torch.arange(count) % 10


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("only", [{}, {"mixup": 0.0}, {"cutmix": 0.0}, {"mix_probability": 0.5, "mix_switch": 0.2}])
def test_images_and_labels_are_mixed_as_timm_mixes_them(digits_trial, mode, only):
    train = digits_trial(train=BOTH | only | {"mix_mode": mode}).train
    theirs = Mixup(
        mixup_alpha=train.mixup,
        cutmix_alpha=train.cutmix,
        prob=only.get("mix_probability", 1.0),
        switch_prob=only.get("mix_switch", 0.5),
        mode=mode,
        label_smoothing=0.1,
        num_classes=10,
    )
    seen = set()
    for step in range(5):
        ours = mixed(*_batch(), train, classes=10, seed=3, step=step, epoch=0)
        with drawn_by(f"mix 3 {step}"):
            expected = theirs(*_batch())
        assert all(torch.equal(one, other) for one, other in zip(ours, expected, strict=True))
        assert torch.allclose(ours[1].sum(dim=1), torch.ones(8))
        seen.add(tuple(ours[0].flatten().tolist()))
    assert len(seen) > 1


def test_after_the_last_epoch_of_mixing_labels_are_only_smoothed(digits_trial):
    train = digits_trial(train=BOTH | {"mix_epochs": 2}).train
    pixels, labels = _batch()
    for epoch, mixes in ((1, True), (2, False)):
        seen, shares = mixed(*_batch(), train, classes=10, seed=0, step=9, epoch=epoch)
        assert torch.equal(seen, pixels) != mixes
    assert torch.allclose(shares, torch.eye(10)[labels] * 0.9 + 0.01)


def test_nothing_is_drawn_where_nothing_is_mixed(digits_trial):
    pixels, labels = _batch()
    seen, same = mixed(pixels, labels, digits_trial().train, classes=10, seed=0, step=0, epoch=0)
    assert seen is pixels
    assert same is labels


@pytest.mark.parametrize(("count", "processes"), [(8, 2), (10, 3), (8, 4)])
def test_several_processes_mix_what_one_would(digits_trial, count, processes):
    train = digits_trial(train=BOTH).train
    pixels, labels = _batch(count)
    for step in range(4):
        whole = mixed(pixels.clone(), labels, train, classes=10, seed=0, step=step, epoch=0)
        seen = torch.zeros(count, dtype=torch.bool)
        for rank in range(processes):
            mine = Ranks(rank=rank, count=processes).share(torch.arange(count), pairs=True)
            part = mixed(pixels[mine].clone(), labels[mine], train, classes=10, seed=0, step=step, epoch=0)
            assert torch.equal(part[0], whole[0][mine])
            assert torch.equal(part[1], whole[1][mine])
            seen[mine] = True
        assert seen.all()


def test_mixing_moves_nobodys_random_numbers(digits_trial):
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    mixed(*_batch(), digits_trial(train=BOTH).train, classes=10, seed=0, step=0, epoch=0)
    assert np.random.rand() == expected
