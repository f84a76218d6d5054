"""Bringing the cluster up and down, and the accidents that can be had with it."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.errors import Needs, UserError
from slurm.cluster import configuration, files, installing, settings
from slurm.cluster.configuration import ACCOUNT, CLUSTER, Places
from slurm.cluster.daemons import Daemon, command_of, environment_of, until
from slurm.cluster.settings import Settings

TAKES_JOBS = {"idle", "mix", "alloc", "plnd"}
"""States of a node that is up; a flag behind the state says that it is not, but for the backfill scheduler's plans."""

WAKE_S = 60.0
"""Longest wait for the nodes to be up on a slow machine."""

CANCEL_S = 8.0
"""Longest wait for cancelled jobs: more than KillWait, and no reason to wait for a node that is lost."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster in a folder: what it is like, and where its parts lie."""

    settings: Settings
    places: Places

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to speak with it; nothing of a job of another Slurm around us."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return clean | {"SLURM_CONF": str(self.places.slurm_conf), "PATH": installing.search_path()}

    def call(self, *command: str, check: bool = False) -> str:
        """What a command of Slurm says on stdout."""
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and ran.returncode:
            raise UserError(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout

    @property
    def daemons(self) -> list[Daemon]:
        """In the order in which they start."""
        nodes = [self.node(name) for name in configuration.node_names(self.settings)]
        return [self._munged, *(self._accounting if self.settings.accounting else ()), self.controller, *nodes]

    @property
    def _munged(self) -> Daemon:
        places = self.places
        command = [
            "munged",
            "--force",  # in a folder that only its user may enter, where nobody else has to reach it
            f"--key-file={places.etc}/munge.key",
            f"--socket={places.socket}",
            f"--pid-file={places.run}/munged.pid",
            f"--log-file={places.log}/munged.log",
            f"--seed-file={places.spool}/munge.seed",
        ]
        return self._daemon("munged", command, listens=places.socket)

    @property
    def _accounting(self) -> list[Daemon]:
        port, defaults = self.settings.port, f"--defaults-file={self.places.etc}/my.cnf"
        database = self._daemon("mariadbd", ["setsid", "--fork", "mariadbd", defaults], listens=port + 2, stop_s=30)
        return [database, self._daemon("slurmdbd", ["slurmdbd"], listens=port + 1)]

    @property
    def controller(self) -> Daemon:
        """slurmctld."""
        return self._daemon("slurmctld", ["slurmctld"], listens=self.settings.port)

    def node(self, name: str) -> Daemon:
        """The slurmd of a node. Raises UserError for a node that there is not."""
        names = configuration.node_names(self.settings)
        if name not in names:
            raise UserError(f"no node {name!r}; allowed: {', '.join(names)}")
        port = configuration.node_port(self.settings, names.index(name))
        return self._daemon("slurmd", ["slurmd", "-N", name], listens=port, node=name)

    def _daemon(
        self, program: str, start: list[str], *, listens: int | Path, node: str = "", stop_s: float = 10
    ) -> Daemon:
        file = f"{program}.{node}" if node else program
        return Daemon(
            name=f"{program} {node}".strip(),
            program=program,
            pid_file=self.places.run / f"{file}.pid",
            log=self.places.log / f"{file}.log",
            start=start,
            listens=listens,
            mark=self.mark,
            stop_s=stop_s,
        )

    @property
    def mark(self) -> str:
        """The variable by which processes of this cluster are told from another's."""
        return f"SLURM_CONF={self.places.slurm_conf}"

    def node_states(self) -> dict[str, str]:
        """By node, in Slurm's short words: idle, mix, alloc, down*, …; none while the controller does not answer."""
        said = self.call("sinfo", "--noheader", "--Node", "--partition=low", "--format=%N %t")
        return {line.split()[0]: line.split()[1] for line in said.splitlines()}

    def nodes_up(self) -> bool:
        """Whether every node takes jobs."""
        states = self.node_states().values()
        return len(states) == self.settings.nodes and {state.removesuffix("-") for state in states} <= TAKES_JOBS


def at(folder: Path) -> Cluster:
    """The cluster that was made in a folder. Raises UserError where none was."""
    known = settings.load(folder)
    if known is None:
        raise UserError(f"no cluster in {folder}; `python -m slurm.cluster up` makes one")
    return Cluster(settings=known, places=configuration.places(folder))


def up(folder: Path, wanted: Settings) -> Cluster:
    """Make or take up the cluster in a folder; what runs as wanted is left alone. Raises UserError, Needs."""
    if missing := installing.lacking(wanted):
        raise Needs(f"this machine lacks {missing}")
    one = Cluster(settings=wanted, places=configuration.places(folder))
    files.check(one.places)
    one.places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.check(one.places)  # somebody else may have made it in between
    with files.alone(folder):
        files.make(wanted, one.places)
        configured = files.configured(wanted, one.places)
        before = settings.load(folder)
        if before is not None and (before != wanted or files.differ(configured)):
            _down(folder)
        settings.save(folder, wanted)
        files.write(configured)
        if files.make_database(wanted, one.places, one.environment):
            _say("made the database")
        _start(one)
    return one


def _start(one: Cluster) -> None:
    for daemon in one.daemons:
        if daemon.program == "slurmctld" and one.settings.accounting:
            _register(one)
        if daemon.up(one.environment):
            _say(f"started {daemon.name}")
    _wake(one)


def _register(one: Cluster) -> None:
    """The cluster, an account, and the calling user in it, with the limit of jobs."""
    user, most = configuration.user(), one.settings.max_submitted
    wanted = f"{user}|{ACCOUNT}|{'' if most is None else most}"
    if wanted in _associations(one):
        return
    for command in (
        ["add", "cluster", CLUSTER],
        ["add", "account", ACCOUNT],
        ["add", "user", user, f"account={ACCOUNT}"],
        ["add", "qos", "scavenge"],
        ["modify", "user", user, "set", "qos+=scavenge"],
        ["modify", "user", user, "set", f"maxsubmitjobs={-1 if most is None else most}"],
    ):
        one.call("sacctmgr", "--immediate", *command)  # fails where it is so already
    if wanted not in _associations(one):
        raise UserError(f"slurmdbd did not register {wanted!r} (log: {one.places.log}/slurmdbd.log)")
    _say(f"registered cluster {CLUSTER}, account {ACCOUNT}, user {user}")


def _associations(one: Cluster) -> list[str]:
    asked = ["show", "associations", "format=user,account,maxsubmitjobs"]
    return one.call("sacctmgr", "--noheader", "--parsable2", *asked).splitlines()


def _wake(one: Cluster) -> None:
    """Wait until every node takes jobs; one that was given up earlier is taken back."""
    for name, state in one.node_states().items():
        if state.startswith(("down", "drain", "drng")):
            one.call("scontrol", "update", f"nodename={name}", "state=resume")
    if not until(WAKE_S, one.nodes_up):
        states = ", ".join(f"{name} {state}" for name, state in one.node_states().items())
        raise UserError(f"nodes are not up: {states or 'the controller does not answer'} (logs: {one.places.log})")


def down(folder: Path) -> None:
    """End every job and daemon; nothing of the cluster is left running, and nothing is done where none was made."""
    if settings.load(folder) is not None:
        with files.alone(folder):
            _down(folder)


def _down(folder: Path) -> None:
    one = at(folder)
    if "SLURM_JOB_ID" in os.environ and one.mark == f"SLURM_CONF={os.environ.get('SLURM_CONF')}":
        raise UserError("a job cannot take down the cluster that it runs on")
    cancel_all(one)
    daemons = one.daemons
    for daemon in [daemon for daemon in daemons if daemon.program == "slurmd"]:
        daemon.down()
    _kill(_processes(one, of_jobs=True))
    for daemon in reversed([daemon for daemon in daemons if daemon.program != "slurmd"]):
        if daemon.down():
            _say(f"stopped {daemon.name}")
    _kill(_processes(one, of_jobs=False))


def cancel_all(one: Cluster) -> None:
    """End every job, and wait until their processes are gone where their nodes live."""
    if one.controller.pid is None:
        return
    jobs = one.call("squeue", "--noheader", "--format=%A").split()
    if jobs:
        one.call("scancel", "--full", *dict.fromkeys(jobs))
        until(CANCEL_S, lambda: not one.call("squeue", "--noheader", "--states=R,CG,S").strip())


def _processes(one: Cluster, *, of_jobs: bool) -> list[int]:
    """Of jobs: those that outlived their node, and children that left their session. Else daemons with no pid file."""
    programs = {"slurmstepd"} if of_jobs else {daemon.program for daemon in one.daemons}
    found = []
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]:
        variables = environment_of(pid)
        in_job = of_jobs and any(variable.startswith("SLURM_JOB_ID=") for variable in variables)
        if pid != os.getpid() and one.mark in variables and (in_job or command_of(pid) in programs):
            found.append(pid)
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(CANCEL_S, lambda: all(command_of(pid) is None for pid in pids))


def purge(folder: Path) -> None:
    """Take it down and remove its folder. Raises UserError for a folder of something else."""
    if settings.load(folder) is not None:
        with files.alone(folder):
            _down(folder)
            shutil.rmtree(folder)
    elif folder.exists():
        if any(folder.iterdir()):
            raise UserError(f"{folder} is no cluster's folder; nothing was removed")
        folder.rmdir()


def purge_after(folder: Path, pid: int) -> None:
    """Wait until a process has ended, however it did, and purge."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        select.select([process], [], [])
        os.close(process)
    purge(folder)


def guard(folder: Path) -> None:
    """Have a cluster purged when this process ends, be it by SIGKILL: daemons know no parent."""
    after = ["purge", "--after", str(os.getpid())]
    command = ["setsid", "--fork", sys.executable, "-P", "-m", "slurm.cluster", "--folder", str(folder), *after]
    nothing = subprocess.DEVNULL
    subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=True)


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
