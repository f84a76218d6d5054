"""torchvision: every classification model of the installed torchvision, by its name there (`torchvision:vit_b_16`).

Arguments are torchvision's own and go to the model as given. Names and default image sizes are read from torchvision's
source files without importing it, which would bring torch.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid, Needs
from bench.trial import Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

WEIGHTS = "say `weights:` or `train.from:`"
SAID_ELSEWHERE = {
    "weights": WEIGHTS,
    "weights_backbone": WEIGHTS,
    "pretrained": WEIGHTS,
    "pretrained_backbone": WEIGHTS,
    "num_classes": "say `model.classes`",
    "image_size": "say `model.image`",
    "input_size": "say `model.image`",
    "dropout": "say `train.dropout`",
    "stochastic_depth_prob": "say `train.drop_path`",
}
"""Arguments that would make a table say one thing and the model be another, and where they are said instead."""

SIZED = {"vision_transformer": "image_size", "maxvit": "input_size"}  # file → the argument that fixes the image size
ENTRY_POINT = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(\s*\*, weights: Optional\[(\w+)\]", re.MULTILINE)
CROP = re.compile(r"\bcrop_size=(\d+)")


def names() -> tuple[str, ...]:
    """Every registered classification model, sorted."""
    return tuple(sorted(_entries()))


def default_image(name: str) -> int:
    """Pixels a side at which torchvision evaluates its weights for a model; the smallest where there are several."""
    path, weights = _entries()[name]
    source = path.read_text(encoding="utf-8")
    members = source.partition(f"class {weights}(")[2].partition("\nclass ")[0].partition("\n@")[0]
    return min(int(size) for size in CROP.findall(members))


def build(name: str, arguments: dict[str, Any], input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module for such images; its rates of dropout and stochastic depth are set afterwards, in every such layer.

    Raises Invalid where torchvision has no such model: other than three channels, no classes, no stochastic depth.
    """
    import torchvision

    if input.channels != 3:
        raise Invalid(f"torchvision:{name} takes images of 3 channels, not {input.channels}")
    if input.classes == 0:
        raise Invalid(f"torchvision:{name} has a head: classes must be at least 1")
    file = _entries()[name][0].stem
    given: dict[str, Any] = {"num_classes": input.classes}
    if file in SIZED:
        given[SIZED[file]] = input.side if file == "vision_transformer" else (input.side, input.side)
    if file in ("googlenet", "inception"):
        given["init_weights"] = True  # torchvision's own default, said so that it does not warn of changing it
    try:
        module: nn.Module = torchvision.models.get_model(name, weights=None, **{**given, **arguments})
    except (AssertionError, ValueError) as problem:
        raise Invalid(f"torchvision:{name} at {input.side}: {str(problem).splitlines()[0]}") from problem
    _set_rates(f"torchvision:{name}", module, dropout, drop_path)
    return module


def _set_rates(name: str, module: "nn.Module", dropout: float, drop_path: float) -> None:
    """Dropout everywhere alike; stochastic depth in torchvision's proportions, `drop_path` at the deepest layer."""
    from torch import nn
    from torchvision.ops import StochasticDepth

    drops = [part for part in module.modules() if isinstance(part, nn.Dropout)]
    paths = [part for part in module.modules() if isinstance(part, StochasticDepth)]
    deepest = max((path.p for path in paths), default=0.0)
    if dropout and not drops:
        raise Invalid(f"{name} has no dropout")
    if drop_path and not deepest:
        raise Invalid(f"{name} has no stochastic depth")
    for drop in drops:
        drop.p = dropout
    for path in paths:
        path.p = drop_path * path.p / deepest if deepest else 0.0


@cache
def _entries() -> dict[str, tuple[Path, str]]:
    """Every registered model's name, with its file and the class of its weights."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise Needs(
            "the Python package 'torchvision', not installed here, which knows its models and their image sizes"
        )
    return {
        name: (path, weights)
        for path in sorted((Path(found.origin).parent / "models").glob("*.py"))
        for name, weights in ENTRY_POINT.findall(path.read_text(encoding="utf-8"))
    }
