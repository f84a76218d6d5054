"""One trial over several nodes: srun starts one task a node, and each of these starts one process a GPU.

The task of the first node is the job: it does the list, and its worker is the first process of every training. The
other tasks only keep processes ready for the next training, and go when the first one is gone: each holds a
connection to it. Both ports follow from the job's number, so that nothing need be told.

Between nodes without GPUs gloo uses the address that a node's own name stands for; where that is a loopback address,
`setup` of the site file may export GLOO_SOCKET_IFNAME.
"""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench import slot
from bench.errors import UserError
from bench.work import Work

FIRST_PORT, PORTS = 10_000, 20_000
"""Ports below those that the kernel gives to outgoing connections (from 32768), two a job."""

COMING_S = 600.0
"""How long a node waits for the first one, whose start may be delayed by a prologue."""

PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job's trials of several processes are carried out."""

    processes: int  # of each trial
    nodes: int = 1
    node: int = 0  # this one
    host: str = ""  # the first one
    port: int = 0  # there; processes meet at the next one


def place(works: Iterable[Work]) -> Place | None:
    """This task's, as Slurm says; None where no trial has several processes. Raises UserError."""
    counts = sorted({work.trial.execution.processes for work in works} - {1})
    if not counts:
        return None
    nodes = int(os.environ.get("SLURM_NTASKS", "1"))
    if nodes == 1:
        return Place(processes=counts[-1])
    if len(counts) > 1:
        raise UserError(f"a job over {nodes} nodes has one number of processes for its trials; here {counts}")
    if counts[0] % nodes:
        raise UserError(f"execution.processes {counts[0]} do not spread evenly over {nodes} nodes")
    return Place(
        processes=counts[0],
        nodes=nodes,
        node=int(os.environ.get("SLURM_PROCID", "0")),
        host=_first_host(os.environ.get("SLURM_JOB_NODELIST", "")),
        port=port(os.environ.get("SLURM_JOB_ID", "0")),
    )


def port(job: str) -> int:
    """The first of a job's two ports."""
    return FIRST_PORT + 2 * int(job) % PORTS


def hosts(nodes: str) -> list[str]:
    """The nodes of a list such as `gpu[01-03,7],login1`: as `scontrol` says, or read here where a node lacks it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True, timeout=30
        )
        return said.stdout.split()
    return [name for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes) for name in _expanded(part)]


def _expanded(pattern: str) -> list[str]:
    """`n[01-02]-x` to n01-x and n02-x, one bracket after another."""
    found = re.search(r"\[([^\]]*)\]", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    names = []
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        names += [f"{before}{number:0{len(first)}d}" for number in numbers]
    return [whole for name in names for whole in _expanded(name + after)]


def _first_host(nodes: str) -> str:
    """The first node's name, or srun's address where a name stands for none: batch scripts run on the first node."""
    name = (hosts(nodes) or [""])[0]
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", name)
    return name


@contextlib.contextmanager
def leading(here: Place | None) -> Iterator[None]:
    """What the first task does around its work: say where processes meet, and be there for the other nodes."""
    if here is None:
        yield
        return
    os.environ["VITAB_GPUS"] = ",".join(slot.gpus())
    if here.nodes == 1:
        yield
        return
    os.environ |= {"VITAB_MEETING": f"{here.host}:{here.port + 1}", "VITAB_NODES": str(here.nodes)}
    with socket.create_server(("", here.port), backlog=here.nodes) as server:  # connections in its queue live with it
        yield
        server.settimeout(COMING_S)
        with contextlib.suppress(TimeoutError):
            for _ in range(here.nodes - 1):  # a node that comes late must not wait for one that is gone
                server.accept()[0].close()


def follow(here: Place) -> int:
    """What the task of another node does: keep its processes ready until the first one goes. The exit code."""
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the first one decides, and is heard to go
        signal.signal(number, signal.SIG_IGN)
    from bench.train.processes import peers

    each = here.processes // here.nodes
    gpus = [*slot.gpus(), *[None] * each][:each]
    ranks = range(here.node * each, (here.node + 1) * each)
    try:
        with _connected(here) as leader:
            while True:
                with peers(list(zip(ranks, gpus, strict=True)), host=here.host, port=here.port + 1) as started:
                    while any(process.poll() is None for process in started.values()):
                        _hear(leader)
    except ConnectionError:
        return 0
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _connected(here: Place) -> socket.socket:
    """A connection to the first task. Raises UserError where there is none for too long."""
    deadline = time.monotonic() + COMING_S
    while True:
        try:
            return socket.create_connection((here.host, here.port), timeout=PAUSE_S)
        except OSError as problem:
            if time.monotonic() > deadline:
                raise UserError(f"node {here.node} does not reach {here.host}:{here.port}: {problem}") from problem
        time.sleep(PAUSE_S)


def _hear(leader: socket.socket) -> None:
    """Wait a moment. Raises ConnectionError once the first task is gone: it never says anything."""
    readable, _, _ = select.select([leader], [], [], PAUSE_S)
    if readable and not leader.recv(1):
        raise ConnectionResetError("the first node is gone")
