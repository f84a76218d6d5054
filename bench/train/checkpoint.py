"""Everything that a training needs to go on as if nothing had happened, in one file: whole or absent, safe to load."""

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "checkpoint.pt"
FORMAT = 1


def load(folder: Path) -> dict[str, Any] | None:
    """The checkpoint of a folder, or None where there is none that this version reads."""
    import torch

    try:
        state: dict[str, Any] = torch.load(folder / NAME, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    return state if state.get("format") == FORMAT else None


def random_state(device: "torch.device") -> dict[str, Any]:
    """Where the random generators stand, in lists of numbers: what is no tensor must be plain to be loaded safely."""
    import numpy as np
    import torch

    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "torch": torch.get_rng_state(),
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: "torch.device") -> None:
    """Put the random generators where `random_state` found them."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def seed_everything(seed: int) -> None:
    """Start every random generator from a seed."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
