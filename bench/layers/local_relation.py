"""LR-Net: a ResNet whose convolutions over places are local relation layers (Hu et al., ICCV 2019).

What a layer takes from a place is decided by how that place and the centre go together, and by where it lies, and not
by a fixed filter.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.layers.resnet import EXPANSION, STEM, ResNet, convolution


class LocalRelation(nn.Module):
    """y = T(Σ softmax(query·key + prior)·x) over the `window`×`window` places around each (section 4 of the paper).

    A channel of queries and keys is one number a place, and gives weights to `sharing` channels of the input; where
    these do not divide the channels, the last group is smaller. `transform`: the 1×1 convolution T over channels comes
    after the sum, before it, or there is none. Outside the image everything is 0, as a convolution pads.
    """

    def __init__(self, channels: int, stride: int, *, window: int, sharing: int, transform: str) -> None:
        super().__init__()
        groups = -(-channels // sharing)
        self.window, self.stride, self.sharing = window, stride, sharing
        self.query = nn.Conv2d(channels, groups, 1, stride=stride)
        self.key = nn.Conv2d(channels, groups, 1)
        self.prior = nn.Sequential(nn.Linear(2, groups), nn.ReLU(), nn.Linear(groups, groups))
        steps = torch.arange(window, dtype=torch.float32) - window // 2
        self.register_buffer("places", torch.cartesian_prod(steps, steps), persistent=False)  # (window², 2): y, x
        self.before, self.after = (
            convolution(1, channels, channels) if transform == place else nn.Identity() for place in ("before", "after")
        )

    def weights(self, x: Tensor) -> Tensor:
        """What each place of a window counts for: (B, groups, window², places), sums to 1 over a window."""
        query = self.query(x).flatten(2)[:, :, None]  # (B, groups, 1, places)
        prior = self.prior(self.get_buffer("places")).T[..., None]  # (groups, window², 1)
        weights: Tensor = (query * self._windows(self.key(x)) + prior).softmax(dim=2)
        return weights

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        values = self.before(x)
        windows = self._windows(values)  # (B, C, window², places)
        shared = self.weights(x).repeat_interleave(self.sharing, dim=1)[:, : windows.shape[1]]
        height, width = ((side - 1) // self.stride + 1 for side in x.shape[2:])
        y: Tensor = self.after((shared * windows).sum(dim=2).reshape(len(x), -1, height, width))
        return y

    def _windows(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the neighbourhood of every place that a stride leaves, (B, C, window², places)."""
        unfolded = F.unfold(x, self.window, padding=self.window // 2, stride=self.stride)
        return unfolded.reshape(*x.shape[:2], self.window**2, -1)


def lr_net(
    *,
    channels: int,
    classes: int,
    depths: Sequence[int],
    inside: Sequence[int],
    window: int,
    sharing: int,
    transform: str,
    dropout: float,
    drop_path: float,
) -> ResNet:
    """Table 1 of the paper: a 1×1 convolution and a local relation layer are the stem, all later ones bottlenecks."""

    def relation(narrow: int, stride: int) -> nn.Module:
        return LocalRelation(narrow, stride, window=window, sharing=sharing, transform=transform)

    stem = nn.Sequential(convolution(1, channels, STEM), nn.BatchNorm2d(STEM), nn.ReLU(), relation(STEM, 2))
    return ResNet(
        stem=stem,
        from_channels=STEM,
        depths=depths,
        inside=inside,
        outside=[STEM * EXPANSION * 2**stage for stage in range(len(depths))],
        middle=relation,
        pooled=False,
        classes=classes,
        dropout=dropout,
        drop_path=drop_path,
    )
