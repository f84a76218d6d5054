"""The detector and the segmenters, against torchvision's own and against what the papers' parts cost."""

import math

import msgspec
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.detection import fcos_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from bench import counting, models, skeleton
from bench.errors import Invalid
from bench.layers.features import Features
from bench.trial import Input

SMALL = {"backbone": "test_resnet", "strides": [8, 16, 32], "width": 32, "convolutions": 1, "coarser": False}


def _built(name, input_, **knobs):
    return models.build(models.resolve(name, knobs), input_)


def test_fcos_with_a_resnet_50_has_the_parameters_of_torchvisions_and_those_of_its_frozen_norms():
    """32,269,600 is what torchvision states of its weights for 91 classes (FCOS_ResNet50_FPN_Weights)."""
    with torch.device("meta"):
        ours = _built("fcos", Input(image=224, classes=91))
    norms = [part for part in ours.backbone.body.modules() if isinstance(part, nn.BatchNorm2d)]
    frozen = sum(parameter.numel() for norm in norms for parameter in norm.parameters())
    assert sum(parameter.numel() for parameter in ours.parameters()) - frozen == 32_269_600


def test_the_forward_pass_of_fcos_costs_what_torchvisions_does_and_is_counted_whole(torchs_own):
    """Theirs: the backbone with its pyramid, and the head of every level, at the same size."""
    with torch.device("meta"):
        theirs = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).eval()
    expected = torchs_own(nn.Sequential(theirs.backbone, _Head(theirs.head)), (1, 3, 224, 224))
    model, input_ = models.resolve("fcos", {}), Input(image=224, classes=91)
    assert counting.of_model(model, input_).total == expected
    lateral = models.resolve("fcos", {"pyramid": "lateral"})
    assert counting.of_model(lateral, input_).total == expected  # what is added costs no multiplication


class _Head(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, levels):
        return self.head(list(levels.values()))


def _theirs(ours, side):
    """torchvision's own detector with the very same parts, which takes pictures as they are."""
    detector = torchvision.models.detection.FCOS(
        _Named(ours.backbone),
        ours.classes,
        min_size=side,
        max_size=side,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        anchor_generator=ours.anchor_generator,
        head=ours.head,
        score_thresh=ours.score_thresh,
        nms_thresh=ours.nms_thresh,
    )
    return detector.train(ours.training)


