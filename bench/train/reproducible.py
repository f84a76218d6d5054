"""Torch set up so that one seed gives one result, bit for bit, on one kind of machine with one version of torch."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def reproducible(threads: int, device: str) -> Iterator[None]:
    """As many threads as the trial says (another number adds in another order), deterministic kernels, no TF32.

    On a GPU an operator without a deterministic kernel warns and runs; on a CPU it raises. The settings are put back.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    import torch
    from torch.utils import deterministic

    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )
    try:
        _set((threads, True, device == "cuda", False, False, False, "highest"))
        yield
    finally:
        _set(before)


def _set(settings: tuple[int, bool, bool, bool, bool, bool, str]) -> None:
    import torch
    from torch.utils import deterministic

    threads, always, warn_only, fill, benchmark, tf32, matmul = settings
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(always, warn_only=warn_only)
    deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined] # only finds bugs; 7 % of a small step
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.allow_tf32 = tf32  # convolutions
    torch.set_float32_matmul_precision(matmul)  # matrix products; cuDNN's switch leaves them alone
