"""What a test may need of the machine. A marker says so; where it is missing the test is skipped with the reason.

`VITAB_REQUIRE=latex,slurm` names what must be there: then missing is a failure, and CI cannot pass by skipping.
"""

import os
import shutil

import pytest


def _no_program(name: str) -> str | None:
    return None if shutil.which(name) else f"no {name} on this machine"


def _no_slurm() -> str | None:
    from slurm.cluster import installing
    from slurm.cluster.settings import Settings

    missing = installing.lacking(Settings())
    return missing and f"this machine lacks {missing}"


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device on this machine"


MISSING = {
    "latex": lambda: _no_program("pdflatex"),
    "slurm": _no_slurm,
    "gpu": _no_gpu,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = os.environ.get("VITAB_REQUIRE", "").split(",")
    for name, missing in MISSING.items():
        if item.get_closest_marker(name) is None:
            continue
        reason = missing()
        if reason and name in required:
            pytest.fail(f"{reason}, and VITAB_REQUIRE asks for {name}", pytrace=False)
        if reason:
            pytest.skip(reason)
