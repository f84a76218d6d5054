import math

import pytest
import torch
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from bench.train import loss

SAID = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
LABELS = torch.tensor([1, 2])


def _by_hand(shares):
    """−Σ y·log softmax(z), the mean over images."""
    total = 0.0
    for logits, wanted in zip(SAID.tolist(), shares, strict=True):
        whole = sum(math.exp(value) for value in logits)
        total -= sum(share * (value - math.log(whole)) for share, value in zip(wanted, logits, strict=True))
    return total / len(SAID)


def test_cross_entropy_is_the_one_by_hand_of_labels_and_of_shares(digits_trial):
    train = digits_trial(train={"smoothing": 0.3}).train
    smoothed = [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    assert loss.of_labels(SAID, LABELS, train).item() == pytest.approx(_by_hand(smoothed))
    assert loss.of_labels(SAID, LABELS, train).item() == pytest.approx(
        LabelSmoothingCrossEntropy(0.3)(SAID, LABELS).item()
    )
    shares = mixup_target(LABELS, 3, lam=0.7, smoothing=0.3)  # smoothed already, and not twice
    assert loss.of_labels(SAID, shares, train).item() == pytest.approx(_by_hand(shares.tolist()))
    assert loss.of_labels(SAID, shares, train).item() == pytest.approx(SoftTargetCrossEntropy()(SAID, shares).item())


@pytest.mark.parametrize("summed", [False, True])
def test_binary_cross_entropy_is_the_one_by_hand(digits_trial, summed):
    train = digits_trial(train={"smoothing": 0.3, "loss": "bce", "bce_sum": summed}).train
    total = 0.0
    for logits, label in zip(SAID.tolist(), LABELS.tolist(), strict=True):
        for place, value in enumerate(logits):
            wanted, says = (0.8 if place == label else 0.1), 1 / (1 + math.exp(-value))
            total -= wanted * math.log(says) + (1 - wanted) * math.log(1 - says)
    expected = total / len(SAID) / (1 if summed else 3)
    assert loss.of_labels(SAID, LABELS, train).item() == pytest.approx(expected)


def test_a_mixed_label_above_the_threshold_counts_as_one(digits_trial):
    train = digits_trial(train={"smoothing": 0.0, "loss": "bce", "bce_threshold": 0.2}).train
    shares = torch.tensor([[0.3, 0.7, 0.0], [0.1, 0.0, 0.9]])
    hard = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    expected = BinaryCrossEntropy(0.0)(SAID, hard).item()
    assert loss.of_labels(SAID, shares, train).item() == pytest.approx(expected)


def test_losses_are_taken_in_single_precision(digits_trial):
    value = loss.of_labels(SAID.bfloat16(), LABELS, digits_trial().train)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("changed", [{}, {"loss": "bce"}, {"loss": "bce", "bce_sum": True}])
def test_the_loss_of_silence_is_that_of_logits_that_are_all_0(digits_trial, changed):
    train = digits_trial(train=changed).train
    said = loss.of_labels(torch.zeros(4, 10), torch.arange(4), train).item()
    assert said == pytest.approx(loss.of_silence(train, 10))
