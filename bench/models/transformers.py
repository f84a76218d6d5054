"""transformers: models of images that only transformers has, by the names of its classes, for counting.

`transformers:PvtForImageClassification` with the arguments of its configuration; built from that alone, so nothing is
downloaded. What a model reads besides an image (a sentence, further frames, a palette) is made up, and it is not
trained here. Only classes of which that is stated below are known.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import Invalid, Needs, unknown
from bench.trial import Input

if TYPE_CHECKING:
    from torch import nn

VERSION = 1

SAID_ELSEWHERE = {
    "image_size": "say `model.image`",
    "num_channels": "say `model.channels`",
    "num_labels": "say `model.classes`",
    "id2label": "say `model.classes`",
    "dtype": "say `precision`",
}
"""Arguments that would make a table say one thing and the model be another, and where they are said instead."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A class of transformers': its configuration's, and what it is called with."""

    configuration: str
    image: int = 224  # pixels a side that its authors give it
    part: str | None = None  # of the configuration, that has the size of the image
    reads: str = "pixel_values"
    answers: str = "logits"
    text: int = 0  # entries of a sentence


PERCEIVER = Entry(configuration="PerceiverConfig", reads="inputs")

ENTRIES = {
    "CLIPModel": Entry(configuration="CLIPConfig", part="vision_config", answers="logits_per_image", text=77),
    "ImageGPTForImageClassification": Entry(configuration="ImageGPTConfig", image=32, reads="input_ids"),
    "OwlViTForObjectDetection": Entry(configuration="OwlViTConfig", image=768, part="vision_config", text=16),
    "PerceiverForImageClassificationConvProcessing": PERCEIVER,
    "PerceiverForImageClassificationFourier": PERCEIVER,
    "PerceiverForImageClassificationLearned": PERCEIVER,
    "PvtForImageClassification": Entry(configuration="PvtConfig"),
    "TimesformerForVideoClassification": Entry(configuration="TimesformerConfig"),
}


def names() -> tuple[str, ...]:
    """Every class that is known here, sorted."""
    return tuple(sorted(ENTRIES))


def default_image(name: str) -> int:
    """Pixels a side that its authors give a model."""
    return ENTRIES[name].image


def build(name: str, arguments: dict[str, Any], input: Input, *, dropout: float, drop_path: float) -> "nn.Module":
    """The module for such images. Raises Needs without the library, Invalid for what a configuration does not take."""
    if input.classes == 0:
        raise Invalid(f"transformers:{name} has a head: classes must be at least 1")
    if dropout or drop_path:
        raise Invalid(f"transformers:{name} is counted here and not trained: no dropout and no stochastic depth")
    entry, library = ENTRIES[name], _library()
    configure = getattr(library, entry.configuration)
    default = configure()
    given = _sized(name, arguments, input, default)
    _check_known(name, given, default)
    try:
        configuration = configure(**given)
        model = getattr(library, name)(configuration)
    except (AssertionError, ValueError) as problem:
        raise Invalid(f"transformers:{name} at {input.side}: {str(problem).splitlines()[0]}") from problem

    from bench.layers.completed import Completed

    return Completed(
        model,
        reads=entry.reads,
        answers=entry.answers,
        frames=getattr(configuration, "num_frames", 0),
        text=entry.text,
        colours=entry.reads == "input_ids",
    )


def _library() -> Any:
    """The package, which is imported by name: type checkers would read all of it. Raises Needs."""
    if importlib.util.find_spec("transformers") is None:
        raise Needs("the Python package 'transformers', not installed here: pip install 'vitab[transformers]'")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it advises on every configuration that is not published
    return importlib.import_module("transformers")


def _sized(name: str, arguments: dict[str, Any], input: Input, default: Any) -> dict[str, Any]:
    """The arguments of a configuration with the input's size, channels and classes in their places."""
    entry = ENTRIES[name]
    if entry.reads == "input_ids":
        return {"n_positions": input.side**2, "num_labels": input.classes, **arguments}
    size = {"image_size": input.side}
    if hasattr(default if entry.part is None else getattr(default, entry.part), "num_channels"):
        size["num_channels"] = input.channels
    elif input.channels != 3:
        raise Invalid(f"transformers:{name} takes images of 3 channels, not {input.channels}")
    if entry.part is None:
        return {**size, "num_labels": input.classes, **arguments}
    return {**arguments, entry.part: {**size, **arguments.get(entry.part, {})}}


def _check_known(name: str, given: dict[str, Any], default: Any) -> None:
    """Raise Invalid for an argument that a configuration has no field of: it would keep it and build another model."""
    for argument, value in given.items():
        if not hasattr(default, argument):
            raise Invalid(f"transformers:{name}: {unknown('argument', argument, _fields(default))}")
        if isinstance(value, dict) and hasattr(getattr(default, argument), "to_dict"):
            _check_known(name, value, getattr(default, argument))


def _fields(configuration: Any) -> Iterable[str]:
    return (name for name in configuration.to_dict() if not name.startswith("_"))
