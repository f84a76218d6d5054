"""Architectures by name: ours by file (`vit`), libraries' by prefix (`timm:NAME`, `torchvision:NAME`, …).

The interface of a file in this folder; everything at module level is torch-free:

    VERSION: int                          a change of what `build` yields is a new version
    class Knobs(Frozen)                   every argument with its default (the owner of a default states it);
                                          a library's file has none: arguments stay as given
    def check(knobs, input) -> None       raises Invalid, one line, for what cannot be built
    def notes(knobs, input) -> list[str]  what will be built otherwise than the reader may think (optional)
    RULES: dict[str, Formula]             what operators of its own cost (optional; `bench/multiply_adds.py`)
    TASK: str                             what it is for (optional: "classify")
    def build(knobs, input, *, dropout, drop_path) -> nn.Module      maps (B, C, H, W) to logits (B, classes)

One that segments maps images to logits (B, classes, H, W). One that detects maps them to whatever its own methods take:

    def loss(said, boxes) -> Tensor                       of a batch, with boxes (B, M, 5): `bench.data.Dense`
    def silence() -> float                                the loss of a model that finds nothing
    def detections(said, size) -> list[Tensor]            of each image (n, 6): x0, y0, x1, y1, score, class

One that eats sequences and no images has besides:

    INPUT: dict[str, int]                 with `tokens`, and whatever else of the input nobody says otherwise
    def example(knobs, input) -> tuple[Tensor, ...]     what its module is called with, B = 1

A library's file has instead: `names() -> tuple[str, ...]` (torch-free, without importing the library) and
`default_image(name) -> int`, which raise Needs where the library is not installed,
`build(name, arguments, input, *, dropout, drop_path)`, `SAID_ELSEWHERE`, the library's arguments that a trial states
in fields of its own, and, where there is something to note, `notes(name, arguments, input) -> list[str]`.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from bench import registry
from bench.errors import Invalid, Needs, UserError, unknown
from bench.trial import Input, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

LIBRARIES = ("timm", "torchvision", "transformers")
"""Files here whose models go by a prefix, in the order in which a bare name is looked for: keys depend on it."""


def canonical_name(name: str) -> str:
    """`vit` stays, `swin_tiny_patch4_window7_224` becomes `timm:…`; an unknown name is one line with the nearest.

    Ours come first, then timm's, torchvision's and transformers'. What a library that is not installed here would say
    of a name with its prefix is left to the machine that measures: tables are planned and printed without it. A bare
    name needs it, or the same name could be another library's here.
    """
    library, colon, rest = name.partition(":")
    if colon:
        if library not in LIBRARIES:
            raise UserError(unknown("model library", library, LIBRARIES))
        theirs = installed_names(library)
        if theirs is not None and rest.split(".")[0] not in theirs:
            raise UserError(unknown(f"{library} model", rest, theirs))
        return name
    if name in our_names():
        return name
    bare, known = name.split(".")[0], list(our_names())
    for library in LIBRARIES:
        theirs = installed_names(library)
        if theirs is None:
            raise Needs(f"the Python package {library!r} to know the model {name!r}, or its library: {library}:{name}")
        if bare in theirs:
            return f"{library}:{name}"
        known += theirs
    raise UserError(unknown("model", name, known))


def installed_names(library: str) -> tuple[str, ...] | None:
    """What a library has, by its own names; None where it is not installed."""
    try:
        names: tuple[str, ...] = registry.load("models", library).names()
    except Needs:
        return None
    return names


def our_names() -> tuple[str, ...]:
    """Models that a file here (or another package) states, libraries apart."""
    return tuple(name for name in registry.names("models") if name not in LIBRARIES)


def resolve(name: str, knobs: dict[str, Any]) -> Model:
    """A model with its knobs checked against its own schema, defaults filled in. Raises UserError."""
    name = canonical_name(name)
    library = name.partition(":")[0] if ":" in name else None
    module = registry.load("models", library or name)
    if library is not None:
        empty = [knob for knob, value in knobs.items() if value is None]
        if empty:  # timm drops arguments that are None without a word: the key would name what was not built
            raise UserError(f"{name}: argument {empty[0]!r} is null; leave it out to take the library's default")
        _refuse_said_elsewhere(name, knobs)
        return Model(name=name, version=module.VERSION, knobs=dict(knobs))
    for knob in knobs:
        if knob not in module.Knobs.__struct_fields__:
            raise UserError(unknown("field", f"model.{knob}", (f"model.{f}" for f in module.Knobs.__struct_fields__)))
    try:
        filled = msgspec.convert(knobs, module.Knobs, strict=True)
    except msgspec.ValidationError as problem:
        raise UserError(f"model {name}: {problem}") from problem
    return Model(name=name, version=module.VERSION, knobs=msgspec.to_builtins(filled))


def _refuse_said_elsewhere(name: str, arguments: Iterable[str]) -> None:
    """Refuse an argument that would decide, past the keys, what another field of the trial says. Raises Invalid."""
    fields: dict[str, str] = registry.load("models", name.partition(":")[0]).SAID_ELSEWHERE
    for argument in arguments:
        if argument in fields:
            raise Invalid(f"model.{argument} is no knob of {name}; {fields[argument]}")


def task(name: str) -> str:
    """What a model is for: libraries' are classifiers here."""
    stated: str = "classify" if ":" in name else getattr(registry.load("models", name), "TASK", "classify")
    return stated


