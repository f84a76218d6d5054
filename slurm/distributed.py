"""One trial over several nodes: srun starts one task a node, and each of these starts one process a GPU.

The task of the first node is the job: it does the list, and its worker is the first process of every training. The
other tasks only keep processes ready for the next training, and go when the first one is gone: each holds a
connection to it, and says there which of its processes was ended and how. Both ports follow from the job's number, so
that nothing need be told.

Between nodes without GPUs gloo uses the address that a node's own name stands for; where that is a loopback address,
`setup` of the site file may export GLOO_SOCKET_IFNAME.
"""

import contextlib
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import slot
from bench.errors import UserError
from bench.record import TRAIN
from bench.train import others
from bench.work import Work
from slurm.request import Request

FIRST_PORT, PORTS = 10_000, 20_000
"""Ports below those that the kernel gives to outgoing connections (from 32768), two a job."""

COMING_S = 120.0
"""How long a node waits for the task of another one: srun starts all at once, and Python is slow on a busy disk."""

PAUSE_S = 0.5

SAID = re.compile(r"\d{1,6} (was ended by SIG\w{1,10}|ended with exit code \d{1,3})\n")
"""How a node says that a process of its own was ended."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job's trials of several processes are carried out."""

    processes: int  # of each trial
    nodes: int
    node: int  # this one
    host: str  # the first one
    port: int  # there; processes meet at the next one
    server: socket.socket | None = None  # the first one's: it is gone with it, wherever that comes to its end

    @property
    def ranks(self) -> range:
        """Processes of this node."""
        each = self.processes // self.nodes
        return range(self.node * each, (self.node + 1) * each)


def spread(works: Iterable[Work], nodes: int) -> int:
    """The number of processes of the trials of a job over several nodes; 1 where none has more. Raises UserError."""
    counts = sorted({work.trial.execution.processes for work in works if work.measure == TRAIN} - {1}) or [1]
    if len(counts) > 1:
        raise UserError(f"a job over {nodes} nodes has one number of processes for its trials; here {counts}")
    if counts[0] > 1 and counts[0] % nodes:
        raise UserError(f"execution.processes {counts[0]} do not spread evenly over {nodes} nodes")
    return counts[0]


def most(works: Iterable[Work]) -> int:
    """The processes of the training that has most."""
    return max((work.trial.execution.processes for work in works if work.measure == TRAIN), default=1)


def asking(asked: Request, works: Iterable[Work], *, given: bool) -> Request:
    """What a job asks whose trials have several processes: as many nodes as their GPUs take, unless they are `given`.

    Without GPUs a worker has the cores of all of its processes. Raises UserError where they do not fit.
    """
    listed = list(works)
    processes = most(listed)
    nodes = asked.nodes if given or not asked.gpus else math.ceil(processes / asked.gpus)
    if nodes > 1:
        spread(listed, nodes)
    each = math.ceil(processes / nodes)
    if asked.gpus and each > asked.gpus:
        raise UserError(
            f"execution.processes {processes} are {each} on a node, one a GPU; a job asks {asked.gpus} of each of"
            f" {nodes} (--slurm gpus=N --slurm nodes=N)"
        )
    cpus = asked.cpus if asked.gpus else asked.cpus * each
    return msgspec.structs.replace(asked, nodes=nodes, cpus=cpus)


def place(works: Iterable[Work]) -> Place | None:
    """This task's, as Slurm says; None where no trial is spread over nodes. Raises UserError."""
    nodes = int(os.environ.get("SLURM_NTASKS", "1"))
    processes = 1 if nodes == 1 else spread(works, nodes)
    if processes == 1:
        return None
    node, number = int(os.environ.get("SLURM_PROCID", "0")), port(os.environ.get("SLURM_JOB_ID", "0"))
    return Place(
        processes=processes,
        nodes=nodes,
        node=node,
        host=_first_host(os.environ.get("SLURM_JOB_NODELIST", "")),
        port=number,
        server=None if node else _serving(number, nodes),
    )


def _serving(number: int, nodes: int) -> socket.socket:
    """Where the tasks of the other nodes come to. Raises UserError where something else is."""
    try:
        return socket.create_server(("", number), backlog=nodes)
    except OSError as problem:
        said = os.strerror(problem.errno or 0).lower()
        raise UserError(f"port {number} of {_here()}: {said}; another job will have another one") from problem


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
    """What the first task does around its work: say where processes meet, be there for the other nodes, hear them."""
    if here is None or here.server is None:
        yield
        return
    connections: list[socket.socket] = []
    writers: list[threading.Thread] = []
    all_came, over = threading.Event(), threading.Event()
    with here.server as server, tempfile.TemporaryDirectory(prefix="vitab-") as folder:
        ends = Path(folder) / "ends"
        ends.touch()
        said = {"MEETING": f"{here.host}:{here.port + 1}", "NODES": str(here.nodes), "ENDS": str(ends)}
        os.environ |= {f"VITAB_{name}": value for name, value in said.items()}

        def welcome() -> None:
            with contextlib.suppress(OSError):  # the server was closed
                while len(connections) < here.nodes - 1:
                    connections.append(server.accept()[0])
                    writers.append(
                        threading.Thread(target=_write_down, args=(connections[-1], ends, over), daemon=True)
                    )
                    writers[-1].start()
                all_came.set()

        threading.Thread(target=welcome, daemon=True).start()
        try:
            yield
            all_came.wait(COMING_S)  # a node that comes late must not wait for one that is gone
        finally:
            over.set()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for writer in writers:  # into the folder that goes now
                writer.join()


def _write_down(connection: socket.socket, ends: Path, over: threading.Event) -> None:
    """Keep what a node says for the worker. Without the task of a node the job stops, and goes back into the queue."""
    with contextlib.suppress(OSError), connection.makefile("r", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if SAID.fullmatch(line):
                with ends.open("a", encoding="utf-8") as file:
                    file.write(line)
    if not over.is_set():
        sys.stderr.write("the task of another node is gone\n")
        os.kill(os.getpid(), signal.SIGTERM)


def follow(here: Place) -> int:
    """What the task of another node does: keep its processes ready until the first one goes. The exit code."""
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the first one decides, and is heard to go
        signal.signal(number, signal.SIG_IGN)
    from bench.train.processes import peers

    try:
        places = list(zip(here.ranks, _gpus(len(here.ranks)), strict=True))
        with _connected(here) as leader:
            while True:
                with peers(places, host=here.host, port=here.port + 1) as started:
                    _until_ended(started, leader, here)
    except ConnectionError:
        return 0
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _gpus(count: int) -> list[str] | list[None]:
    """Of the processes of this node. Raises UserError."""
    devices = slot.gpus()
    if devices and len(devices) < count:
        raise UserError(f"{count} GPUs, one a process; {len(devices)} on {_here()}")
    return devices[:count] or [None] * count


def _here() -> str:
    """This node, as Slurm calls it."""
    return os.environ.get("SLURMD_NODENAME", socket.gethostname())


def _until_ended(started: dict[int, subprocess.Popen[bytes]], leader: socket.socket, here: Place) -> None:
    """Until all processes have ended, or one was ended: that one is said. Raises ConnectionError."""
    while any(process.poll() is None for process in started.values()):
        _hear(leader)
        ends = [(rank, how) for rank, one in started.items() if (how := others.how_it_ended(one.poll()))]
        for rank, how in ends:
            sys.stderr.write(f"process {rank} of {here.processes}, on {_here()}, {how}\n")
            leader.sendall(f"{rank} {how}\n".encode())
        if ends:
            return


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
