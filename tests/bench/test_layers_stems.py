import pytest
import torch
import torchvision
from torchvision.models.vision_transformer import ConvStemConfig

from bench import counting, models
from bench.layers.stems import ConvolutionalStem
from bench.trial import Input

AT = Input(image=224)
VITP = {"patch": 16, "pos_embed": "learned"}
SIZES = {  # Xiao et al., 2021, Tables 1 and 2: knobs; multiply-adds in billions and parameters in millions, as printed
    "1GF": ({"dim": 192, "heads": 3, "mlp_ratio": 3.0}, ("1.1", "4.8"), ("1.1", "4.6")),
    "4GF": ({"dim": 384, "heads": 6, "mlp_ratio": 3.0}, ("3.9", "18.5"), ("4.0", "17.8")),
    "18GF": ({"dim": 768, "heads": 12}, ("17.5", "86.6"), ("17.7", "81.6")),
}
SIX = [64, 128, 128, 256, 256, 512]


def _meta(knobs, name="vit", at=AT):
    with torch.device("meta"):
        return models.build(models.resolve(name, knobs), at)


def _parameters(model):
    return sum(value.numel() for value in model.parameters())


def _convolutions(stem):
    return [(part.out_channels, part.stride[0]) for part in stem.modules() if isinstance(part, torch.nn.Conv2d)]


@pytest.mark.parametrize("size", SIZES)
def test_early_convolutions_have_the_paper_s_counts_with_one_block_less(size):
    knobs, patchify, convolutional = SIZES[size]
    stem = {"stem": "conv", "depth": 11} | ({"stem_channels": SIX} if size == "18GF" else {})
    for extra, printed in (({}, patchify), (stem, convolutional)):
        said = VITP | knobs | extra
        macs = counting.of_model(models.resolve("vit", said), AT).total
        assert printed[0] in (f"{macs / 1e9:.1f}", f"{macs // 10**8 / 10:.1f}")  # 17.56 is printed as 17.5
        assert printed[1] == f"{_parameters(_meta(said)) / 1e6:.1f}"


def test_the_convolutions_of_each_size_are_the_papers():
    by_doubling = {dim: _convolutions(_meta({"stem": "conv", "dim": dim}).patch_embed) for dim in (192, 384)}
    assert by_doubling == {
        192: [(24, 2), (48, 2), (96, 2), (192, 2), (192, 1)],  # the last one is 1×1
        384: [(48, 2), (96, 2), (192, 2), (384, 2), (384, 1)],
    }
    knobs = {"stem": "conv", "dim": 768, "heads": 12, "stem_channels": SIX}
    strides = [(64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (768, 1)]
    assert _convolutions(_meta(knobs).patch_embed) == strides


def test_early_convolutions_compute_what_torchvisions_do():
    outputs = (8, 16, 16)
    ours = ConvolutionalStem(3, outputs, 24)
    configured = [ConvStemConfig(out, 3, stride) for out, stride in zip(outputs, (2, 2, 1), strict=True)]
    theirs = torchvision.models.VisionTransformer(32, 4, 1, 2, 24, 48, conv_stem_configs=configured).conv_proj
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32)
    assert (ours(images) - theirs(images).flatten(2).mT).abs().max() < 1e-5


def test_parameters_of_early_convolutions_are_what_the_closed_form_says():
    ours = ConvolutionalStem(3, (24, 48, 96, 192), 192)
    pairs = ((3, 24), (24, 48), (48, 96), (96, 192))
    assert _parameters(ours) == sum(9 * before * after + 2 * after for before, after in pairs) + 192 * 192 + 192


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("vit_tiny_r_s16_p8_224", {"patch": 32, "dim": 192, "heads": 3}),
        ("vit_small_r26_s32_224", {"patch": 32, "dim": 384, "heads": 6, "stem_blocks": [2, 2, 2, 2]}),
        ("vit_base_r50_s16_224", {"patch": 16, "dim": 768, "heads": 12, "stem_blocks": [3, 4, 9]}),
        (
            "vit_large_r50_s32_224",
            {"patch": 32, "dim": 1024, "heads": 16, "depth": 24, "stem_blocks": [3, 4, 6, 3]},
        ),
    ],
)
def test_resnet_stems_are_timms_hybrids(name, knobs):
    ours, theirs = _meta(knobs | {"stem": "resnet"}), _meta({}, f"timm:{name}")
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }
    assert _parameters(ours) == _parameters(theirs)


@pytest.mark.parametrize("name", ["vit_tiny_r_s16_p8_224"])
def test_a_resnet_stem_computes_what_timms_does(name):
    at = Input(image=64, classes=5)
    knobs = {"patch": 32, "stem": "resnet", "depth": 1}
    ours = models.build(models.resolve("vit", knobs), at).eval()
    theirs = models.build(models.resolve(f"timm:{name}", {"depth": 1}), at).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert (ours(images) - theirs(images)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "knobs",
    [
        {"stem": "conv", "patch": 4},
        {"stem": "resnet", "patch": 8},
        {"stem": "resnet", "patch": 8, "stem_blocks": [1, 1]},
    ],
)
@pytest.mark.parametrize("side", [16, 24])
def test_each_stem_makes_a_token_of_each_patch_at_any_size(knobs, side):
    at = Input(image=side, channels=1, classes=3)
    model = models.build(models.resolve("vit", {"dim": 16, "depth": 1, "heads": 2} | knobs), at).eval()
    assert model.patch_embed(torch.randn(2, 1, side, side)).shape == (2, (side // knobs["patch"]) ** 2, 16)
    assert model(torch.randn(2, 1, side, side)).shape == (2, 3)


def test_a_resnet_stems_kernels_are_resampled_at_another_patch_size():
    at = Input(image=32, channels=1, classes=3)
    knobs = {"dim": 16, "depth": 1, "heads": 2, "stem": "resnet"}
    fine, coarse = (models.build(models.resolve("vit", knobs | {"patch": patch}), at).eval() for patch in (8, 16))
    coarse.load_state_dict(coarse.adapt(fine.state_dict()))
    assert coarse(torch.randn(2, 1, 32, 32)).shape == (2, 3)
    assert coarse.patch_embed.proj.weight.shape == (16, 64, 4, 4)
