"""Whole models, against closed forms, torch's own counter and fvcore."""

import warnings

import pytest
import torch

from bench import counting, models, registry, skeleton
from bench.trial import Input

with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
    warnings.filterwarnings("ignore", "`torch.jit.script` is")
    from fvcore.nn import FlopCountAnalysis


def _model(name, image=224, **knobs):
    return models.resolve(name, knobs), Input(image=image)


def _total(name, image=224):
    return counting.of_model(*_model(name, image)).total


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
    "edgenext_xx_small",
    "hiera_tiny_224",
    "sequencer2d_s",  # recurrent: 40 % of it is in LSTMs
)
SUMMED = ("resnest14d", "skresnet18", "csatv2")  # branches, products of which are summed element by element


@pytest.mark.parametrize("name", [*FAMILIES, *SUMMED])
def test_torchs_own_counter_agrees_on_whole_models_in_all_that_it_knows(name, torchs_own):
    model, input_ = _model(name, registry.load("models", "timm").default_image(name))
    theirs = torchs_own(skeleton.of(model, input_), (1, 3, input_.image, input_.image))
    counts = counting.of_model(model, input_)
    summed = counts.by_operator().get("multiply_sum", 0)
    assert (counts.total - summed, summed > 0) == (theirs, name in SUMMED)


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
