"""Everything that a training needs to go on as if nothing had happened, in one file: whole or absent, safe to load."""

import random
import sys
from pathlib import Path
from typing import Any

from bench import weights
from bench.errors import Invalid

NAME = "checkpoint.pt"
FORMAT = 1


def load(folder: Path) -> dict[str, Any] | None:
    """The checkpoint of a folder, or None where there is none that can be read: the training begins anew then."""
    path = folder / NAME
    try:
        with path.open("rb") as opened:
            state = weights.plain(opened, repr(str(path)))
    except FileNotFoundError:
        return None
    except Invalid as problem:  # a disk's fault: checkpoints are written whole
        sys.stderr.write(f"{problem}; the training begins anew\n")
        return None
    return state if isinstance(state, dict) and state.get("format") == FORMAT else None


def random_state(device: str) -> dict[str, Any]:
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
    if device == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: str) -> None:
    """Put the random generators where `random_state` found them."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if device == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed: int) -> None:
    """Start every random generator from a seed."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
