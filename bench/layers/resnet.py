"""A ResNet (He et al., CVPR 2016) whose width is a factor and whose 3×3 convolutions can be exchanged.

What is not exchanged is timm's resnet50 layer by layer, and bears the same names. Strides are in the middle of a
bottleneck, not in its first layer ("v1.5"), as in every implementation that the tables' counts agree with.
"""

from collections.abc import Callable, Sequence

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

EXPANSION = 4  # channels that leave a bottleneck over those inside
STEM = 64  # channels at width 1

Middle = Callable[[int, int], nn.Module]
"""Makes the layer between the two 1×1 convolutions of a bottleneck from its channels and its stride."""


def convolution(side: int, from_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of side×side places that keeps the map's size but for the stride; a normalisation follows it."""
    return nn.Conv2d(from_channels, channels, side, stride=stride, padding=side // 2, bias=False)


class SelectiveKernel(nn.Module):
    """Two 3×3 convolutions, mixed channel by channel as the whole map's mean decides (Li et al., CVPR 2019).

    As SimCLRv2 has it (Chen et al., NeurIPS 2020, appendix; google-research/simclr, resnet.py): both branches are 3×3
    and normalised, where the original has a 5×5 one. `ratio`: units that decide over channels, `least` at least.
    """

    def __init__(self, channels: int, stride: int, *, ratio: float, least: int = 32) -> None:
        super().__init__()
        units = max(int(channels * ratio), least)
        self.branches = convolution(3, channels, 2 * channels, stride)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.squeeze = convolution(1, channels, units)
        self.squeeze_norm = nn.BatchNorm2d(units)
        self.choose = convolution(1, units, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        branches = torch.stack(self.norm(self.branches(x)).relu().chunk(2, dim=1))  # (2, B, C, H, W)
        mean = branches.sum(dim=0).mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        units = self.squeeze_norm(self.squeeze(mean)).relu()
        shares = torch.stack(self.choose(units).chunk(2, dim=1)).softmax(dim=0)  # (2, B, C, 1, 1)
        return (branches * shares).sum(dim=0)


class Bottleneck(nn.Module):
    """1×1 to fewer channels, the middle, 1×1 to more, on a residual that stochastic depth may drop."""

    def __init__(
        self, from_channels: int, inside: int, to_channels: int, *, middle: nn.Module, shortcut: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = convolution(1, from_channels, inside)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = middle
        # what a selective kernel mixes is normalised already, and not negative: the activation leaves it alone
        self.bn2 = nn.Identity() if isinstance(middle, SelectiveKernel) else nn.BatchNorm2d(inside)
        self.conv3 = convolution(1, inside, to_channels)
        self.bn3 = nn.BatchNorm2d(to_channels)
        self.downsample = shortcut
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.drop_path(self.bn3(self.conv3(y)))
        z: Tensor = (y + self.downsample(x)).relu()
        return z


class ResNet(nn.Module):
    """Images (B, C, H, W) to logits (B, classes), or to features (B, D) where `classes` is 0.

    `inside`: channels inside the bottlenecks of each stage; `outside`: channels between them. `pooled`: shortcuts that
    change the size average 2×2 places first ("D", He et al., CVPR 2019). Stochastic depth grows linearly to
    `drop_path` at the last block.
    """

    CLASSIFIER = "fc"  # the part that is left behind when classes differ

    def __init__(
        self,
        *,
        stem: nn.Module,
        from_channels: int,
        depths: Sequence[int],
        inside: Sequence[int],
        outside: Sequence[int],
        middle: Middle,
        pooled: bool,
        classes: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(from_channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = len(depths)
        for stage, (depth, narrow, wide) in enumerate(zip(depths, inside, outside, strict=True)):
            blocks = []
            for block in range(depth):
                stride = 2 if stage and not block else 1
                shortcut = _shortcut(from_channels, wide, stride, pooled=pooled) if not block else nn.Identity()
                blocks.append(Bottleneck(from_channels, narrow, wide, middle=middle(narrow, stride), shortcut=shortcut))
                from_channels = wide
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(from_channels, classes) if classes else nn.Identity()
        self._start(drop_path)

    def _start(self, drop_path: float) -> None:
        """Draw the weights (He et al., ICCV 2015), last normalisations 0: every block is its shortcut at first."""
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        blocks = [part for part in self.modules() if isinstance(part, Bottleneck)]
        for index, block in enumerate(blocks):
            nn.init.zeros_(block.bn3.weight)
            block.drop_path.drop_prob = drop_path * index / max(1, len(blocks) - 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, classes)."""
        x = self.maxpool(self.bn1(self.conv1(images)).relu())
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        pooled = x.mean(dim=(2, 3))  # (B, D)
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits


def deep_stem(channels: int, to_channels: int) -> nn.Module:
    """Three 3×3 convolutions in place of the 7×7 one, two of them half as wide ("C", He et al., CVPR 2019)."""
    half = to_channels // 2
    return nn.Sequential(
        convolution(3, channels, half, 2),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        convolution(3, half, half),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        convolution(3, half, to_channels),
    )


def _shortcut(from_channels: int, channels: int, stride: int, *, pooled: bool) -> nn.Module:
    """What a block is added to where its size or its channels change."""
    if stride == 1 and from_channels == channels:
        return nn.Identity()
    layers = [convolution(1, from_channels, channels, 1 if pooled else stride), nn.BatchNorm2d(channels)]
    return nn.Sequential(
        *([nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)] if pooled and stride > 1 else []), *layers
    )


def wide(
    *,
    channels: int,
    classes: int,
    depths: Sequence[int],
    width: int,
    sk_ratio: float,
    dropout: float,
    drop_path: float,
) -> ResNet:
    """A ResNet whose every layer, the stem too, has `width` times as many channels; with `sk_ratio`, SimCLRv2's."""
    stem = STEM * width
    inside = [stem * 2**stage for stage in range(len(depths))]
    selective = sk_ratio > 0

    def middle(narrow: int, stride: int) -> nn.Module:
        return SelectiveKernel(narrow, stride, ratio=sk_ratio) if selective else convolution(3, narrow, narrow, stride)

    return ResNet(
        stem=deep_stem(channels, stem) if selective else convolution(7, channels, stem, 2),
        from_channels=stem,
        depths=depths,
        inside=inside,
        outside=[narrow * EXPANSION for narrow in inside],
        middle=middle,
        pooled=selective,
        classes=classes,
        dropout=dropout,
        drop_path=drop_path,
    )
