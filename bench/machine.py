"""This machine and this process: what every record says about where it was measured, and who holds a lease."""

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "timm", "fvcore", "numpy")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SLURM_SETTINGS = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")


def environment() -> dict[str, Any]:
    """Where a record is measured; what is not known is absent. Found without importing a library.

    Threads are of this moment: each trial sets its own. The rest is found once a process.
    """
    threads = {setting: os.environ[setting] for setting in THREAD_SETTINGS if setting in os.environ}
    return {**_lasting(), **({"threads": threads} if threads else {})}


@cache
def _lasting() -> dict[str, Any]:
    """What stays as it is while a process lives."""
    name = os.uname()
    facts: dict[str, Any] = {
        "host": host(),
        "os": f"{name.sysname} {name.release}",
        "machine": name.machine,
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),  # that this process may use
        "memory_bytes": _memory_bytes(),
        "gpus": list(gpus()),
        "driver": _driver(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "libraries": {library: found for library in LIBRARIES if (found := version(library))},
        "cuda": _cuda(),  # that torch was built for
        "vitab": version("vitab"),
        "commit": _commit(),
        "slurm": {setting: os.environ[setting] for setting in SLURM_SETTINGS if setting in os.environ},
    }
    return {fact: value for fact, value in facts.items() if value not in (None, [], {})}


@cache
def version(library: str) -> str | None:
    """The installed version of a library, from its metadata alone; None: not installed."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver sees, in its order, whatever CUDA_VISIBLE_DEVICES says."""
    return tuple(re.findall(r"^GPU \d+: (.+?) \(UUID", _answer("nvidia-smi", "-L"), flags=re.MULTILINE))


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


@cache
def boot() -> str:
    """Which boot of which kernel, seen from which container: process ids mean something within one of these."""
    identity = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{identity} {Path('/proc/self/ns/pid').readlink()}"


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; with its id it names one process for ever.

    None: there is none, or a zombie, which works no more but stays listed until its parent has asked for it.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name before it may hold spaces and brackets
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _field(path: str, field: str) -> str | None:
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else None


def _memory_bytes() -> int | None:
    total = _field("/proc/meminfo", "MemTotal")  # "24614212 kB"
    return int(total.split()[0]) * 1024 if total else None


def _driver() -> str | None:
    if not gpus():
        return None
    lines = _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split()
    return lines[0] if lines else None


def _cuda() -> str | None:
    if version("torch") is None:
        return None
    stated = Path(str(importlib.metadata.distribution("torch").locate_file("torch/version.py")))
    found = (
        re.search(r"^cuda\b[^=\n]*= *'([\d.]+)'", stated.read_text(), flags=re.MULTILINE) if stated.exists() else None
    )
    return found[1] if found else None


def _commit() -> str | None:
    """The commit that our code was checked out at, "-dirty" where tracked files differ; None: not a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (
        root / ".git"
    ).exists():  # an installed copy, or the copy of a checkout that jobs run and know the commit of
        return os.environ.get("VITAB_COMMIT") or None
    commit = _answer("git", "-C", str(root), "rev-parse", "HEAD").strip()
    changed = _answer("git", "--no-optional-locks", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed.strip() else commit or None


def _answer(*command: str) -> str:
    """What a command prints, or nothing where it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
