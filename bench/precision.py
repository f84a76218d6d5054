"""Lower precision by torch's autocast: products and convolutions in 16 bits, weights, norms and losses in 32.

fp32 changes nothing. bf16 has the range of fp32 and runs everywhere; fp16 has a small range, so that its gradients must
be scaled (`bench/train/loop.py`), and runs on GPUs.
"""

import contextlib
from contextlib import AbstractContextManager

from bench.errors import Invalid


def autocast(precision: str, device: str) -> AbstractContextManager[None]:
    """What a model computes inside is in that precision, on a device of that type. Raises Invalid for fp16 on a CPU."""
    if precision == "fp32":
        return contextlib.nullcontext()
    import torch

    if precision == "fp16" and device != "cuda":
        raise Invalid("precision fp16 needs a GPU; bf16 runs on a CPU too")
    return torch.autocast(device, torch.float16 if precision == "fp16" else torch.bfloat16)
