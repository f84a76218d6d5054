import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench import counting
from bench.errors import Invalid


def _into_place(p, q):
    total = torch.zeros_like(p[:, 0])
    for i in range(5):
        total += p[:, i] * q[:, i]
    return total


def _by_addcmul(p, q):
    total = torch.zeros_like(p[:, 0])
    for i in range(5):
        total = torch.addcmul(total, p[:, i], q[:, i])
    return total


def _summed_twice(q, k):
    product = q * k
    return product.sum(-1), product.sum(1)


def _pooled(q, k):
    return F.adaptive_avg_pool2d(q * k, 2)


def _cell(x, state):
    forget, keep, new, out = x.sigmoid().chunk(4, dim=1)
    return out * (forget * state + keep * new).tanh()


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
    "over two sums": (lambda q, k: (q[:, None] * k).sum(1).sum(-1), [(2, 7), (2, 5, 7)], 2 * 5 * 7),
    "with something added": (lambda q, k, b: (q * k + b).sum(-1), [(2, 5, 7), (2, 5, 7), (7,)], 2 * 5 * 7),
    "taken away": (lambda q, k, b: (b - q * k).sum(-1), [(2, 5, 7), (2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "two at once": (lambda q, k, v: (q * k + k * v).sum(-1), [(2, 5, 7)] * 3, 2 * (2 * 5 * 7)),
    "one by one": (lambda p, q: sum(p[:, i] * q[:, i] for i in range(5)), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "one by one, into place": (_into_place, [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "one by one, by addcmul": (_by_addcmul, [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "outer products, one by one": (
        lambda p, q: sum(p[:, i, :, None] * q[:, i, None] for i in range(5)),
        [(1, 5, 3), (1, 5, 4)],
        5 * 3 * 4,
    ),
    "a window of neighbours": (
        lambda a, v: sum(a[..., i, None] * torch.roll(v, i, 1) for i in range(3)),
        [(2, 5, 3), (2, 5, 7)],
        3 * (2 * 5 * 7),
    ),
    "one by one, then along what is left": (
        lambda p, q: sum(p[:, i] * q[:, i] for i in range(5)).sum(-1),
        [(2, 5, 7), (2, 5, 7)],
        2 * 5 * 7,
    ),
    "by addcmul": (lambda b, q, k: torch.addcmul(b, q, k).sum(-1), [(2, 5, 7)] * 3, 2 * 5 * 7),
    "stacked": (lambda p, q: torch.stack([p[:, i] * q[:, i] for i in range(5)]).sum(0), [(2, 5, 7)] * 2, 2 * 5 * 7),
    "stacked, of tensors of their own": (
        lambda p, q, r, s: torch.stack([p * q, r * s], dim=1).sum(1),
        [(2, 7)] * 4,
        2 * (2 * 7),
    ),
    "stacked with what is none": (lambda q, k, x: torch.stack([q * k, x]).sum(-1), [(2, 5, 7)] * 3, 2 * 5 * 7),
    "side by side": (lambda q, k: torch.cat([q * k, q.flip(0) * k], dim=-1).sum(-1), [(2, 5, 7)] * 2, 2 * (2 * 5 * 7)),
    "side by side with what is none": (
        lambda q, k, x: torch.cat([q * k, x], dim=1).sum(-1),
        [(2, 5, 7), (2, 5, 7), (2, 3, 7)],
        2 * 5 * 7,
    ),
    "padded, rolled": (lambda q, k: F.pad(q * k, (1, 1)).roll(1, 0).sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "chosen": (lambda q, k, m: torch.where(m > 0, q * k, 0).sum(-1), [(2, 5, 7), (2, 5, 7), (5, 7)], 2 * 5 * 7),
    "half of them": (lambda q, k: (q * k)[..., :3].sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 3),
    "pooled": (lambda q, k: F.avg_pool2d(q * k, 2), [(2, 3, 4, 4), (2, 3, 4, 4)], 2 * 3 * 4 * 4),
    "added at an index": (
        lambda q, k: q.new_zeros(2, 3).index_add(1, torch.tensor([0, 1, 2, 0, 1], device=q.device), q * k),
        [(2, 5), (2, 5)],
        2 * 5,
    ),
    "scattered": (lambda q, k: q.new_zeros(2, 3).scatter_add(1, (q * 0).long(), q * k), [(2, 5), (2, 5)], 2 * 5),
    "put at an index": (
        lambda q, k: q.new_zeros(5).index_put((torch.zeros(5, dtype=torch.long, device=q.device),), q * k, True),
        [(5,), (5,)],
        5,
    ),
    "summed twice": (_summed_twice, [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "broadcast after": (lambda q, k: (q * k)[:, None].expand(2, 9, 7).sum(-1), [(2, 7), (2, 7)], 2 * 7),
    "a linear layer": (lambda x, w: (x[..., None] * w).sum(-2), [(2, 5, 7), (7, 9)], 2 * 5 * 7 * 9),
    "a weighted average": (lambda x, w: (x * w / (1 + x[:1])).sum(1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "cosine": (F.cosine_similarity, [(2, 7), (2, 7)], 2 * 7),
}
FREE = {
    "a sum of gates": (lambda x, y, g: x * g + y * (1 - g), [(2, 5, 7)] * 3),
    "a rotation of queries": (
        lambda x, cos, sin: x * cos + torch.cat([-x[..., 4:], x[..., :4]], dim=-1) * sin,
        [(2, 5, 8), (5, 8), (5, 8)],
    ),
    "one factor for all, one by one": (lambda x, g: sum(g * x[:, i] for i in range(5)), [(2, 5, 7), (2, 7)]),
    "one factor for all, stacked": (lambda x, y, g: torch.stack([g * x, g * y]).sum(0), [(2, 7), (2, 7), (2, 7)]),
    "a scaled residual": (lambda x, y, gamma: (x + y * gamma).mean(1), [(2, 5, 7), (2, 5, 7), (7,)]),
    "a cell's gates": (_cell, [(2, 28), (2, 7)]),
    "a gate, then pooled": (lambda x, gate: F.avg_pool2d(x * gate, 2), [(2, 3, 4, 4), (2, 3, 1, 1)]),
    "what is no sum": (lambda q, k: (q * k).relu().sum(-1), [(2, 5, 7), (2, 5, 7)]),
    "the smallest at an index": (
        lambda q, k: q.new_zeros(2, 3).scatter_reduce(1, (q * 0).long(), q * k, "amin"),
        [(2, 5), (2, 5)],
    ),
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


def test_products_that_are_pooled_count_beside_what_fvcore_says_of_pooling(counted):
    shapes, values = [(2, 3, 4, 4), (2, 3, 4, 4)], 2 * 3 * 4 * 4
    count = {how: counted(_pooled, *shapes, convention=how) for how in counting.CONVENTIONS}
    assert count == {"macs": values, "fvcore": 2 * values}


def _scanned(decay, keys, values):
    state = torch.zeros_like(values)
    for key, forget in zip(keys.unbind(), decay.unbind(), strict=True):
        state = forget * state + key.sigmoid() * values.tanh()
    return state


def _into_parts(p, q):
    whole = torch.zeros_like(p)
    for i in range(5):
        whole[:, i] = p[:, i] * q[:, i]
    return whole.sum(1)


DOUBTED = {
    "written into parts of a tensor": (_into_parts, [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "computed apart from each other": (
        lambda x, y, z, g, h, i: x * g + y * h + z * i,
        [(2, 7)] * 6,
        3 * (2 * 7),
    ),
    # 5 steps of two products; the first two are no more than a gate
    "a scan": (_scanned, [(5, 2, 7), (5, 2, 7), (2, 7)], 2 * 4 * (2 * 7)),
    "quotients": (lambda q, k: (q / k).sum(-1), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "moved out of sight": (lambda q, k: F.pixel_shuffle(q * k, 2).sum(-1), [(2, 8, 3, 3)] * 2, 2 * 8 * 9),
    "put into another": (
        lambda q, k: q.new_zeros(2, 9).slice_scatter(q * k, 1, 1, 8).sum(1),
        [(2, 7), (2, 7)],
        2 * 7,
    ),
}


@pytest.mark.parametrize(("what", "shapes", "doubted"), DOUBTED.values(), ids=DOUBTED)
def test_products_that_cannot_be_followed_are_no_count_where_they_may_be_a_hundredth_of_it(
    what, shapes, doubted, counted
):
    with pytest.raises(Invalid) as raised:
        counted(what, *shapes)
    said = f"cannot count the model itself: {doubted} products of two tensors are maybe summed there, in a way that is"
    assert str(raised.value).startswith(f"{said} not followed, beside 0 multiply-adds in all; write them as")


@pytest.mark.parametrize(("what", "shapes", "doubted"), DOUBTED.values(), ids=DOUBTED)
def test_products_that_cannot_be_followed_are_named_with_their_module_and_pass_below_a_hundredth(what, shapes, doubted):
    class Hidden(nn.Module):
        def forward(self, *inputs):
            return what(*inputs)

    class Both(nn.Module):
        def __init__(self, multiply_adds):
            super().__init__()
            self.plain, self.hidden = nn.Linear(1, multiply_adds), Hidden()

        def forward(self, *inputs):
            self.hidden(*inputs)
            return self.plain(inputs[0].new_zeros(1))

    inputs = tuple(torch.zeros(shape, device="meta") for shape in shapes)
    enough = 100 * doubted
    assert counting.count(Both(enough).to("meta"), inputs).total == enough
    with pytest.raises(Invalid, match=f"^cannot count hidden: {doubted} products"):
        counting.count(Both(enough - 1).to("meta"), inputs)


def test_quotients_that_are_scaled_only_are_no_doubt(counted):
    def normalised(x):
        return ((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)).softmax(-1)

    assert counted(normalised, (2, 5, 7)) == 0
    assert counted(lambda x, y: (x / (1 + y)).sum(1), (2, 5, 7), (7,)) == 0
