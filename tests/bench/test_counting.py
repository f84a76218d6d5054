import copy
import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from bench import counting, models, multiply_adds, skeleton
from bench.errors import Invalid, UserError
from bench.trial import Input

with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
    warnings.filterwarnings("ignore", "`torch.jit.script` is")
    from fvcore.nn import FlopCountAnalysis, flop_count_table


class Function(nn.Module):
    """A module that is one expression."""

    def __init__(self, expression):
        super().__init__()
        self.expression = expression

    def forward(self, *inputs):
        return self.expression(*inputs)


def _count(what, *shapes, convention="macs", device="meta"):
    """Multiply-adds of a module or an expression over inputs of these shapes."""
    module = what if isinstance(what, nn.Module) else Function(what)
    inputs = tuple(torch.zeros(shape, device=device) for shape in shapes)
    return counting.count(copy.deepcopy(module).to(device).eval(), inputs, convention=convention).total


def _torchs_own(what, *shapes):
    """What torch's counter says, which counts a multiply-add twice."""
    module = copy.deepcopy(what if isinstance(what, nn.Module) else Function(what)).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.requires_grad_(False)(*(torch.zeros(shape, device="meta") for shape in shapes))
    doubled = counter.get_total_flops()
    assert doubled % 2 == 0
    return doubled // 2


def _model(name, image=224, **knobs):
    return models.resolve(name, knobs), Input(image=image)


def _total(name, image=224):
    return counting.of_model(*_model(name, image)).total


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
RECURRENT = {
    # at each of 5 steps, each of 2 sequences meets the matrices of all gates: of the input, and of the state
    "LSTM": (nn.LSTM(3, 4), [(5, 2, 3)], 5 * 2 * 4 * (3 * 4 + 4 * 4)),
    "GRU": (nn.GRU(3, 4), [(5, 2, 3)], 5 * 2 * 3 * (3 * 4 + 4 * 4)),
    "both ways, twice": (
        nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        [(5, 2, 3)],
        5 * 2 * 2 * 4 * ((3 * 4 + 4 * 4) + (8 * 4 + 4 * 4)),
    ),
}
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
SAMPLED = {
    # a weighted sum of the 4 nearest pixels for every value that is sampled
    "bilinear": (lambda x, at: F.grid_sample(x, at, align_corners=False), [(2, 3, 8, 8), (2, 4, 5, 2)], 2 * 3 * 20 * 4),
    "nearest": (
        lambda x, at: F.grid_sample(x, at, mode="nearest", align_corners=False),
        [(2, 3, 8, 8), (2, 4, 5, 2)],
        0,
    ),
}
FREE = {
    "softmax, activations, residuals": (lambda x: x + F.gelu(x).softmax(-1), [(2, 5, 7)]),
    "a norm": (nn.LayerNorm(7), [(2, 5, 7)]),
    "batch norm": (nn.BatchNorm2d(3), [(2, 3, 5, 5)]),
    "a norm by hand": (lambda x: x / (x * x).sum(-1, keepdim=True).sqrt(), [(2, 5, 7)]),
    "moving": (lambda x: torch.roll(x.transpose(1, 2).reshape(2, 35)[:, ::2].repeat(1, 2), 1, 1), [(2, 5, 7)]),
    "pooling": (lambda x: F.avg_pool2d(F.max_pool2d(x, 2), 2).mean((2, 3)), [(2, 3, 8, 8)]),
    "resizing": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), [(2, 3, 4, 4)]),
    "a scaled sum": (lambda x, gamma: (x * gamma).sum(1), [(2, 5, 7), (7,)]),
    "a gate, then the mean over places": (
        lambda x, gate: (x * gate).flatten(2).mean(-1),
        [(2, 3, 4, 4), (2, 3, 1, 1)],
    ),
    "an outer product": (lambda x, y: x[:, :, None] * y[:, None], [(2, 5), (2, 7)]),
}
COUNTED = {**MATRICES, **CONVOLUTIONS, **ATTENTIONS, **RECURRENT, **SUMMED, **SAMPLED}
PRODUCTS = {*MATRICES, *CONVOLUTIONS, *ATTENTIONS}


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("convention", counting.CONVENTIONS)
@pytest.mark.parametrize(("what", "shapes", "expected"), COUNTED.values(), ids=COUNTED)
def test_an_operator_counts_as_its_closed_form_says(what, shapes, expected, convention, device):
    norms = 2 * 5 * 2 * 8 * 12 if convention == "fvcore" and isinstance(what, nn.TransformerEncoderLayer) else 0
    assert _count(what, *shapes, convention=convention, device=device) == expected + norms


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("what", "shapes"), FREE.values(), ids=FREE)
def test_what_is_done_to_each_value_alone_is_free(what, shapes, device):
    assert _count(what, *shapes, device=device) == 0


