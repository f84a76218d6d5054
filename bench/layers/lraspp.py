"""LR-ASPP (Howard et al., ICCV 2019, section 6.4), torchvision's head over a backbone of timm's; and a blind model."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.lraspp import LRASPPHead

from bench.layers.features import Features


class LRASPP(nn.Module):
    """Images (B, C, S, S) to logits (B, classes, S, S): of a coarse map under attention, and of a fine one."""

    CLASSIFIER = ("classifier.low_classifier", "classifier.high_classifier")  # left behind when classes differ

    def __init__(self, body: Features, classes: int, width: int) -> None:
        super().__init__()
        self.backbone = body
        low, high = body.channels
        self.classifier: Any = LRASPPHead(low, high, classes, width)

    def forward(self, images: Tensor) -> Tensor:
        """Logits at the size of the images."""
        low, high = self.backbone(images)
        said = self.classifier({"low": low, "high": high})
        return F.interpolate(said, size=images.shape[-2:], mode="bilinear", align_corners=False)


class Constant(nn.Module):
    """Images (B, C, S, S) to the same logits (B, classes, S, S) everywhere, whatever they show."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        """Trained, the logarithms of how frequent the classes are."""
        return self.logits[None, :, None, None].expand(len(images), -1, *images.shape[-2:])
