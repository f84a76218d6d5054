"""What a cluster needs of the machine, and Debian's packages that give it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UserError
from slurm.cluster.settings import Settings

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "setsid")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")
TOPOLOGY = Path("/sys/devices/system/cpu")


def search_path() -> str:
    """PATH, and the folders of daemons that an ordinary user's PATH leaves out."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def lacking(wanted: Settings) -> str | None:
    """What this machine lacks for such a cluster, as the end of a sentence; None where it lacks nothing."""
    names = (*PROGRAMS, *(ACCOUNTING_PROGRAMS if wanted.accounting else ()))
    if missing := [name for name in names if shutil.which(name, path=search_path()) is None]:
        return f"{', '.join(missing)}: `python -m slurm.cluster install` as root installs what Slurm needs"
    if not TOPOLOGY.is_dir():
        return "/sys, from which slurmd reads the processors: start the container with it"
    return None


def install() -> bool:
    """Install Debian's packages, without starting any of it; whether anything was missing. Raises UserError."""
    if lacking(Settings()) is None:
        return False
    if shutil.which("apt-get") is None:
        raise UserError(f"no apt-get here; on Debian and Ubuntu the packages are: {' '.join(PACKAGES)}")
    if os.geteuid() != 0:
        raise UserError(f"installing needs root: apt-get install --no-install-recommends {' '.join(PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            ran = subprocess.run(
                ["apt-get", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode:
                said = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("E:")]
                raise UserError(f"apt-get {command[0]}: {said[0] if said else f'exit code {ran.returncode}'}")
    return True


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Debian starts what it installs, unless this file says no."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
