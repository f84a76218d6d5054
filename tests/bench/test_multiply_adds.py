import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import flop_registry

from bench import counting, multiply_adds

with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
    warnings.filterwarnings("ignore", "`torch.jit.script` is")
    from fvcore.nn import FlopCountAnalysis

MATRICES = {
    "linear": (nn.Linear(5, 7), [(2, 3, 5)], 2 * 3 * 5 * 7),
    "matmul": (torch.matmul, [(2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "matmul of a vector": (torch.matmul, [(3, 5), (5,)], 3 * 5),
    "bmm": (torch.bmm, [(2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "addmm": (torch.addmm, [(3, 7), (3, 5), (5, 7)], 3 * 5 * 7),
    "baddbmm": (torch.baddbmm, [(2, 3, 7), (2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "addbmm": (torch.addbmm, [(3, 7), (2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "addmv": (torch.addmv, [(3,), (3, 5), (5,)], 3 * 5),
    "dot": (torch.dot, [(5,), (5,)], 5),
    "tensordot": (lambda x, y: torch.tensordot(x, y, dims=2), [(2, 3, 5), (3, 5, 7)], 2 * 3 * 5 * 7),
    "einsum": (lambda q, k: torch.einsum("bhnd,bhmd->bhnm", q, k), [(2, 3, 5, 7), (2, 3, 4, 7)], 2 * 3 * 5 * 4 * 7),
    "einsum of three": (
        lambda x, y, z: torch.einsum("bi,ij,bj->b", x, y, z),
        [(2, 3), (3, 5), (2, 5)],
        2 * 3 * 5 + 2 * 5,  # from left to right: x·y, then with z
    ),
    "einsum of pairs": (lambda q, k: torch.einsum("bnd,bnd->bn", q, k), [(2, 5, 7), (2, 5, 7)], 2 * 5 * 7),
    "vmap": (lambda x, y: torch.vmap(lambda row: row @ y)(x), [(2, 3, 5), (5, 7)], 2 * 3 * 5 * 7),
}
CONVOLUTIONS = {
    "patches": (nn.Conv2d(3, 7, 4, stride=4), [(2, 3, 12, 8)], 2 * (3 * 2) * (7 * 3 * 16)),
    "padded": (nn.Conv2d(3, 7, 3, padding=1), [(1, 3, 5, 6)], (5 * 6) * (7 * 3 * 9)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), [(2, 4, 7, 7)], 2 * (5 * 5) * 6 * (4 // 2) * 9),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), [(1, 4, 7, 7)], (5 * 5) * 4 * 9),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=2), [(1, 4, 7, 7)], (3 * 3) * 6 * 4 * 9),
    "of one dimension": (nn.Conv1d(4, 6, 3), [(2, 4, 9)], 2 * 7 * 6 * 4 * 3),
    "of three": (nn.Conv3d(4, 6, 3), [(1, 4, 5, 6, 7)], (3 * 4 * 5) * 6 * 4 * 27),
    "without a batch": (nn.Conv2d(3, 7, 3), [(3, 5, 5)], (3 * 3) * 7 * 3 * 9),
    # every value of the input meets every weight of its group once, whatever the stride
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), [(2, 4, 5, 5)], 2 * (5 * 5) * 4 * 6 * 9),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), [(1, 4, 5, 5)], (5 * 5) * 4 * 3 * 9),
}


def _biased(x, bias):
    """Attention by hand with a relative bias: the table is looked up and added."""
    places = torch.arange(8, device=x.device)
    scores = x @ x.mT + bias[:, places[:, None] - places + 7]
    return scores.softmax(-1) @ x


def _rotated(x, angles):
    """Queries and keys that are turned by their places."""
    one, other = x.chunk(2, dim=-1)
    turned = torch.cat([one * angles.cos() - other * angles.sin(), other * angles.cos() + one * angles.sin()], dim=-1)
    return F.scaled_dot_product_attention(turned, turned, x)


def _neighbours(q, k, v):
    """Attention of every place to the 3×3 around it, over unfolded maps: (B, C, H, W)."""
    shape = (*q.shape[:2], 9, -1)
    keys, values = (F.unfold(x, 3, padding=1).reshape(shape) for x in (k, v))
    weights = (q.flatten(2)[:, :, None] * keys).sum(1, keepdim=True).softmax(2)
    return (weights * values).sum(2)


def _halo(q, k):
    """Blocks of 4×4 queries that attend to the 6×6 around them, as HaloNet's do: (B, C, H, W)."""
    blocks = F.unfold(q, 4, stride=4).unflatten(1, (q.shape[1], 16)).permute(0, 3, 2, 1)
    around = F.unfold(k, 6, stride=4, padding=1).unflatten(1, (k.shape[1], 36)).permute(0, 3, 2, 1)
    return (blocks @ around.mT).softmax(-1) @ around


ATTENTIONS = {
    # q·kᵀ and the weights times v: L·S·(E + V) for each head
    "to itself": (lambda x: F.scaled_dot_product_attention(x, x, x), [(2, 3, 8, 5)], 2 * 3 * 8 * 8 * (5 + 5)),
    "to others": (F.scaled_dot_product_attention, [(2, 3, 8, 5), (2, 3, 6, 5), (2, 3, 6, 4)], 2 * 3 * 8 * 6 * (5 + 4)),
    "with a mask": (
        lambda x, mask: F.scaled_dot_product_attention(x, x, x, attn_mask=mask),
        [(2, 3, 8, 5), (8, 8)],
        2 * 3 * 8 * 8 * (5 + 5),
    ),
    "grouped": (
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        [(2, 6, 8, 5), (2, 3, 4, 5)],
        2 * 6 * 8 * 4 * (5 + 5),
    ),
    "with a relative bias": (_biased, [(2, 3, 8, 5), (3, 15)], 2 * 3 * 8 * 8 * (5 + 5)),
    "rotated": (_rotated, [(2, 3, 8, 6), (8, 3)], 2 * 3 * 8 * 8 * (6 + 6)),
    "of blocks to their surroundings": (_halo, [(2, 5, 8, 12), (2, 5, 8, 12)], 2 * (2 * 3) * 16 * 36 * (5 + 5)),
    "of windows": (
        lambda x: F.scaled_dot_product_attention(*[x.unflatten(2, (4, 4)).transpose(1, 2)] * 3),
        [(2, 3, 16, 5)],
        2 * 3 * 4 * 4 * 4 * (5 + 5),
    ),
    # 4 projections of 12 channels, then 3 heads of 4
    "a layer": (
        lambda x: nn.MultiheadAttention(12, 3, batch_first=True, device=x.device).eval()(x, x, x)[0],
        [(2, 8, 12)],
        4 * 2 * 8 * 12 * 12 + 2 * 3 * 8 * 8 * (4 + 4),
    ),
    "an encoder": (
        nn.TransformerEncoderLayer(12, 3, 20, batch_first=True),
        [(2, 8, 12)],
        4 * 2 * 8 * 12 * 12 + 2 * 3 * 8 * 8 * (4 + 4) + 2 * 2 * 8 * 12 * 20,
    ),
}
LOCAL = {
    # each of 20 places meets its 9 neighbours once as keys and once as values
    "neighbours": (_neighbours, [(2, 5, 4, 5)] * 3, 2 * (4 * 5) * 9 * (5 + 5)),
}
RECURRENT = {
    # at each of 5 steps, each of 2 sequences meets the matrices of all gates: of the input, and of the state
    "LSTM": (nn.LSTM(3, 4), [(5, 2, 3)], 5 * 2 * 4 * (3 * 4 + 4 * 4)),
    "GRU": (nn.GRU(3, 4), [(5, 2, 3)], 5 * 2 * 3 * (3 * 4 + 4 * 4)),
    "RNN": (nn.RNN(3, 4, batch_first=True), [(2, 5, 3)], 5 * 2 * (3 * 4 + 4 * 4)),
    "LSTM with a projection": (nn.LSTM(3, 4, proj_size=2), [(5, 2, 3)], 5 * 2 * (4 * 4 * (3 + 2) + 4 * 2)),
    "a cell": (nn.LSTMCell(3, 4), [(2, 3)], 2 * 4 * (3 * 4 + 4 * 4)),
    "a GRU's cell": (nn.GRUCell(3, 4), [(2, 3)], 2 * 3 * (3 * 4 + 4 * 4)),
    "both ways, twice": (
        nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        [(5, 2, 3)],
        5 * 2 * 2 * 4 * ((3 * 4 + 4 * 4) + (8 * 4 + 4 * 4)),
    ),
}


def _bag(weighed):
    def bag(table, weights):
        chosen = torch.zeros(weights.shape, dtype=torch.long, device=table.device)
        return F.embedding_bag(chosen, table, mode="sum", per_sample_weights=weights if weighed else None)

    return bag


SAMPLED = {
    # 2 bags of 3 embeddings of 7 channels
    "weighed embeddings": (_bag(True), [(5, 7), (2, 3)], 2 * 3 * 7),
    "embeddings that are only added": (_bag(False), [(5, 7), (2, 3)], 0),
    # a weighted sum of the 4 nearest pixels for every value that is sampled
    "bilinear": (lambda x, at: F.grid_sample(x, at, align_corners=False), [(2, 3, 8, 8), (2, 4, 5, 2)], 2 * 3 * 20 * 4),
    "nearest": (
        lambda x, at: F.grid_sample(x, at, mode="nearest", align_corners=False),
        [(2, 3, 8, 8), (2, 4, 5, 2)],
        0,
    ),
    "bicubic": (
        lambda x, at: F.grid_sample(x, at, mode="bicubic", align_corners=False),
        [(2, 3, 8, 8), (2, 4, 5, 2)],
        2 * 3 * 20 * 16,
    ),
    "of volumes": (
        lambda x, at: F.grid_sample(x, at, align_corners=False),
        [(2, 3, 8, 8, 8), (2, 4, 5, 6, 3)],
        2 * 3 * (4 * 5 * 6) * 8,
    ),
    # 4 points a query, as in deformable attention: sampled, then weighed
    "points of deformable attention": (
        lambda x, at, weights: (F.grid_sample(x, at, align_corners=False) * weights[:, None]).sum(-1),
        [(2, 3, 8, 8), (2, 7, 4, 2), (2, 7, 4)],
        2 * 3 * 7 * 4 * (4 + 1),
    ),
    # each of 16 places reads 9 values of 4 channels between pixels, and meets 6 × 4 × 9 weights
    "deformable convolution": (
        torchvision.ops.deform_conv2d,
        [(2, 4, 6, 6), (2, 18, 4, 4), (6, 4, 3, 3)],
        2 * 16 * (4 * 9 * 4 + 6 * 4 * 9),
    ),
    "deformable convolution with a mask, grouped": (
        lambda x, at, weight, mask: torchvision.ops.deform_conv2d(x, at, weight, padding=1, mask=mask),
        [(2, 4, 6, 6), (2, 2 * 18, 6, 6), (6, 2, 3, 3), (2, 2 * 9, 6, 6)],
        2 * 36 * (4 * 9 * 4 + 6 * (4 // 2) * 9),
    ),
    "a layer of deformable convolution": (
        torchvision.ops.DeformConv2d(4, 6, 3, stride=2, bias=True),
        [(2, 4, 7, 7), (2, 18, 3, 3)],
        2 * 9 * (4 * 9 * 4 + 6 * 4 * 9),
    ),
}
FREE = {
    "softmax, activations, residuals": (lambda x: x + F.gelu(x).softmax(-1), [(2, 5, 7)]),
    "a norm": (nn.LayerNorm(7), [(2, 5, 7)]),
    "batch norm": (nn.BatchNorm2d(3), [(2, 3, 5, 5)]),
    "moving": (lambda x: torch.roll(x.transpose(1, 2).reshape(2, 35)[:, ::2].repeat(1, 2), 1, 1), [(2, 5, 7)]),
    "pooling": (lambda x: F.avg_pool2d(F.max_pool2d(x, 2), 2).mean((2, 3)), [(2, 3, 8, 8)]),
    "resizing": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), [(2, 3, 4, 4)]),
}
PRODUCTS = {**MATRICES, **CONVOLUTIONS, **ATTENTIONS}
COUNTED = {**PRODUCTS, **LOCAL, **RECURRENT, **SAMPLED}


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("convention", counting.CONVENTIONS)
@pytest.mark.parametrize(("what", "shapes", "expected"), COUNTED.values(), ids=COUNTED)
def test_an_operator_counts_as_its_closed_form_says(what, shapes, expected, convention, device, counted):
    norms = 2 * 5 * 2 * 8 * 12 if convention == "fvcore" and isinstance(what, nn.TransformerEncoderLayer) else 0
    assert counted(what, *shapes, convention=convention, device=device) == expected + norms


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("what", "shapes"), FREE.values(), ids=FREE)
def test_what_is_done_to_each_value_alone_is_free(what, shapes, device, counted):
    assert counted(what, *shapes, device=device) == 0


def test_a_kernel_of_whole_recurrent_layers_counts_as_its_layers_do(counted):
    """CUDA has one for all layers; its rule is asked without it."""
    lstm, steps = nn.LSTM(3, 4, num_layers=2, bidirectional=True), torch.zeros(5, 2, 3)
    _, rule = multiply_adds.FORMULAS["aten::_cudnn_rnn"]
    assert rule([steps, list(lstm.parameters())], None) == counted(lstm, steps.shape)


def test_torchs_own_counter_agrees_on_every_product_it_knows(torchs_own):
    unknown_to_it = {"matmul of a vector", "addmv", "addbmm", "dot"}
    known = {name: given for name, given in PRODUCTS.items() if name not in unknown_to_it}
    said = {name: torchs_own(what, *shapes) for name, (what, shapes, _) in known.items()}
    assert said == {name: expected for name, (_, _, expected) in known.items()}


def test_what_torchs_counter_knows_is_never_free_here():
    costly = {str(operator).removesuffix(".default").replace(".", "::", 1) for operator in flop_registry}
    assert "aten::mm" in costly
    assert costly & multiply_adds.FREE == set()


def test_every_rule_is_for_an_operator_that_exists():
    ruled = {*multiply_adds.FORMULAS, *multiply_adds.FVCORE, *multiply_adds.LABELS, *multiply_adds.FREE}
    ruled |= {*multiply_adds.LEFT_OUT}
    ruled.remove("flex_attention")  # it is made of functions and has no schema
    existing = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {name for name in ruled if name not in existing and f"{name}_" not in existing} == set()


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.LayerNorm(7), (2, 5, 7), 5 * 70),
        (nn.LayerNorm(7, elementwise_affine=False), (2, 5, 7), 4 * 70),
        (nn.GroupNorm(3, 6), (2, 6, 5), 5 * 60),
        (nn.BatchNorm2d(3), (2, 3, 4, 4), 2 * 96),
        (nn.BatchNorm2d(3, affine=False), (2, 3, 4, 4), 96),
        (nn.InstanceNorm2d(3), (2, 3, 4, 4), 4 * 96),
        (nn.AdaptiveAvgPool2d(1), (2, 3, 4, 4), 96),
        (nn.Upsample(scale_factor=2), (2, 3, 4, 4), 4 * 96),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4, 4), 4 * 4 * 96),
    ],
)
def test_what_fvcore_estimates_is_counted_in_its_convention_alone(layer, shape, expected, counted):
    theirs = FlopCountAnalysis(layer.eval(), torch.zeros(shape)).unsupported_ops_warnings(False)
    assert counted(layer, shape, convention="fvcore") == theirs.total() == expected
    assert counted(layer, shape) == 0