def usual_input(name: str) -> dict[str, int]:
    """What of its input a model states itself: nothing, where it eats images."""
    if ":" in name:
        return {}
    stated: dict[str, int] = getattr(registry.load("models", name), "INPUT", {})
    return stated


def check(model: Model, input_: Input) -> list[str]:
    """Apply a model's rules (raises Invalid) and return its notes: what is built otherwise than it reads."""
    _check_eaten(model.name, input_)
    library, colon, rest = model.name.partition(":")
    module = registry.load("models", library)
    notes = getattr(module, "notes", None)
    if colon:
        return list(notes(rest, model.knobs, input_)) if notes else []
    knobs = msgspec.convert(model.knobs, module.Knobs)
    module.check(knobs, input_)
    return list(notes(knobs, input_)) if notes else []


def _check_eaten(name: str, input_: Input) -> None:
    """Raise Invalid for images where a model eats sequences, and for sequences where it eats images."""
    sequences = "tokens" in usual_input(name)
    for field, wanted in (("image", not sequences), ("tokens", sequences)):
        if (getattr(input_, field) is not None) != wanted:
            said = f"say `model.{field}`" if wanted else f"leave `model.{field}` out"
            raise Invalid(f"{name} eats {'sequences of tokens' if sequences else 'images'}: {said}")


def divisors(number: int) -> str:
    """What divides a number, as an error lists it. Found in pairs: no number that fits in a trial takes long."""
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return ", ".join(map(str, sorted({*small, *(number // one for one in small)})))


WANTS_VALUES = ("meta tensor", "not on the expected device meta")


def wants_values(problem: Exception) -> bool:
    """Whether something asked for the values of meta tensors, which have none. Torch says so in more than one way."""
    return isinstance(problem, NotImplementedError) or any(said in str(problem) for said in WANTS_VALUES)


def example(model: Model, input_: Input) -> "tuple[Tensor, ...]":
    """What a module is called with, one of each: an image or sequences of zeros, on the current default device."""
    import torch

    if "tokens" in usual_input(model.name):
        module = registry.load("models", model.name)
        sequences: tuple[Tensor, ...] = module.example(msgspec.convert(model.knobs, module.Knobs), input_)
        return sequences
    return (torch.zeros(1, input_.channels, input_.side, input_.side),)


def build(model: Model, input_: Input, *, dropout: float = 0.0, drop_path: float = 0.0) -> "nn.Module":
    """The module, on the current default device (use `with torch.device("meta")` for shapes alone).

    Raises Invalid when the library refuses its arguments, or we do.
    """
    _check_eaten(model.name, input_)
    library, colon, rest = model.name.partition(":")
    if colon:
        module = registry.load("models", library)
        _refuse_said_elsewhere(model.name, model.knobs)  # a trial may come from elsewhere than a spec
        try:
            built: nn.Module = module.build(rest, model.knobs, input_, dropout=dropout, drop_path=drop_path)
        except TypeError as problem:
            raise Invalid(f"{model.name}: {str(problem).splitlines()[0]}") from problem
        return built
    module = registry.load("models", model.name)
    knobs = msgspec.convert(model.knobs, module.Knobs)
    module.check(knobs, input_)
    ours: nn.Module = module.build(knobs, input_, dropout=dropout, drop_path=drop_path)
    return ours
