"""The environment of Slurm's programs: the user's own, less what would speak against what they are told.

sbatch believes variables before the lines of its script ("Input environment variables" of its page), and squeue,
sacct, sinfo and scancel take filters from some: a shell with `SQUEUE_PARTITION` would see no job of another one.
"""

import contextlib
import os
from collections.abc import Iterator

from slurm.request import Request

FILTERS = ("SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_")
CLUSTERS = "_CLUSTERS"
"""The end of names that say which cluster is spoken to, where a site has several."""

OF_A_JOB = ("SLURM_", "SLURMD_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
OF_THE_SITE = ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS")

ALWAYS_SAID = {
    f"SBATCH_{name}"
    for name in ("ARRAY_INX", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "REQUEUE", "SIGNAL", "WAIT", "CPUS_PER_GPU")
}
"""What every script of ours says itself, or must not be."""

SAID = {
    "partition": ("PARTITION",),
    "account": ("ACCOUNT",),
    "qos": ("QOS",),
    "constraint": ("CONSTRAINT",),
    "timeout_min": ("TIMELIMIT",),
    "memory_gb": ("MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU"),
    "gpus": ("GPUS", "GPUS_PER_NODE", "GPUS_PER_TASK", "GRES"),
}
"""Variables of sbatch by the resource that they would overrule; what a request leaves open they may say."""


def of_questions() -> dict[str, str]:
    """For programs that are asked about jobs: no filters, and lists of indices whole, not cut at 64 letters."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(FILTERS) or name.endswith(CLUSTERS)
    }
    return ours | {"SLURM_BITSTR_LEN": "0"}


@contextlib.contextmanager
def of_sending(request: Request) -> Iterator[None]:
    """For sbatch: what a request says is not overruled, and a job that sends jobs does not give them its settings."""
    overruling = ALWAYS_SAID | {
        f"SBATCH_{name}" for resource, names in SAID.items() if getattr(request, resource) for name in names
    }
    inside = "SLURM_JOB_ID" in os.environ
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in overruling or (inside and name.startswith(OF_A_JOB) and name not in OF_THE_SITE)
    }
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)
