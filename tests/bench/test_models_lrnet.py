import itertools

import pytest
import torch
from torch.nn import functional as F

from bench import counting, models, skeleton
from bench.errors import Invalid
from bench.layers.local_relation import LocalRelation
from bench.trial import Input

SMALL = {"depths": [1, 1], "inside": [12, 24], "window": 3, "sharing": 5}


def _slowly(layer, x):
    """The layer place by place and channel by channel, as its definition reads."""
    reach = layer.window // 2
    query = F.conv2d(x, layer.query.weight, layer.query.bias)
    key = F.conv2d(x, layer.key.weight, layer.key.bias)
    values = layer.before(x)
    rows, columns = range(0, x.shape[2], layer.stride), range(0, x.shape[3], layer.stride)
    summed = torch.zeros(*values.shape[:2], len(rows), len(columns))
    steps = list(itertools.product(range(-reach, reach + 1), repeat=2))
    prior = layer.prior(torch.tensor(steps, dtype=torch.float32))  # (window², groups)
    for image, channel, (i, row), (j, column) in itertools.product(
        range(len(x)), range(values.shape[1]), enumerate(rows), enumerate(columns)
    ):
        group = channel // layer.sharing
        scores, seen = [], []
        for (down, right), offset in zip(steps, prior[:, group], strict=True):
            place = row + down, column + right
            inside = 0 <= place[0] < x.shape[2] and 0 <= place[1] < x.shape[3]
            together = query[image, group, row, column] * key[(image, group, *place)] if inside else 0.0
            scores.append(together + offset)
            seen.append(values[(image, channel, *place)] if inside else torch.tensor(0.0))
        summed[image, channel, i, j] = (torch.stack(scores).softmax(0) * torch.stack(seen)).sum()
    return layer.after(summed)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("transform", ["none", "before", "after"])
def test_the_layer_is_what_its_definition_says(stride, transform):
    torch.manual_seed(0)
    layer = LocalRelation(7, stride, window=3, sharing=3, transform=transform)
    x = torch.randn(2, 7, 5, 4)
    with torch.no_grad():
        assert torch.allclose(layer(x), _slowly(layer, x), atol=1e-6)
        assert torch.allclose(layer.weights(x).sum(dim=2), torch.tensor(1.0))


def _layer(channels, *, transform):
    groups = -(-channels // 8)
    queries_and_keys = 2 * (channels * groups + groups)
    prior = (2 * groups + groups) + (groups**2 + groups)
    return queries_and_keys + prior + (channels**2 if transform else 0)


def _lr_net(depths=(3, 4, 6, 3), *, transform=True):
    """Parameters of the paper's table of layers with a classifier of 1,000 classes."""
    total = 3 * 64 + 2 * 64 + _layer(64, transform=transform) + 2 * 64
    channels = 64
    for inside, outside, depth in zip((100, 200, 400, 800), (256, 512, 1024, 2048), depths, strict=True):
        total += channels * outside + 2 * outside
        for _ in range(depth):
            total += channels * inside + _layer(inside, transform=transform) + inside * outside
            total += 2 * (2 * inside + outside)
            channels = outside
    return total + 2048 * 1000 + 1000


def _aggregated():
    """Multiply-adds of the sums over 7×7 places in LR-Net-50 at 224."""
    layers = [(64, 112), *[(100, 56)] * 3, *[(200, 28)] * 4, *[(400, 14)] * 6, *[(800, 7)] * 3]
    return sum(channels * 49 * side**2 for channels, side in layers)


@pytest.mark.parametrize(
    ("transform", "params", "flops"),
    [
        ("before", 23_399_305, 4_451_693_165),
        ("after", 23_399_305, 4_015_312_493),
        ("none", 20_325_209, 3_462_172_269),
    ],
)
def test_lr_net_50_counts_as_its_table_of_layers_says(transform, params, flops, torchs_own):
    model, input_ = models.resolve("lrnet", {"transform": transform}), Input(image=224)
    counts = counting.of_model(model, input_)
    assert counts.params == _lr_net(transform=transform != "none") == params
    assert counts.total == flops
    assert counts.by_operator()["multiply_sum"] == _aggregated()
    assert counts.total - _aggregated() == torchs_own(skeleton.of(model, input_), (1, 3, 224, 224))


@pytest.mark.parametrize(("transform", "millions"), [("before", 14.6), ("after", 14.6), ("none", 12.9)])
def test_lr_net_26_has_the_papers_parameters_with_a_convolution_over_channels(transform, millions):  # 14.7M are printed
    model = skeleton.of(models.resolve("lrnet", {"depths": [2, 2, 2, 2], "transform": transform}), Input(image=224))
    params = sum(parameter.numel() for parameter in model.parameters())
    assert params == _lr_net((2, 2, 2, 2), transform=transform != "none")
    assert round(params / 1e6, 1) == millions


def test_a_tiny_lr_net_learns_its_images_by_heart():
    torch.manual_seed(0)
    model = models.build(models.resolve("lrnet", SMALL), Input(image=16, channels=1, classes=2), drop_path=0.1)
    images, labels = torch.randn(8, 1, 16, 16), torch.tensor([0, 1] * 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"window": 4}, "lrnet at 16: window 4 has no centre; allowed: odd numbers"),
        ({"depths": [1]}, "lrnet at 16: 1 depths and 2 inside; each stage has one of both"),
    ],
)
def test_what_cannot_be_built_is_one_line(knobs, line):
    with pytest.raises(Invalid) as raised:
        models.check(models.resolve("lrnet", SMALL | knobs), Input(image=16))
    assert str(raised.value) == line


def test_a_group_that_is_smaller_than_the_others_is_noted():
    said = ["stage 1: 8 channels share a weight, the last 4 of 100 another"]
    assert models.check(models.resolve("lrnet", {}), Input(image=224)) == said
    assert models.check(models.resolve("lrnet", {"inside": [96, 200, 400, 800]}), Input(image=224)) == []
