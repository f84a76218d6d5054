"""What a cluster needs of the machine, and Debian's packages that give it."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import machine
from bench.errors import UserError
from slurm.cluster.settings import Settings

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "setsid")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")
POLICY = Path("/usr/sbin/policy-rc.d")
OURS = "# vitab, while it installs Slurm; process"
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
    forget_killed()
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
    """Debian starts what it installs, unless this file says no. One that an install before left behind is ours."""
    forget_killed()
    if POLICY.exists():
        yield
        return
    POLICY.write_text(f"#!/bin/sh\n{OURS} {os.getpid()} {machine.start_time(os.getpid())}\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def forget_killed() -> None:
    """Remove what an install that was killed has left: no package's service would ever start here again."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        found = re.search(rf"^{OURS} (\d+) (\d+)$", POLICY.read_text(errors="replace"), re.MULTILINE)
        if found and machine.start_time(int(found[1])) != int(found[2]):
            POLICY.unlink()
