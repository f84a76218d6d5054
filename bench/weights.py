"""Weights: what a training left in the store, a checkpoint file, or what a library publishes; loaded, never executed.

store/weights/KEY/trial.json            the trial that made them
                 /weights.safetensors   the state dict
                 /done.json             `Done`, written last: they are complete
"""

import hashlib
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from bench import data
from bench.data import Normalization
from bench.errors import Invalid, Needs
from bench.trial import Frozen, Source, Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
TRIAL, WEIGHTS, DONE = "trial.json", "weights.safetensors", "done.json"

WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict")
"""Names under which other people's checkpoints keep the state dict, in the order they are tried."""

PARALLEL = "module."  # what DataParallel writes before every name


class Done(Frozen):
    """What a complete training says of itself. Nothing here depends on the machine but `seconds`."""

    version: int  # of bench.train
    weights: str  # sha256 of the weights file
    architecture: str  # `architecture` of the state dict
    data: str  # fingerprint of the training images
    steps: int
    seconds: float  # of training, over all attempts
    attention: list[dict[str, Any]]  # of one step: bench.attention.observing
    train_loss: float  # mean over the last epoch
    selection_top1: float | None = None  # %, after the last epoch
    sources: dict[str, str] = {}  # "start", "teacher" → sha256 of the weights that were read
    dropped: tuple[str, ...] = ()  # of the weights it started from: what did not fit and was drawn anew
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A state dict, and what is known about it."""

    state: "dict[str, Tensor]"
    sha256: str
    trial: Trial | None = None  # the trial that trained it, where it is ours
    normalized: Normalization | None = None  # of the pixels that it was trained on, where that is known

    def check_pixels(self, given: Normalization | None) -> None:
        """Raise Invalid for pixels that these weights were not made for: the figure would be wrong without a sign."""
        if self.normalized is None or given is None or given == self.normalized:
            return
        wanted, other = (
            f"mean {', '.join(f'{value:g}' for value in mean)} and deviation {', '.join(f'{value:g}' for value in std)}"
            for mean, std in (self.normalized, given)
        )
        made = "published for" if self.trial is None else "trained on"
        raise Invalid(f"these weights were {made} pixels normalised by {wanted}; data.normalize gives {other}")


def done(folder: Path) -> Done | None:
    """What complete weights say of themselves; None where a part of them is missing or says nothing."""
    try:
        said = msgspec.json.decode((folder / DONE).read_bytes(), type=Done)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    return said if (folder / WEIGHTS).exists() else None


def load(source: Source, store: Path) -> Loaded:
    """Weights by where they come from. Raises Needs where they are not to be had, Invalid where they are none."""
    if source.kind == "trial":
        return trained(store / "weights" / source.ref)
    if source.kind == "file":
        return file(Path(source.ref))
    from bench import published

    return published.load(source.ref)


def trained(folder: Path) -> Loaded:
    """Complete weights of a folder of the store."""
    said = done(folder)
    if said is None:
        raise Needs(f"weights {folder.name} are not in the store")
    loaded = file(folder / WEIGHTS)
    if loaded.sha256 != said.weights:
        here, wanted = loaded.sha256[:12], said.weights[:12]
        raise Needs(f"weights {folder.name} as they were trained: {wanted}, not {here}; remove {folder} to train again")
    trial = msgspec.json.decode((folder / TRIAL).read_bytes(), type=Trial)
    pixels = None if trial.data is None else data.normalized(trial.data)
    return Loaded(state=loaded.state, sha256=loaded.sha256, trial=trial, normalized=pixels)


def file(path: Path) -> Loaded:
    """A state dict from a .safetensors file, or from what torch.save wrote, at its top or under one of WRAPPERS."""
    import safetensors
    import safetensors.torch
    import torch

    where = repr(str(path))
    try:
        with path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            opened.seek(0)
            if path.suffix == ".safetensors":
                state: Any = safetensors.torch.load(opened.read())
            else:
                state = plain(opened, where)
    except OSError as problem:
        raise Needs(f"weights {where}: {(problem.strerror or str(problem)).lower()}") from problem
    except safetensors.SafetensorError as problem:
        raise Invalid(f"{where} cannot be read: {str(problem).splitlines()[0]}") from problem
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Invalid(f"{where} holds no state dict; looked for one at the top and in {', '.join(WRAPPERS)}")
    if all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): value for name, value in state.items()}
    return Loaded(state=state, sha256=sha256)


def plain(opened: BinaryIO, where: str) -> Any:
    """What torch.save wrote, in tensors and plain data; nothing in the file is executed. Raises Invalid.

    Argparse's bag of values is plain too: MAE, DINO and DeiT keep their arguments in one beside the weights.
    """
    import argparse

    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # of what is refused anyway
            return torch.load(opened, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as problem:
        held = re.search(r"GLOBAL ([\w.]+)", str(problem))
        unreadable = f"restoring the {held[1]} in it would run code" if held else "damaged, or not by torch.save"
        raise Invalid(f"{where} cannot be read: {unreadable}") from problem


def serialized(state: "dict[str, Tensor]") -> bytes:
    """A state dict as the bytes of a safetensors file: equal weights, equal bytes."""
    import safetensors.torch

    return safetensors.torch.save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()})


def architecture(state: "dict[str, Tensor]") -> str:
    """A digest of names, shapes and types: what a model is whatever its values are."""
    lines = [f"{name} {tuple(value.shape)} {value.dtype}\n" for name, value in sorted(state.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fit(model: "nn.Module", state: "dict[str, Tensor]", *, keep_head: bool) -> tuple[str, ...]:
    """Load weights into a model, learned positions resampled where the image size differs. Raises Invalid.

    Unless the head must be kept, one for other classes is left behind: its names are returned.
    """
    adapted = _adapted(model, state)
    own = model.state_dict()
    different = [name for name in own if name in adapted and own[name].shape != adapted[name].shape]
    dropped = () if keep_head else tuple(name for name in different if name.startswith(heads(model)))
    missing = [name for name in own if name not in adapted]
    for reason, names in (
        ("have another shape", [name for name in different if name not in dropped]),
        ("are missing", missing),
        ("are unknown", [name for name in adapted if name not in own]),
    ):
        if names:
            raise Invalid(f"these weights do not fit the model: {len(names)} {reason}, first {names[0]!r}")
    model.load_state_dict({name: value for name, value in adapted.items() if name not in dropped}, strict=False)
    return dropped


def _adapted(model: "nn.Module", state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """A state dict for another image size: our models know how, and so do the files of timm's."""
    if {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }:
        return state
    ours: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = getattr(model, "adapt", None)
    if ours is not None:
        return ours(state)
    module = sys.modules[type(model).__module__]
    adapt = getattr(module, "checkpoint_filter_fn", None)
    return dict(adapt(state, model)) if adapt and module.__name__.startswith("timm.") else dict(state)


def heads(model: "nn.Module") -> tuple[str, ...]:
    """Beginnings of the names of the classifier's weights."""
    named = getattr(model, "CLASSIFIER", None) or getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))
