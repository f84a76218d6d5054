"""timm: every classification model of the installed timm, by its name there (`timm:swin_tiny_patch4_window7_224`).

Arguments are timm's own and go to `timm.create_model` as given. Names and default image sizes are read from timm's
source files without importing it, which would bring torch.
"""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid, Needs, UserError
from bench.models import wants_values
from bench.models.swin import window_notes
from bench.trial import Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

WEIGHTS = "say `weights:` or `train.from:`"
SAID_ELSEWHERE = {
    "pretrained": WEIGHTS,
    "pretrained_cfg": WEIGHTS,
    "pretrained_cfg_overlay": WEIGHTS,
    "checkpoint_path": WEIGHTS,  # which older versions of timm unpickle besides
    "cache_dir": "set HF_HOME",
    "num_classes": "say `model.classes`",
    "in_chans": "say `model.channels`",
    "img_size": "say `model.image`",
    "drop_rate": "say `train.dropout`",
    "drop_path_rate": "say `train.drop_path`",
    "device": "say `execution.device`",
    "dtype": "say `precision`",
    "features_only": "a classifier has logits",
}
"""Arguments that would make a table say one thing and the model be another, and where they are said instead."""

USUAL_IMAGE = 224  # pixels a side, where a configuration leaves it out
ENTRY_POINT = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
PATCH_IN_NAME = re.compile(r"_patch(\d+)(?:_|$)")
WINDOW_IN_NAME = re.compile(r"swin_\w+?_window(\d+)_")  # of the first version; the second has windows of another kind
SIZE_IN_NAME = re.compile(r"_(\d{3,4})$")
REFUSED = re.compile(r"unexpected keyword argument.*'(\w+)'")


def names() -> tuple[str, ...]:
    """Every registered model, sorted."""
    return tuple(sorted(_files()))


def default_image(name: str) -> int:
    """Pixels a side that timm gives a model (`NAME` or `NAME.TAG`): the input size of its weights' configuration.

    Raises UserError for the few whose configuration timm computes, and whose name does not end in a size.
    """
    name, _, tag = name.partition(".")
    configurations = _configurations(_files()[name])
    stated = configurations.get(f"{name}.{tag}") or configurations.get(name)
    if stated is not None:
        return stated
    if size := SIZE_IN_NAME.search(name):
        return int(size[1])
    raise UserError(f"timm:{name}: timm's files state no image size; give one")


def notes(name: str, arguments: dict[str, Any], input: Input) -> list[str]:
    """What timm does without a word: borders that are cut off or padded, a Swin's maps that are padded to windows."""
    said = PATCH_IN_NAME.search(name)
    patch = arguments.get("patch_size", int(said[1]) if said else 1)
    if not isinstance(patch, int) or patch < 1:
        return []
    if input.side % patch == 0:
        windows = WINDOW_IN_NAME.match(name)
        return (
            window_notes(input.side // patch, int(windows[1]), rolled=[True] * 4) if windows and not arguments else []
        )
    return [f"patch {patch} does not divide the image of {input.side}: timm cuts its border off, or pads it"]


def build(name: str, arguments: dict[str, Any], input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module for such images. timm decides whether a model is made for one image size or takes any.

    Raises Invalid for a tag that timm does not have, or arguments that go with no model of that name.
    """
    import timm

    overlay = {"input_size": (input.channels, input.side, input.side)}
    given = {"in_chans": input.channels, "num_classes": input.classes, **arguments, "pretrained_cfg_overlay": overlay}
    # many models have a rate of their own that is not 0, others know no such argument: those cannot drop anything
    rates = {"drop_rate": dropout, "drop_path_rate": drop_path}
    while True:
        try:
            module: nn.Module = timm.create_model(name, pretrained=False, **{**rates, **given})
            return module
        except TypeError as problem:
            refused = REFUSED.search(str(problem))
            if refused is None or rates.pop(refused[1], 1.0):
                raise
        except (AssertionError, RuntimeError, ValueError) as problem:
            if wants_values(problem):
                raise
            raise Invalid(f"timm:{name} at {input.side}: {str(problem).splitlines()[0]}") from problem


@cache
def _files() -> dict[str, Path]:
    """Every registered model's name and the file of timm that registers it."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        raise Needs("the Python package 'timm', not installed here, which knows its models and their image sizes")
    folder = Path(found.origin).parent / "models"
    return {
        name: path
        for path in sorted(folder.glob("*.py"))
        for name in ENTRY_POINT.findall(path.read_text(encoding="utf-8"))
    }


@cache
def _configurations(path: Path) -> dict[str, int]:
    """Image sizes by `NAME.TAG` as a file states them, and by `NAME` for the tag that timm takes when none is given.

    That is one marked with a star or, where an untagged one has weights, that; else the first with weights; else the
    first.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    makers = {node.name: _size(node) or USUAL_IMAGE for node in tree.body if isinstance(node, ast.FunctionDef)}
    sizes: dict[str, int] = {}
    best: dict[str, int] = {}
    for key, made in _entries(tree):
        name, _, tag = key.partition(".")
        maker = made.func.id if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) else ""
        size = _size(made) or makers.get(maker, USUAL_IMAGE)
        rank = 3 if tag.endswith("*") or (not tag and _has_weights(made)) else 2 if _has_weights(made) else 1
        sizes[f"{name}.{tag.strip('*')}"] = size
        if rank > best.get(name, 0):
            best[name], sizes[name] = rank, size
    return sizes


def _entries(tree: ast.Module) -> list[tuple[str, ast.expr]]:
    """Items of the table of configurations in a file: `default_cfgs = {…}`, or a call around it."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "default_cfgs":
            for table in ast.walk(node.value):
                if isinstance(table, ast.Dict):
                    keys = [key.value if isinstance(key, ast.Constant) else None for key in table.keys]
                    found += [(key, made) for key, made in zip(keys, table.values, strict=True) if isinstance(key, str)]
                    break
    return found


def _size(node: ast.AST) -> int | None:
    """The height in `input_size=(C, H, W)` or `'input_size': (C, H, W)`, wherever below a node it stands."""
    for inner in ast.walk(node):
        pairs: list[tuple[object, ast.expr]] = []
        if isinstance(inner, ast.keyword):
            pairs = [(inner.arg, inner.value)]
        elif isinstance(inner, ast.Dict):
            pairs = [
                (key.value, value)
                for key, value in zip(inner.keys, inner.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        for name, value in pairs:
            if name == "input_size" and isinstance(value, ast.Tuple):
                return int(ast.literal_eval(value)[1])
    return None


def _has_weights(made: ast.expr) -> bool:
    """Whether a configuration says where weights are."""
    if not isinstance(made, ast.Call):
        return False
    said = {word.arg: word.value for word in made.keywords}
    if made.args:
        said["url"] = made.args[0]
    return any(
        not (isinstance(value, ast.Constant) and not value.value)
        for value in (said.get(key) for key in ("url", "file", "hf_hub_id"))
        if value is not None
    )
