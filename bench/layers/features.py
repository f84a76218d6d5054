"""A backbone of timm's as dense tasks want it: maps of some of its stages, finest first."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench import registry
from bench.errors import Invalid
from bench.trial import Input


class Features(nn.Module):
    """Images (B, C, S, S) to maps (B, channels, S / stride, S / stride), one for each stride."""

    def __init__(self, name: str, strides: Sequence[int], input: Input, *, drop_path: float) -> None:
        super().__init__()
        with torch.device("meta"):
            stated = _built(name, input, {}).feature_info
        reductions = stated.reduction()
        for stride in strides:
            if stride not in reductions:
                known = ", ".join(map(str, sorted(set(reductions))))
                raise Invalid(f"backbone {name} has no map of stride {stride}; allowed: {known}")
        last = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]  # of maps of one stride
        self.net = _built(name, input, {"out_indices": last}, drop_path=drop_path)
        self.channels: list[int] = [stated.channels()[index] for index in last]
        self.channels_last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> list[Tensor]:
        """Swin and its like have channels last; here they are where convolutions look for them."""
        maps = list(self.net(images))
        return [map.permute(0, 3, 1, 2).contiguous() for map in maps] if self.channels_last else maps


def _built(name: str, input: Input, arguments: dict[str, Any], *, drop_path: float = 0.0) -> Any:
    """timm's module of that name, without its head."""
    timm = registry.load("models", "timm")
    if name not in timm.names():
        from bench.errors import unknown

        raise Invalid(unknown("backbone", name, timm.names()))
    try:
        return timm.build(name, {"features_only": True, **arguments}, input, dropout=0.0, drop_path=drop_path)
    except (AttributeError, TypeError) as problem:  # a family that states no maps, or that drops no paths
        raise Invalid(f"backbone {name}: {str(problem).splitlines()[0]}") from problem
