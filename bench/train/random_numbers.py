"""Random numbers that depend on names alone: whoever draws them, wherever, in whatever order, draws the same."""

import contextlib
import random
from collections.abc import Iterator

from bench.images import stable_hash


@contextlib.contextmanager
def drawn_by(name: str) -> Iterator[None]:
    """Python's, NumPy's and torch's generators (on the CPU) begin as `name` says, and are put back afterwards."""
    import numpy as np
    import torch

    seed = int.from_bytes(stable_hash(name)[:8], "big") >> 1  # torch's seeds are signed
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would move a GPU's generator too
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)
