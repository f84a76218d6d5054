"""patch_order: by how much the logits change when the patches of an image change places, as a share of their size.

The largest difference over the largest logit, of two random images, one random order and random parameters: nothing
but rounding for attention that does not know where its tokens are and a head that reads their mean.
"""

from typing import TYPE_CHECKING, Any

from bench import models, skeleton
from bench.errors import Invalid
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = ("model", "input")
PRODUCES: dict[str, tuple[str, str | None]] = {"patch_order": ("", None)}
LABELS = {"patch_order": "change with the patches' order"}
REMEASURE_IF_CHANGED = ("timm", "torchvision")

SEED = 0


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Compare the logits of images, whole and in pieces. Raises Invalid for a model without patches."""
    import torch

    model = models.build(trial.model, trial.input).eval()
    patch = _patch(getattr(getattr(model, "patch_embed", None), "patch_size", None))
    if patch is None or trial.input.side % patch:
        raise Invalid(f"{trial.model.name} does not cut its image into patches: there is no order of them")
    subject.bound |= skeleton.library(trial.model)
    random = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=_spread(parameter), generator=random)
        images = torch.randn(2, trial.input.channels, trial.input.side, trial.input.side, generator=random)
        order = torch.randperm((trial.input.side // patch) ** 2, generator=random)
        logits, others = model(images), model(_in_order(images, patch, order))
    change = float((logits - others).abs().max() / logits.abs().max())
    return {"patch_order": Quantity(samples=(change,), unit="", better=None)}


def _spread(parameter: "Tensor") -> float:
    """Spread of random values: of a layer's weights as large as keeps its outputs like its inputs, else one."""
    return float(parameter[0].numel() ** -0.5) if parameter.dim() in (2, 4) else 1.0


def _patch(said: Any) -> int | None:
    """The side of square patches, as timm's patch embeddings say it."""
    sides = set(said) if isinstance(said, tuple) else {said}
    (side,) = sides if len(sides) == 1 else (None,)
    return side if isinstance(side, int) else None


def _in_order(images: "Tensor", patch: int, order: "Tensor") -> "Tensor":
    """Images (B, C, H, W) whose patches stand in another order."""
    from torch.nn import functional as F

    patches = F.unfold(images, patch, stride=patch)  # (B, C patch², patches)
    return F.fold(patches[..., order], images.shape[-2:], patch, stride=patch)
