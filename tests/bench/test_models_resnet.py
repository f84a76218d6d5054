import pytest
import timm
import torch
from torch import nn

from bench import counting, models, skeleton
from bench.layers.resnet import SelectiveKernel
from bench.trial import Input

SIMCLRV2 = 1 / 16


def _model(knobs, *, image=224, classes=0):
    return models.resolve("resnet", knobs), Input(image=image, classes=classes)


def _params(knobs, classes=0):
    return sum(parameter.numel() for parameter in skeleton.of(*_model(knobs, classes=classes)).parameters())


def _formula(depths, width):
    """Parameters without a classifier: convolutions, and two a channel for each normalisation."""
    channels = 64 * width
    total = 3 * 7**2 * channels + 2 * channels
    for stage, depth in enumerate(depths):
        inside = 64 * width * 2**stage
        outside = 4 * inside
        total += channels * outside + 2 * outside  # the shortcut of the first block
        for _ in range(depth):
            total += channels * inside + 9 * inside**2 + inside * outside + 2 * (2 * inside + outside)
            channels = outside
    return total


def _formula_selective(depths, width):
    """The same with a deep stem, and two branches and their choice in place of a 3×3 convolution."""
    channels = 64 * width
    half = channels // 2
    total = _formula(depths, width) - 3 * 7**2 * channels + 9 * (3 * half + half**2 + half * channels) + 4 * half
    for stage, depth in enumerate(depths):
        inside = 64 * width * 2**stage
        units = max(inside // 16, 32)
        branches = 2 * 9 * inside**2 + 4 * inside + inside * units + 2 * units + units * 2 * inside
        total += depth * (branches - (9 * inside**2 + 2 * inside))
    return total


@pytest.mark.parametrize(
    ("depths", "width", "params"),
    [
        ((3, 4, 6, 3), 1, 23_508_032),
        ((3, 4, 6, 3), 2, 93_907_072),
        ((3, 4, 6, 3), 4, 375_378_176),
        ((3, 4, 6, 3), 5, 586_450_240),
        ((3, 24, 36, 3), 2, 250_128_512),
    ],
)
def test_every_layer_is_as_many_times_as_wide(depths, width, params):
    assert _params({"depths": depths, "width": width}) == _formula(depths, width) == params


@pytest.mark.parametrize(
    ("depths", "width", "params"), [((3, 4, 6, 3), 1, 35_215_584), ((3, 8, 36, 3), 3, 794_704_160)]
)
def test_selective_kernels_count_as_simclrv2_lists_them(depths, width, params):  # its Table 1: 35 and 795 million
    knobs = {"depths": depths, "width": width, "sk_ratio": SIMCLRV2}
    assert _params(knobs) == _formula_selective(depths, width) == params


@pytest.mark.parametrize("knobs", [{}, {"width": 2}, {"sk_ratio": SIMCLRV2}])
def test_torchs_own_counter_agrees_but_for_what_is_multiplied_and_summed(knobs, torchs_own):
    model, input_ = _model(knobs, image=96, classes=7)
    theirs = torchs_own(skeleton.of(model, input_), (1, 3, 96, 96))
    ours = counting.of_model(model, input_)
    mixed = ours.by_operator().get("multiply_sum", 0)
    assert ours.total - mixed == theirs
    maps = [(3, 64, 24), (4, 128, 12), (6, 256, 6), (3, 512, 3)]  # blocks, channels, places a side of both branches
    assert mixed == (
        sum(depth * 2 * channels * side**2 for depth, channels, side in maps) if knobs.get("sk_ratio") else 0
    )


def test_at_width_1_it_is_timms_resnet50_weight_for_weight():
    torch.manual_seed(0)
    theirs = timm.create_model("resnet50", num_classes=5).eval()
    ours = models.build(*_model({}, image=40, classes=5)).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(ours(images), theirs(images))


def test_a_selective_kernel_mixes_its_branches_by_what_the_map_shows():
    torch.manual_seed(0)
    layer = SelectiveKernel(4, 1, ratio=0.5, least=2).eval()
    x = torch.randn(2, 4, 6, 6)
    branches = layer.norm(layer.branches(x)).relu()
    first, second = branches[:, :4], branches[:, 4:]
    nn.init.zeros_(layer.choose.weight)
    assert torch.allclose(layer(x), (first + second) / 2)
    nn.init.constant_(layer.choose.weight[:4], 1e4)
    nn.init.constant_(layer.squeeze.weight, 1.0)
    assert torch.allclose(layer(x), first)


def test_any_image_can_be_had_and_stochastic_depth_grows_with_the_blocks():
    small = {"depths": (1, 2), "sk_ratio": SIMCLRV2}
    built = models.build(*_model(small, image=35, classes=3), dropout=0.25, drop_path=0.2)
    assert built.eval()(torch.randn(2, 3, 35, 35)).shape == (2, 3)
    assert built.dropout.p == 0.25
    assert [block.drop_path.drop_prob for block in (*built.layer1, *built.layer2)] == [0, 0.1, 0.2]
