"""FCOS (Tian et al., ICCV 2019), torchvision's head, losses and choice of boxes over a backbone of timm's.

Its forward pass is the network alone: what every place of the pyramid says. Losses are of that and of the boxes that
are there; detections are chosen from it afterwards.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

from bench.layers.features import Features
from bench.trial import Input

SCORE, OVERLAP, CANDIDATES, DETECTIONS = 0.05, 0.6, 1000, 100
"""Least score, IoU above which the lower of two boxes goes, boxes a level before that, boxes an image: the paper's."""

RARE = 0.01  # what a head that was just drawn says of each class (Lin et al., ICCV 2017, section 4.1)


class Pyramid(nn.Module):
    """Images (B, C, S, S) to maps (B, width, S / stride, S / stride) of every level, finest first.

    A feature pyramid (Lin et al., CVPR 2017) adds each coarser map to the next finer one. Without the `top_down` path,
    each level sees its own stage alone (their Table 1, row d); it has the same weights.
    """

    def __init__(self, body: Features, width: int, *, top_down: bool, coarser: bool) -> None:
        super().__init__()
        self.body, self.top_down, self.out_channels = body, top_down, width
        more = LastLevelP6P7(width, width) if coarser else None
        self.fpn: Any = FeaturePyramidNetwork(body.channels, width, extra_blocks=more)

    def forward(self, images: Tensor) -> list[Tensor]:
        """All levels."""
        maps = self.body(images)
        if self.top_down:
            return list(self.fpn(OrderedDict((str(number), map) for number, map in enumerate(maps))).values())
        parts = zip(self.fpn.inner_blocks, self.fpn.layer_blocks, maps, strict=True)
        levels = [layer(inner(map)) for inner, layer, map in parts]
        return levels if self.fpn.extra_blocks is None else list(self.fpn.extra_blocks(levels, maps, [])[0])


class FCOS(detection.FCOS):  # type: ignore[misc] # untyped
    """Images (B, C, S, S) to a map (B, S / stride, S / stride, classes + 5) of every level, finest first.

    Of each place: logits of the classes, distances to the left, top, right and bottom of a box in strides, and the
    logit of how far it is from the middle of it.
    """

    CLASSIFIER = ("head.classification_head.cls_logits",)  # the part that is left behind when classes differ

    def __init__(
        self,
        backbone: str,
        input: Input,
        *,
        strides: Sequence[int],
        width: int,
        convolutions: int,
        top_down: bool,
        coarser: bool,
        drop_path: float,
    ) -> None:
        body = Features(backbone, strides, input, drop_path=drop_path)
        levels = [*strides, *((2 * strides[-1], 4 * strides[-1]) if coarser else ())]
        super().__init__(
            Pyramid(body, width, top_down=top_down, coarser=coarser),
            input.classes,
            anchor_generator=AnchorGenerator(tuple((stride,) for stride in levels), ((1.0,),) * len(levels)),
            head=FCOSHead(width, 1, input.classes, convolutions),
            score_thresh=SCORE,
            nms_thresh=OVERLAP,
            topk_candidates=CANDIDATES,
            detections_per_img=DETECTIONS,
        )
        self.strides, self.classes = levels, input.classes

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # theirs takes pictures and boxes
        """The network alone."""
        levels = self.backbone(images)
        said = self.head(levels)
        whole = torch.cat([said[name] for name in ("cls_logits", "bbox_regression", "bbox_ctrness")], dim=2)
        parts = torch.split(whole, [map.shape[2] * map.shape[3] for map in levels], dim=1)
        return tuple(
            part.reshape(len(images), map.shape[2], map.shape[3], -1) for part, map in zip(parts, levels, strict=True)
        )

    def loss(self, said: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Focal loss of the classes, GIoU of the boxes and cross-entropy of how central a place is, over a batch.

        `boxes` (B, M, 5) are x0, y0, x1, y1 and the class, rows of −1 are none. Each is summed, over the number of
        places that are in a box.
        """
        outputs, places = self._outputs(said), self._places(said)
        targets = [{"boxes": rows[:, :4], "labels": rows[:, 4].long()} for rows in map(_present, boxes)]
        counts = [level.shape[1] * level.shape[2] for level in said]
        terms = self.compute_loss(targets, outputs, [torch.cat(places)] * len(boxes), counts)
        total: Tensor = sum(terms.values(), start=said[0].new_zeros((), dtype=torch.float32))
        return total

    def silence(self) -> float:
        """The loss of a model that finds nothing: each place in a box is rare, its box nowhere, its middle unknown.

        0.25·(1 − p)²·(−ln p) of the focal loss, 2 of GIoU, ln 2.
        """
        return 0.25 * (1 - RARE) ** 2 * -math.log(RARE) + 2 + math.log(2)

    def detections(self, said: Sequence[Tensor], size: int) -> list[Tensor]:
        """What was found in each image of `size` pixels a side, best first: (n, 6), x0, y0, x1, y1, score, class."""
        outputs, places = self._outputs(said), self._places(said)
        counts = [len(level) for level in places]
        by_level = {name: list(torch.split(value, counts, dim=1)) for name, value in outputs.items()}
        images = len(said[0])
        found = self.postprocess_detections(by_level, [places] * images, [(size, size)] * images)
        return [
            torch.cat([one["boxes"], one["scores"][:, None], one["labels"][:, None].float()], dim=1) for one in found
        ]

    def _outputs(self, said: Sequence[Tensor]) -> dict[str, Tensor]:
        """What torchvision's functions take: (B, places, …) of all levels."""
        whole = torch.cat([level.float().flatten(1, 2) for level in said], dim=1)
        classes, distances, middle = torch.split(whole, [self.classes, 4, 1], dim=2)
        return {"cls_logits": classes, "bbox_regression": distances, "bbox_ctrness": middle}

    def _places(self, said: Sequence[Tensor]) -> list[Tensor]:
        """Of every level the squares (places, 4), a stride a side, that stand for its places."""
        device = said[0].device
        self.anchor_generator.set_cell_anchors(torch.float32, device)
        grids = [list(level.shape[1:3]) for level in said]
        strides = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        squares: list[Tensor] = self.anchor_generator.grid_anchors(grids, strides)
        return squares


def _present(rows: Tensor) -> Tensor:
    """Of rows (M, 5) those that are boxes."""
    return rows[rows[:, 4] >= 0]
