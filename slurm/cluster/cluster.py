"""Bringing the cluster up and down, and the accidents that can be had with it."""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import Needs, UserError
from slurm.cluster import configuration, settings
from slurm.cluster.configuration import ACCOUNT, BORROWED, CLUSTER, Places
from slurm.cluster.daemons import Daemon, listening, until
from slurm.cluster.settings import Settings

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster in a folder: what it is like, and where its parts lie."""

    settings: Settings
    places: Places

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to speak with it."""
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        return os.environ | {"SLURM_CONF": str(self.places.slurm_conf), "PATH": path}

    def call(self, *command: str, check: bool = False) -> str:
        """What a command of Slurm says on stdout."""
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and ran.returncode:
            raise UserError(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout

    @property
    def daemons(self) -> list[Daemon]:
        """In the order in which they start."""
        places, port = self.places, self.settings.port
        found = [
            Daemon(
                name="munged",
                program="munged",
                pid_file=places.run / "munged.pid",
                log=places.log / "munged.log",
                start=[
                    "munged",
                    "--force",  # in a folder that only its user may enter, where nobody else has to reach it
                    f"--key-file={places.etc}/munge.key",
                    f"--socket={places.socket}",
                    f"--pid-file={places.run}/munged.pid",
                    f"--log-file={places.log}/munged.log",
                    f"--seed-file={places.spool}/munge.seed",
                ],
                ready=places.socket.exists,
            )
        ]
        if self.settings.accounting:
            found += [
                Daemon(
                    name="mariadbd",
                    program="mariadbd",
                    pid_file=places.run / "mariadb.pid",
                    log=places.log / "mariadb.log",
                    start=["setsid", "--fork", "mariadbd", f"--defaults-file={places.etc}/my.cnf"],
                    ready=lambda: listening(port + 2),
                    stop_s=20,
                ),
                Daemon(
                    name="slurmdbd",
                    program="slurmdbd",
                    pid_file=places.run / "slurmdbd.pid",
                    log=places.log / "slurmdbd.log",
                    start=["slurmdbd"],
                    ready=lambda: listening(port + 1),
                ),
            ]
        return [*found, self.controller, *(self.node(name) for name in configuration.node_names(self.settings))]

    @property
    def controller(self) -> Daemon:
        """slurmctld."""
        places, port = self.places, self.settings.port
        return Daemon(
            name="slurmctld",
            program="slurmctld",
            pid_file=places.run / "slurmctld.pid",
            log=places.log / "slurmctld.log",
            start=["slurmctld", "-f", str(places.slurm_conf)],
            ready=lambda: listening(port),
        )

    def node(self, name: str) -> Daemon:
        """The slurmd of a node. Raises UserError for a node that there is not."""
        names = configuration.node_names(self.settings)
        if name not in names:
            raise UserError(f"no node {name!r}; allowed: {', '.join(names)}")
        port = self.settings.port + 11 + names.index(name)
        return Daemon(
            name=f"slurmd {name}",
            program="slurmd",
            pid_file=self.places.run / f"slurmd.{name}.pid",
            log=self.places.log / f"slurmd.{name}.log",
            start=["slurmd", "-N", name, "-f", str(self.places.slurm_conf)],
            ready=lambda: listening(port),
        )

    def nodes_up(self) -> bool:
        """Whether every node takes jobs: a state with any flag behind it does not."""
        states = self.call("sinfo", "--noheader", "--Node", "--partition=low", "--format=%t").split()
        return len(states) == self.settings.nodes and set(states) <= {"idle", "mix", "alloc"}


def at(folder: Path) -> Cluster:
    """The cluster that was made in a folder. Raises UserError where none was."""
    known = settings.load(folder)
    if known is None:
        raise UserError(f"no cluster in {folder}; `python -m slurm.cluster up` makes one")
    return Cluster(settings=known, places=configuration.places(folder))


def missing_programs(wanted: Settings) -> list[str]:
    """Programs that are not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    names = (*PROGRAMS, *(ACCOUNTING_PROGRAMS if wanted.accounting else ()))
    return [name for name in names if shutil.which(name, path=path) is None]


def install() -> None:
    """Install Slurm from Debian's packages, without starting any of it. Raises UserError unless run as root."""
    if os.geteuid() != 0:
        raise UserError(f"installing needs root: apt-get install --no-install-recommends {' '.join(PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            ran = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise UserError(f"apt-get {command[0]}: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")


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


def up(folder: Path, wanted: Settings) -> Cluster:
    """Make or take up the cluster in a folder; what runs as wanted is left alone. Raises UserError, Needs."""
    if lacking := missing_programs(wanted):
        raise Needs(f"{', '.join(lacking)}: `python -m slurm.cluster install` as root installs them")
    one = Cluster(settings=wanted, places=configuration.places(folder))
    places = one.places
    for path in (places.folder, places.run, places.log, places.etc, places.spool, places.spool / "controller"):
        path.mkdir(parents=True, exist_ok=True)
    before = settings.load(folder)
    if before is not None and before != wanted:
        down(folder)
    settings.save(folder, wanted)
    _write(one)
    for daemon in one.daemons:
        if daemon.name == "mariadbd":
            _make_database(one)
        if daemon.name == "slurmctld" and wanted.accounting:
            _register(one)
        if daemon.up(one.environment):
            _say(f"started {daemon.name}")
    _wake(one)
    return one


def _write(one: Cluster) -> None:
    """The configuration files; keys and passwords once."""
    places = one.places
    places.slurm_conf.write_text(configuration.slurm_conf(one.settings, places))
    (places.etc / "gres.conf").write_text(configuration.gres_conf(one.settings, _devices(one)))
    _private(places.etc / "munge.key", secrets.token_bytes(128), keep=True)
    if one.settings.accounting:
        password = _private(places.etc / "password", secrets.token_hex(16).encode(), keep=True).decode()
        _private(places.etc / "slurmdbd.conf", configuration.slurmdbd_conf(one.settings, places, password).encode())
        _private(places.etc / "init.sql", configuration.init_sql(password).encode())
        _private(places.etc / "my.cnf", configuration.mariadb_cnf(one.settings, places).encode())


def _private(path: Path, data: bytes, *, keep: bool = False) -> bytes:
    """A file that only its owner reads; what it holds now."""
    if keep and path.exists():
        return path.read_bytes()
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(data)
    return data


def _devices(one: Cluster) -> list[str]:
    """Character devices that stand for GPUs: our own as root, borrowed ones otherwise."""
    found = []
    for number in range(one.settings.gpus):
        own = one.places.spool / f"gpu{number}"
        if not own.exists():
            with contextlib.suppress(OSError):
                os.mknod(own, 0o666 | 0o020000, os.makedev(1, 3))
        found.append(str(own) if own.is_char_device() else BORROWED[number])
    return found


def _make_database(one: Cluster) -> None:
    places = one.places
    if (places.database / "mysql").is_dir():
        return
    one.call(
        "mariadb-install-db",
        f"--defaults-file={places.etc}/my.cnf",
        f"--datadir={places.database}",
        f"--user={getpass.getuser()}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        check=True,
    )
    _say("made the database")


def _register(one: Cluster) -> None:
    """The cluster, an account, and the calling user in it, with the limit of jobs."""
    user, most = getpass.getuser(), one.settings.max_submitted
    known = one.call("sacctmgr", "--noheader", "--parsable2", "show", "associations", "format=user,maxsubmitjobs")
    if f"{user}|{'' if most is None else most}" in known.splitlines():
        return
    for command in (
        ["add", "cluster", CLUSTER],
        ["add", "account", ACCOUNT],
        ["add", "user", user, f"account={ACCOUNT}"],
        ["add", "qos", "scavenge"],
        ["modify", "user", user, "set", "qos+=scavenge"],
        ["modify", "user", user, "set", f"maxsubmitjobs={-1 if most is None else most}"],
    ):
        one.call("sacctmgr", "--immediate", *command)
    _say(f"registered cluster {CLUSTER}, account {ACCOUNT}, user {user}")


def _wake(one: Cluster) -> None:
    """Wait until every node takes jobs; one that was given up earlier is taken back."""
    for line in one.call("sinfo", "--noheader", "--Node", "--partition=low", "--format=%N %t").splitlines():
        name, state = line.split()
        if state.startswith(("down", "drain")):
            one.call("scontrol", "update", f"nodename={name}", "state=resume")
    if not until(20, one.nodes_up):
        states = one.call("sinfo", "--noheader", "--Node", "--partition=low", "--format=%N %t").replace("\n", ", ")
        raise UserError(f"nodes are not up: {states.strip(', ')} (logs: {one.places.log})")


def down(folder: Path) -> None:
    """End every job and daemon; nothing of the cluster is left running."""
    one = at(folder)
    if os.environ.get("SLURM_JOB_ID"):
        raise UserError("a job cannot take down the cluster that it runs on")
    cancel_all(one)
    for daemon in [daemon for daemon in one.daemons if daemon.program == "slurmd"]:
        daemon.down()
    for pid in _left_behind(one):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for daemon in reversed([daemon for daemon in one.daemons if daemon.program != "slurmd"]):
        if daemon.down():
            _say(f"stopped {daemon.name}")


def cancel_all(one: Cluster) -> None:
    """End every job, and wait until their processes are gone where their nodes live."""
    if one.controller.pid is None:
        return
    jobs = one.call("squeue", "--noheader", "--format=%A").split()
    if jobs:
        one.call("scancel", "--full", *dict.fromkeys(jobs))
        until(8, lambda: not one.call("squeue", "--noheader", "--states=R,CG,S").strip())


def _left_behind(one: Cluster) -> list[int]:
    """Processes of jobs that outlived their node: a lost node's, and children that left their session."""
    mine = f"SLURM_CONF={one.places.slurm_conf}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
            if mine in variables and (in_job or (entry / "comm").read_text().strip() == "slurmstepd"):
                found.append(int(entry.name))
    return found


def purge(folder: Path) -> None:
    """Take it down and remove its folder."""
    down(folder)
    shutil.rmtree(at(folder).places.folder)


def status(one: Cluster) -> list[tuple[str, str]]:
    """Every daemon with its pid or `down`, and every node with its state."""
    lines = [(daemon.name, "down" if daemon.pid is None else f"pid {daemon.pid}") for daemon in one.daemons]
    if one.controller.pid is not None:
        for line in one.call(
            "sinfo", "--noheader", "--Node", "--partition=low", "--format=%N %t %c %m %G"
        ).splitlines():
            name, state, cpus, memory, gpus = line.split()
            lines.append((name, f"{state} · {cpus} cores · {memory} MB · {gpus}"))
    return lines


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