class _Named(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.out_channels = backbone, backbone.out_channels

    def forward(self, images):
        return {str(number): level for number, level in enumerate(self.backbone(images))}


def test_losses_are_torchvisions_of_the_same_boxes():
    torch.manual_seed(0)
    ours = _built("fcos", Input(image=64, classes=3), **SMALL).train()
    images = torch.randn(2, 3, 64, 64)
    boxes = torch.tensor([[[4.0, 6, 40, 50, 1], [10, 10, 30, 24, 2]], [[0, 0, 20, 60, 0], [-1] * 5]])
    targets = [{"boxes": rows[:, :4], "labels": rows[:, 4].long()} for rows in (boxes[0], boxes[1, :1])]
    theirs = _theirs(ours, 64)(list(images), targets)
    assert ours.loss(ours(images), boxes).item() == pytest.approx(sum(theirs.values()).item(), rel=1e-5)
    empty = torch.full((2, 2, 5), -1.0)
    nothing = ours.loss(ours(images), empty)
    nothing.backward()
    assert 0 < nothing.item() < ours.silence()


def test_detections_are_torchvisions_best_first():
    torch.manual_seed(0)
    ours = _built("fcos", Input(image=64, classes=3), **SMALL).eval()
    nn.init.normal_(ours.head.classification_head.cls_logits.weight, std=0.2)  # to be sure of some
    nn.init.constant_(ours.head.regression_head.bbox_reg.bias, 1.5)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found, theirs = ours.detections(ours(images), 64), _theirs(ours, 64)(list(images))
    for rows, one in zip(found, theirs, strict=True):
        assert 5 < len(rows) <= 100
        assert torch.allclose(rows[:, :4], one["boxes"], atol=1e-4)
        assert torch.allclose(rows[:, 4], one["scores"])
        assert torch.equal(rows[:, 5].long(), one["labels"])
        assert torch.equal(rows[:, 4].sort(descending=True).values, rows[:, 4])
        assert rows[:, :4].min() >= 0
        assert rows[:, :4].max() <= 64


def test_places_are_where_torchvision_looks_for_them():
    ours = _built("fcos", Input(image=64, classes=3), **SMALL).eval()
    images = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        levels, said = ours.backbone(images), ours(images)
    (expected,) = ours.anchor_generator(ImageList(images, [(64, 64)]), levels)
    assert torch.equal(torch.cat(ours._places(said)), expected)
    assert [tuple(level.shape) for level in said] == [(1, side, side, 3 + 5) for side in (8, 4, 2)]


def test_without_the_way_down_a_level_does_not_see_what_coarser_stages_say():
    torch.manual_seed(0)
    images = torch.randn(1, 3, 64, 64)
    for pyramid, hears in (("top_down", True), ("lateral", False)):
        model = _built("fcos", Input(image=64, classes=3), **SMALL, pyramid=pyramid).eval()
        before = model(images)[0]
        nn.init.constant_(model.backbone.fpn.inner_blocks[2][0].bias, 3.0)
        assert torch.equal(model(images)[0], before) != hears
    kinds = [models.resolve("fcos", SMALL | {"pyramid": kind}) for kind in ("top_down", "lateral")]
    shapes = [
        {name: value.shape for name, value in skeleton.of(one, Input(image=64, classes=3)).state_dict().items()}
        for one in kinds
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("backbone", ["test_resnet", "swin_tiny_patch4_window7_224", "test_convnext"])
def test_any_backbone_of_timms_with_maps_of_the_strides_will_do(backbone):
    with torch.device("meta"):
        model = _built("fcos", Input(image=96, classes=3), **SMALL | {"backbone": backbone}).eval()
        said = model(torch.empty(1, 3, 96, 96))
    assert [level.shape[1] for level in said] == [12, 6, 3]


def test_maps_as_wide_as_they_have_channels_are_turned_too():
    """Swin-T at 384 pixels: 96 channels of 96 × 96 places, which no shape tells apart from channels that come first."""
    body = Features("swin_tiny_patch4_window7_224", (4,), Input(image=384), drop_path=0.0).eval()
    images = torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (theirs,), (ours,) = body.net(images), body(images)
    assert ours.shape == (1, 96, 96, 96)
    assert torch.equal(ours, theirs.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "knobs", "line"),
    [
        ("fcos", {"width": 48}, "fcos at 64: width 48 is no multiple of 32, the groups of its norms"),
        ("fcos", {"strides": [16, 8]}, "fcos at 64: strides [16, 8] do not grow; the finest stands first"),
        ("fcos", {"backbone": "resnet81"}, "no backbone 'resnet81'; nearest: 'resnet18'"),
        ("fcos", {"strides": [8, 12]}, "backbone resnet50 has no map of stride 12; allowed: 2, 4, 8, 16, 32"),
        ("lraspp", {"fine": 16}, "lraspp at 64: fine 16 is no finer than coarse 16: strides in pixels"),
    ],
)
def test_what_cannot_be_built_is_one_line(name, knobs, line):
    with pytest.raises(Invalid) as raised:
        _built(name, Input(image=64, classes=3), **knobs)
    assert str(raised.value) == line


@pytest.mark.parametrize("name", ["fcos", "lraspp", "constant"])
def test_they_have_a_head_and_nothing_to_drop(name):
    model, input_ = models.resolve(name, {}), Input(image=64, classes=3)
    with pytest.raises(Invalid, match=r"must be at least 1$"):
        models.check(model, msgspec.structs.replace(input_, classes=0))
    with pytest.raises(Invalid, match=r"no dropout"):
        models.build(model, input_, dropout=0.1)


def test_lraspp_over_a_mobilenet_has_torchvisions_head():
    with torch.device("meta"):
        theirs = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21).classifier
        ours = _built("lraspp", Input(image=224, classes=21)).classifier
    assert ours.low_classifier.weight.shape[:2] == theirs.low_classifier.weight.shape[:2]
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]


def test_a_segmenter_says_something_of_every_pixel():
    model = _built("lraspp", Input(image=48, classes=5), backbone="test_resnet", fine=4, coarse=16, width=16).eval()
    assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 5, 48, 48)


def test_a_blind_model_learns_how_frequent_the_classes_are():
    """Where its cross-entropy is least, its chances are the classes' shares."""
    model = _built("constant", Input(image=4, classes=3))
    labels = torch.tensor([0] * 10 + [1] * 4 + [2] * 2).reshape(1, 4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.rand(1, 3, 4, 4)), labels).backward()
        optimizer.step()
    shares = model(torch.rand(1, 3, 4, 4)).softmax(1)[0, :, 0, 0]
    assert shares.tolist() == pytest.approx([10 / 16, 4 / 16, 2 / 16], abs=1e-4)
    assert math.isclose(counting.of_model(models.resolve("constant", {}), Input(image=4, classes=3)).total, 0)
