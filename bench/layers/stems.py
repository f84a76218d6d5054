"""What turns an image into tokens instead of one convolution per patch: early convolutions, or a part of a ResNet."""

from functools import partial
from itertools import pairwise

from timm.layers.hybrid_embed import HybridEmbed
from timm.layers.std_conv import StdConv2dSame
from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
from torch import Tensor, nn


class ConvolutionalStem(nn.Module):
    """3×3 convolutions with batch norm and ReLU, then a 1×1 one to `dim` (Xiao et al., NeurIPS 2021, section 3).

    The first one halves the map, as does each that has other channels than the one before; the rest keep it.
    """

    def __init__(self, channels: int, outputs: tuple[int, ...], dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *outputs)):
            stride = 1 if layers and after == before else 2
            layers += [
                nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.proj = nn.Conv2d(outputs[-1], dim, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, image, image) to (B, patches, dim)."""
        y: Tensor = self.proj(self.convolutions(images))
        return y.flatten(2).transpose(1, 2)


def resnet_stem(image: int, channels: int, blocks: tuple[int, ...], *, patch: int, dim: int) -> HybridEmbed:
    """The root of a BiT ResNet with as many stages as `blocks` names, then a patch embedding of its map.

    As timm's `vit_*_r*`: R+Ti is the root alone, R26+S has (2, 2, 2, 2), ViT's own R50 hybrid (3, 4, 9). `patch` is in
    pixels, that of timm in places of the ResNet's map.
    """
    convolution = partial(StdConv2dSame, eps=1e-8)
    backbone: nn.Module
    if blocks:
        backbone = ResNetV2(
            list(blocks),
            num_classes=0,
            global_pool="",
            in_chans=channels,
            preact=False,
            stem_type="same",
            conv_layer=convolution,
        )
    else:
        backbone = create_resnetv2_stem(channels, stem_type="same", preact=False, conv_layer=convolution)
    stride = 4 * 2 ** max(0, len(blocks) - 1)
    return HybridEmbed(backbone, img_size=image, patch_size=patch // stride, in_chans=channels, embed_dim=dim)
