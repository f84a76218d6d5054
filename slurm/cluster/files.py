"""What lies in a cluster's folder before its daemons start: configuration, keys, devices and an empty database."""

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UserError
from slurm.cluster import configuration
from slurm.cluster.configuration import BORROWED, Places
from slurm.cluster.settings import Settings

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (sun_path of unix(7), less the zero at its end)."""

UNWRITABLE = set(" \t\n\"'\\#,%=()[]")
"""Characters that mean something in slurm.conf, so that no path in it can hold them."""


def check(places: Places) -> None:
    """Whether a cluster can lie there. Raises UserError."""
    folder = str(places.folder)
    if held := sorted(set(folder) & UNWRITABLE):
        raise UserError(f"--folder {folder!r}: slurm.conf cannot name a folder with {held[0]!r}")
    longest = len(os.fsencode(places.run / "mariadb.socket"))
    if longest > LONGEST_SOCKET:
        most = LONGEST_SOCKET - longest + len(os.fsencode(folder))
        raise UserError(f"--folder {folder!r}: too long for the sockets in it; allowed: {most} bytes")
    if places.folder.exists() and places.folder.stat().st_uid != os.geteuid():
        raise UserError(f"--folder {folder!r} belongs to another user")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One call at a time changes the cluster in a folder; the others wait. Raises UserError where it went meanwhile."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as problem:
        raise UserError(f"{folder} was purged meanwhile") from problem
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.exists() or not os.path.samestat(os.fstat(held), folder.stat()):
            raise UserError(f"{folder} was purged meanwhile")
        yield
    finally:
        os.close(held)


def make(settings: Settings, places: Places) -> None:
    """Folders, keys and devices; what is there stays."""
    places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (places.run, places.log, places.etc, places.spool, places.spool / "controller"):
        path.mkdir(exist_ok=True)
    _secret(places.etc / "munge.key", secrets.token_bytes(128))
    _secret(places.etc / "password", secrets.token_hex(16).encode())
    for number in range(settings.gpus):
        own = _own_device(places, number)
        if not own.exists():
            with contextlib.suppress(PermissionError):
                os.mknod(own, 0o666 | 0o020000, os.makedev(1, 3))


def configured(settings: Settings, places: Places) -> dict[Path, str]:
    """Every configuration file, as it has to be."""
    files = {
        places.slurm_conf: configuration.slurm_conf(settings, places),
        places.etc / "gres.conf": configuration.gres_conf(settings, _devices(settings, places)),
    }
    if settings.accounting:
        password = (places.etc / "password").read_text()
        files |= {
            places.etc / "slurmdbd.conf": configuration.slurmdbd_conf(settings, places, password),
            places.etc / "init.sql": configuration.init_sql(password),
            places.etc / "my.cnf": configuration.mariadb_cnf(settings, places),
        }
    return files


def differ(files: dict[Path, str]) -> bool:
    """Whether a file that is there says something else."""
    return any(path.exists() and path.read_text() != text for path, text in files.items())


def write(files: dict[Path, str]) -> None:
    """Files that only their owner reads: passwords are among them."""
    for path, text in files.items():
        path.touch(mode=0o600)
        path.write_text(text)


def make_database(settings: Settings, places: Places, environment: dict[str, str]) -> bool:
    """An empty database, whole or not at all; whether it was made. Only this user is its root, by the socket."""
    if not settings.accounting or places.database.exists():
        return False
    beside = places.folder / "database.new"
    shutil.rmtree(beside, ignore_errors=True)  # of a call that was cut off
    command = [
        "mariadb-install-db",
        f"--defaults-file={places.etc}/my.cnf",
        f"--datadir={beside}",
        f"--user={configuration.user()}",
        f"--auth-root-socket-user={configuration.user()}",
        "--skip-test-db",
        "--skip-name-resolve",
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UserError(f"mariadb-install-db: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")
    beside.rename(places.database)
    return True


def _secret(path: Path, data: bytes) -> None:
    if not path.exists():
        beside = path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_bytes(data)
        beside.rename(path)


def _own_device(places: Places, number: int) -> Path:
    return places.spool / f"gpu{number}"


def _devices(settings: Settings, places: Places) -> list[str]:
    """Character devices that stand for GPUs: our own as root, borrowed ones otherwise."""
    own = [_own_device(places, number) for number in range(settings.gpus)]
    return [str(device) if device.is_char_device() else BORROWED[number] for number, device in enumerate(own)]
