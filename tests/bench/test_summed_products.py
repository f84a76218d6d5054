import pytest
from torch.nn import functional as F

from bench import counting

SUMMED = {
    "scores": (lambda q, k: (q * k).sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "scores of all pairs": (lambda q, k: (q[:, :, None] * k[:, None]).sum(-1), [(2, 5, 7), (2, 6, 7)], 2 * 5 * 6 * 7),
    "scaled on the way": (lambda q, k: (q * k * 0.5).sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "divided, masked": (
        lambda q, k, mask: ((q * k) / 4).masked_fill(mask > 0, 0).sum(-1),
        [(2, 5, 7), (2, 5, 7), (5, 7)],
        2 * 5 * 7,
    ),
    "scaled by head": (lambda q, k, s: (q * k * s).sum(-1), [(2, 5, 7), (2, 5, 7), (5, 1)], 2 * 5 * 7),
    "in place": (lambda q, k: (q + 0).mul_(k).mul_(0.5).sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "moved on the way": (
        lambda q, k: (q * k).transpose(1, 2).unflatten(1, (7, 1)).sum((1, 2)),
        [(2, 5, 7), (2, 5, 7)],
        2 * 5 * 7,
    ),
    "copied on the way": (lambda q, k: (q * k).transpose(1, 2).reshape(2, 35).sum(1), [(2, 5, 7), (2, 5, 7)], 70),
    "as a mean": (lambda q, k: (q * k).mean(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "of everything": (lambda q, k: (q * k).sum(), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "as a running sum": (
        lambda k, v: (k[..., None] * v[..., None, :]).cumsum(1),
        [(2, 5, 3), (2, 5, 4)],
        2 * 5 * 3 * 4,
    ),
    "branches, weighted": (lambda x, w: (x * w[..., None]).sum(1), [(2, 3, 4, 5), (2, 3, 4)], 2 * 3 * 4 * 5),
    "cosine": (F.cosine_similarity, [(2, 7), (2, 7)], 2 * 7),
}
FREE = {
    "a norm by hand": (lambda x: x / (x * x).sum(-1, keepdim=True).sqrt(), [(2, 5, 7)]),
    "a scaled sum": (lambda x, gamma: (x * gamma).sum(1), [(2, 5, 7), (7,)]),
    "a gate, then the mean over places": (
        lambda x, gate: (x * gate).flatten(2).mean(-1),
        [(2, 3, 4, 4), (2, 3, 1, 1)],
    ),
    "an outer product": (lambda x, y: x[:, :, None] * y[:, None], [(2, 5), (2, 7)]),
}


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("convention", counting.CONVENTIONS)
@pytest.mark.parametrize(("what", "shapes", "expected"), SUMMED.values(), ids=SUMMED)
def test_products_that_are_summed_count_each_once(what, shapes, expected, convention, device, counted):
    assert counted(what, *shapes, convention=convention, device=device) == expected


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("what", "shapes"), FREE.values(), ids=FREE)
def test_products_that_no_sum_contracts_are_free(what, shapes, device, counted):
    assert counted(what, *shapes, device=device) == 0
