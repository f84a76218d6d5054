import pytest
import torch
from torch.utils import deterministic

from bench.train.reproducible import reproducible


def _settings():
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": deterministic.fill_uninitialized_memory,
        "benchmark": torch.backends.cudnn.benchmark,
        "TF32 in convolutions": torch.backends.cudnn.allow_tf32,
        "matrix products": torch.get_float32_matmul_precision(),
    }


@pytest.fixture
def fast():
    """What somebody who wants speed has set, in this process, before a trial runs."""
    before = _settings()
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    yield _settings()
    torch.backends.cudnn.benchmark = before["benchmark"]
    torch.backends.cudnn.allow_tf32 = before["TF32 in convolutions"]
    torch.set_float32_matmul_precision(before["matrix products"])


def test_whatever_was_set_before_a_trial_computes_in_whole_float32_and_it_is_set_again_after(fast):
    with reproducible(1, "cpu"):
        inside = _settings()
    assert inside == {
        "threads": 1,
        "deterministic": True,
        "warn only": False,
        "fill": False,
        "benchmark": False,
        "TF32 in convolutions": False,
        "matrix products": "highest",
    }
    assert _settings() == fast


def test_the_settings_come_back_where_a_trial_fails_too(fast):
    with pytest.raises(ZeroDivisionError), reproducible(1, "cpu"):
        raise ZeroDivisionError
    assert _settings() == fast


@pytest.mark.gpu
def test_a_matrix_product_on_a_gpu_is_as_exact_as_float32(fast):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(512, 512, generator=generator, dtype=torch.float64) for _ in range(2))

    def error():
        return float(((left.float().cuda() @ right.float().cuda()).cpu() / (left @ right) - 1).abs().max())

    with reproducible(1, "cuda"):
        assert error() < 1e-5
    assert error() > 1e-5  # TF32 keeps 10 bits of a factor