def test_torchs_own_counter_agrees_on_every_product_it_knows():
    unknown_to_it = {"matmul of a vector", "addmv", "addbmm", "dot"}
    known = {name: given for name, given in COUNTED.items() if name in PRODUCTS - unknown_to_it}
    said = {name: _torchs_own(what, *shapes) for name, (what, shapes, _) in known.items()}
    assert said == {name: expected for name, (_, _, expected) in known.items()}


def test_what_torchs_counter_knows_is_never_free_here():
    costly = {str(operator).removesuffix(".default").replace(".", "::", 1) for operator in flop_registry}
    assert "aten::mm" in costly
    assert costly & multiply_adds.FREE == set()


def test_every_rule_is_for_an_operator_that_exists():
    ruled = {*multiply_adds.FORMULAS, *multiply_adds.FVCORE, *multiply_adds.LABELS, *multiply_adds.FREE}
    existing = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {name for name in ruled if name not in existing and f"{name}_" not in existing} == set()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        return 2 * (x @ weight)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch 2.11's compiler, of itself
def test_no_wrapping_hides_a_product():
    linear = nn.Linear(5, 7)
    x = torch.zeros(2, 3, 5)
    wrappings = {
        "autograd function": Function(lambda x: Doubled.apply(x, linear.weight.mT)),
        "checkpoint": Function(lambda x: torch.utils.checkpoint.checkpoint(linear, x, use_reentrant=False)),
        "compiled": torch.compile(linear),
        "compiled inside": nn.Sequential(torch.compile(linear)),
        "subclass": type("Mine", (nn.Linear,), {})(5, 7),
        "operator @": Function(lambda x: x @ linear.weight.mT),
        "under its own no_grad": Function(torch.no_grad()(lambda x: linear(x))),
        "under inference mode": Function(torch.inference_mode()(lambda x: linear(x))),
    }
    counted = {name: counting.count(module, (x,)).total for name, module in wrappings.items()}
    assert counted == dict.fromkeys(wrappings, 2 * 3 * 5 * 7)


@torch.library.custom_op("counted::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    return x @ x.mT


@mystery.register_fake
def _mystery_shape(x):
    return x.new_empty(*x.shape[:-1], x.shape[-2])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(5, 5)
        self.secret = Function(mystery)

    def forward(self, x):
        return self.secret(self.proj(x))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_an_operator_without_a_rule_is_no_count_and_is_named_with_its_module(device):
    model = nn.Sequential(nn.Linear(5, 5), Block()).to(device)
    with pytest.raises(Invalid) as raised:
        counting.count(model, (torch.zeros(2, 3, 5, device=device),))
    assert str(raised.value) == "cannot count counted::mystery in 1.secret: no rule says what that costs"


def test_many_unknown_operators_are_not_all_listed():
    def unknown(x):
        return torch.fft.rfft(x), torch.cdist(x, x), F.bilinear(x, x, x.new_zeros(7, 5, 5)), mystery(x)

    with pytest.raises(Invalid) as raised:
        counting.count(Function(unknown), (torch.zeros(3, 5),))
    assert str(raised.value) == (
        "cannot count aten::_cdist_forward in the model itself, aten::_fft_r2c in the model itself, "
        "aten::_trilinear in the model itself and 1 more: no rule says what that costs"
    )


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (Function(lambda x: torch.nn.attention.flex_attention.flex_attention(x, x, x)), "flex_attention in the model"),
        (
            Function(lambda x: torch.sparse.mm(torch.eye(16).to_sparse(), x[0, 0].mT)),
            "aten::_sparse_addmm in the model",
        ),
        (Function(lambda x: torch.cond(x.sum() > 0, torch.relu, torch.sin, (x,))), "cond in the model"),
    ],
)
def test_an_operator_made_of_functions_or_of_sparse_matrices_is_refused_by_name(module, named):
    from torch.nn.attention import flex_attention  # noqa: F401 it is looked up inside

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # flex attention says that it is slow uncompiled
        with pytest.raises(Invalid, match=f"^cannot count .*{named}"):
            counting.count(module, (torch.zeros(1, 2, 8, 16),))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_module_that_torchscript_runs_is_refused_by_name():
    traced = torch.jit.trace(nn.Linear(5, 5), torch.zeros(1, 5))
    with pytest.raises(Invalid, match=r"^cannot count 1 in TorchScript; count the module that it was made from$"):
        counting.count(nn.Sequential(nn.Identity(), traced), (torch.zeros(1, 5),))


