import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from bench.batches import batches, feed, logits, share_right
from bench.images import InMemory


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_share_that_is_right_is_scikit_learns(seed, k):
    random = torch.Generator().manual_seed(seed)
    scores, labels = torch.randn(40, 7, generator=random), torch.randint(7, (40,), generator=random)
    theirs = top_k_accuracy_score(labels.numpy(), scores.numpy(), k=k, labels=range(7))
    assert share_right(scores, labels, k) == pytest.approx(100 * theirs)


def test_where_several_classes_are_right_any_of_them_will_do_and_none_is_left_out():
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    right = torch.tensor([[True, False, True], [False, True, False], [False, False, False], [False, True, True]])
    assert share_right(scores, right) == pytest.approx(100 / 3)
    assert share_right(scores, right, 2) == 100.0


def _images(count=10):
    return InMemory(torch.randn(count, 1, 4, 4), torch.arange(count))


def test_what_a_model_says_does_not_depend_on_how_many_it_is_shown_at_once():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3), torch.nn.Dropout(0.5)).double()
    images = feed(
        InMemory(torch.randn(10, 1, 4, 4).double(), torch.arange(10)),
        device="cpu",
        size=4,
        crop=1.0,
        interpolation="bilinear",
    )
    said = logits(model, images, 3)
    assert torch.allclose(said, logits(model, images, 10))
    assert said.dtype == torch.float32
    assert not said.requires_grad
    assert model.training  # as it was before


def test_batches_come_in_the_order_that_was_asked_for():
    images = _images()
    order = [torch.tensor([4, 1]), torch.tensor([9])]
    got = list(batches(feed(images, device="cpu", size=4, crop=1.0, interpolation="bilinear"), order))
    assert [labels.tolist() for _, _, labels in got] == [[4, 1], [9]]
    assert torch.equal(got[0][1], images.pixels[[4, 1]])
