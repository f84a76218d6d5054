import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention as module
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from bench import counting, flexible_attention


def _causal(batch, head, query, key):
    return query >= key


def _blocks(q, k):
    mask = create_block_mask(_causal, None, None, q.shape[2], k.shape[2], device=q.device)
    return flex_attention(q, k, k, block_mask=mask)


FORMS = {
    # L·S·(E + V) for each head of the queries, whatever the mask lets through
    "plain": (flex_attention, [(2, 3, 8, 5), (2, 3, 6, 5), (2, 3, 6, 4)], 2 * 3 * 8 * 6 * (5 + 4)),
    "a score function": (
        lambda x: flex_attention(x, x, x, score_mod=lambda score, b, h, q, k: score + (q - k)),
        [(2, 3, 8, 5)],
        2 * 3 * 8 * 8 * (5 + 5),
    ),
    "grouped queries": (
        lambda q, k: flex_attention(q, k, k, enable_gqa=True),
        [(2, 6, 8, 5), (2, 3, 4, 5)],
        2 * 6 * 8 * 4 * (5 + 5),
    ),
    "a mask of blocks": (_blocks, [(1, 2, 256, 16), (1, 2, 256, 16)], 2 * 256 * 256 * (16 + 16)),
    "compiled": (torch.compile(flex_attention, fullgraph=True), [(2, 3, 8, 5)] * 3, 2 * 3 * 8 * 8 * (5 + 5)),
}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
        warnings.filterwarnings("ignore", "`torch.jit")  # torch 2.11's compiler, of itself
        yield


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("what", "shapes", "expected"), FORMS.values(), ids=FORMS)
def test_flexible_attention_counts_the_whole_square_on_every_device(what, shapes, expected, device, counted):
    assert counted(what, *shapes, device=device) == expected


def test_it_counts_under_its_module_and_its_softmax_is_left_out():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(6, 18)

        def forward(self, x):
            q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 3).permute(2, 0, 3, 1, 4)
            return flex_attention(q, k, v)

    counts = counting.count(nn.Sequential(Attention()).to("meta"), (torch.zeros(1, 7, 6, device="meta"),))
    assert counts.by_operator("0") == {"linear": 7 * 6 * 18, "attention": 2 * 7 * 7 * (3 + 3)}
    assert counts.left_out == {"softmax": 2 * 7 * 7}


def test_torch_is_as_it_was_afterwards_even_where_a_count_fails(counted):
    def fails(x):
        flex_attention(x, x, x)
        raise ZeroDivisionError

    before = module._validate_device
    x = torch.zeros(1, 2, 8, 5, device="meta")
    with pytest.raises(ZeroDivisionError):
        counted(fails, x.shape)
    assert module._validate_device is before
    with pytest.raises(ValueError, match="meta"):
        flex_attention(x, x, x)


def test_nothing_is_touched_where_nobody_has_imported_it(monkeypatch):
    monkeypatch.delitem(sys.modules, flexible_attention.MODULE)
    before = module._validate_device
    with flexible_attention.uncompiled():
        assert module._validate_device is before