def _vit(image, patch, dim, depth, *, mlp=4, classes=1000):
    """Multiply-adds of a ViT with a class token: n tokens of d channels."""
    patches = (image // patch) ** 2
    n, d = patches + 1, dim
    block = 4 * n * d**2 + 2 * n**2 * d + 2 * mlp * n * d**2
    return patches * 3 * patch**2 * d + depth * block + d * classes


@pytest.mark.parametrize(
    ("name", "image", "sizes"),
    [
        ("timm:vit_base_patch16_224", 224, (16, 768, 12)),
        ("torchvision:vit_b_16", 224, (16, 768, 12)),
        ("timm:deit_tiny_patch16_224", 224, (16, 192, 12)),
        ("vit", 224, (16, 192, 12)),
        ("vit", 32, (16, 192, 12)),
        ("timm:vit_large_patch16_384", 384, (16, 1024, 24)),
    ],
)
def test_a_vit_counts_as_its_closed_form_says(name, image, sizes):
    assert _total(name, image) == _vit(image, *sizes)


def test_vit_base_is_neither_without_its_attention_nor_without_its_projections():
    assert _total("vit_base_patch16_224") == _total("torchvision:vit_b_16") == 17_563_828_224
    for name in ("timm:vit_base_patch16_224", "torchvision:vit_b_16"):
        real = counting.count(models.build(*_model(name)).eval(), (torch.zeros(1, 3, 224, 224),))
        assert real.total == 17_563_828_224


def test_swin_counts_as_equation_2_of_its_paper_says():
    total, side, c, m = 56 * 56 * 3 * 4**2 * 96, 56, 96, 7  # the patches; a map of side², c channels, windows of m²
    for stage, depth in enumerate((2, 2, 6, 2)):
        if stage:  # four neighbours become one of twice the channels
            side, c = side // 2, 2 * c
            total += side**2 * (2 * c) * c
        window_attention = 4 * side**2 * c**2 + 2 * m**2 * side**2 * c
        total += depth * (window_attention + 2 * 4 * side**2 * c**2)
    assert _total("swin_tiny_patch4_window7_224") == _total("swin") == total + c * 1000


FAMILIES = (
    "resnet18",
    "efficientnet_b0",
    "convnextv2_atto",
    "cait_xxs24_224",
    "swinv2_tiny_window8_256",
    "beit_base_patch16_224",
    "pvt_v2_b0",
    "xcit_nano_12_p16_224",
    "halonet26t",
    "eva02_tiny_patch14_224",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_torchs_own_counter_agrees_on_whole_models(name):
    model, input_ = _model(name, 256 if "256" in name or name == "halonet26t" else 224)
    theirs = _torchs_own(skeleton.of(model, input_), (1, 3, input_.image, input_.image))
    assert counting.of_model(model, input_).total == theirs


def _attention_of_fvcore(inputs, outputs):
    (*batch, queries, channels), (*_, keys, values) = inputs[0].type().sizes(), inputs[2].type().sizes()
    heads = 1
    for size in batch:
        heads *= size
    return heads * queries * keys * (channels + values)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("timm:deit_tiny_patch16_224", 224),
        ("timm:swin_tiny_patch4_window7_224", 224),
        ("torchvision:resnet18", 64),
        ("torchvision:convnext_tiny", 64),
    ],
)
def test_the_second_convention_is_fvcores_to_the_last_digit(name, image):
    model, input_ = _model(name, image)
    module = models.build(model, input_).eval()
    theirs = FlopCountAnalysis(module, torch.zeros(1, 3, image, image))
    theirs.set_op_handle("aten::scaled_dot_product_attention", _attention_of_fvcore)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every value that becomes a constant
        expected, modules = theirs.unsupported_ops_warnings(False).total(), theirs.by_module()
    ours = counting.of_model(model, input_, convention="fvcore")
    assert ours.total == expected
    assert ours.by_module() == dict(modules)
    assert counting.of_model(model, input_).total < ours.total


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
def test_what_fvcore_estimates_is_counted_in_its_convention_alone(layer, shape, expected):
    theirs = FlopCountAnalysis(layer.eval(), torch.zeros(shape)).unsupported_ops_warnings(False)
    assert _count(layer, shape, convention="fvcore") == theirs.total() == expected
    assert _count(layer, shape) == 0


