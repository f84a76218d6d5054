"""What a small cluster is like. The defaults are those of a mean site: small arrays, few jobs a user, preemption."""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bench.trial import Frozen

NAME = "settings.json"


class Settings(Frozen):
    """Of one cluster; kept in its folder, so that every later command speaks of the same one."""

    nodes: Annotated[int, Meta(ge=1, le=64)] = 4
    cpus: Annotated[int, Meta(ge=1)] = 2  # of a node, however many this machine has
    memory_mb: Annotated[int, Meta(ge=100)] = 2000  # of a node
    gpus: Annotated[int, Meta(ge=0, le=6)] = 2  # of a node: character devices that nobody computes on
    max_array_size: Annotated[int, Meta(ge=2)] = 101  # Slurm's MaxArraySize: the largest index is one less
    max_submitted: Annotated[int, Meta(ge=1)] | None = 60  # jobs of one user in the queue; needs accounting
    accounting: bool = True  # MariaDB and slurmdbd; without them sacct fails, as it does on some sites
    grace_s: Annotated[int, Meta(ge=0)] = 0  # between a preempted job's warning and its end
    user_signal: bool = True  # preempt_send_user_signal: without it a preempted job hears SIGTERM alone
    credential_expire_s: Annotated[int, Meta(ge=1)] = 5  # a requeued job waits as long; Slurm's own is 120
    node_down_s: Annotated[int, Meta(ge=5)] = 20  # until a silent node is given up (SlurmdTimeout); Slurm's own is 300
    kill_wait_s: Annotated[int, Meta(ge=1)] = 5  # between SIGTERM and SIGKILL at a time limit; Slurm's own is 30
    memory_kill: Literal["poll", "none"] = "poll"  # poll: the accounting plugin ends what uses too much memory
    port: Annotated[int, Meta(ge=1024, le=65000)] = 17800  # the controller's; the others follow it


def default_folder() -> Path:
    """Where a cluster lies unless something else is said: one a user, by number, outside of any repository."""
    import tempfile

    return Path(tempfile.gettempdir()) / f"vitab-slurm-{os.geteuid()}"


def load(folder: Path) -> Settings | None:
    """The settings of the cluster in a folder; None where there is none."""
    path = folder / NAME
    return msgspec.json.decode(path.read_bytes(), type=Settings) if path.exists() else None


def save(folder: Path, settings: Settings) -> bool:
    """Keep settings; whether they are others than before."""
    text = msgspec.json.format(msgspec.json.encode(settings), indent=1) + b"\n"
    path = folder / NAME
    if path.exists() and path.read_bytes() == text:
        return False
    beside = path.with_suffix(".new")
    beside.write_bytes(text)
    beside.replace(path)
    return True