def test_a_report_says_where_the_count_is():
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Linear(32, 5), nn.Linear(5, 5))
    counts = counting.count(model, (torch.zeros(2, 3, 8, 8),))
    assert counts.total == 3_072 + 320 + 50
    assert counts.params == 392 + 165 + 30
    assert counts.by_module() == {"": 3_442, "0": 3_072, "1": 0, "2": 320, "3": 50}
    assert list(counts.by_operator().items()) == [("conv", 3_072), ("linear", 370)]
    assert counts.by_operator("2") == {"linear": 320}
    assert str(counts) == counts.table() == flop_count_table(counts.report)
    assert "3.442K" in str(counts)


def test_a_module_that_is_used_twice_counts_twice_and_has_its_parameters_once():
    shared = nn.Linear(5, 5)
    counts = counting.count(nn.Sequential(shared, shared), (torch.zeros(2, 5),))
    assert (counts.total, counts.params) == (2 * 2 * 25, 30)


def test_a_module_that_never_runs_counts_nothing_and_keeps_its_parameters():
    model = Block()
    model.secret = nn.Identity()
    model.spare = nn.Linear(5, 9)
    counts = counting.count(model, (torch.zeros(2, 5),))
    assert counts.by_module() == {"": 50, "proj": 50, "secret": 0, "spare": 0}
    assert counts.params == 30 + 54
    assert counts.report.uncalled_modules() == {"spare"}


def test_a_count_leaves_nothing_behind_even_where_it_fails():
    def fails(x):
        raise ZeroDivisionError

    model = nn.Sequential(nn.Linear(5, 5), Function(fails))
    was_fast = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError):
        counting.count(model, (torch.zeros(2, 5),))
    assert torch.backends.mha.get_fastpath_enabled() == was_fast
    assert torch.is_grad_enabled()
    hooks = [(part._forward_hooks, part._forward_pre_hooks) for part in model.modules()]
    assert not any(itertools.chain(*hooks))
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_module_is_counted_in_the_mode_it_is_in_and_its_statistics_stay():
    layer = nn.Sequential(nn.BatchNorm2d(3))
    assert counting.count(layer.eval(), (torch.ones(2, 3, 4, 4),), convention="fvcore").total == 2 * 96
    assert layer[0].running_mean.tolist() == [0, 0, 0]


def test_a_model_that_looks_at_values_is_counted_on_real_ones(monkeypatch):
    def looks(x):
        return x[:, : int(x.sum().item()) + 4]

    model = nn.Sequential(nn.Flatten(), Function(looks), nn.Linear(4, 3))
    monkeypatch.setattr(skeleton, "of", lambda model_, input_: model.to("meta"))
    monkeypatch.setattr(models, "build", lambda model_, input_: model.to_empty(device="cpu"))
    assert _total("vit", 8) == 4 * 3


def test_an_unknown_convention_is_one_line():
    with pytest.raises(UserError, match=r"^no convention 'mac'; nearest: 'macs'$"):
        counting.count(nn.Linear(2, 2), (torch.zeros(1, 2),), convention="mac")
