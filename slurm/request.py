"""What a job asks of Slurm: the user's site file, a spec's resources, the command line; the later over the earlier.

Every text here becomes a line of a script that a shell reads: names are held to letters that mean nothing to it, and
lines of shell (`setup`) come from the user's own site file alone, never from a spec.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from bench.errors import UserError, unknown
from bench.trial import Frozen

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.,:@%+=&|*()\[\]-]+$", max_length=200)]
Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)]
Positive = Annotated[int, Meta(ge=1)]


class Request(Frozen):
    """Of one job. What is None is left to the site."""

    cpus: Positive = 1  # of a worker
    gpus: Annotated[int, Meta(ge=0)] = 0  # of a node: one worker each
    nodes: Positive = 1
    memory_gb: Annotated[float, Meta(gt=0)] | None = None  # of a node
    timeout_min: Annotated[float, Meta(gt=0)] | None = None  # of a job
    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    constraint: Name | None = None
    exclude: Name | None = None
    comment: Text | None = None
    warning_s: Annotated[int, Meta(ge=5)] = 120  # between the signal and the time limit: for a checkpoint
    parallel: Positive | None = None  # jobs of an array that may run at once
    jobs: Positive = 200  # at most that many, however much work there is
    job_min: Annotated[float, Meta(gt=0)] = 20  # work that one should have: starting it, and torch in it, costs seconds

    def parameters(self) -> dict[str, Any]:
        """As submitit calls them."""
        said: dict[str, Any] = {
            "cpus_per_task": self.cpus * max(1, self.gpus),
            "gpus_per_node": self.gpus or None,
            "nodes": self.nodes,
            "mem": None if self.memory_gb is None else f"{round(self.memory_gb * 1024)}M",
            "time": None if self.timeout_min is None else max(1, round(self.timeout_min)),
            "signal_delay_s": self.warning_s,
            "array_parallelism": self.parallel,
            "srun_args": [f"--cpus-per-task={self.cpus * max(1, self.gpus)}"],  # from 22.05 on srun does not inherit it
        }
        for name in ("partition", "account", "qos", "constraint", "exclude", "comment"):
            said[name] = getattr(self, name)
        return {name: value for name, value in said.items() if value is not None}


class Site(Frozen):
    """The user's site file: defaults for every job, and what a shell needs before Python starts."""

    request: dict[str, Any] = {}
    setup: list[Text] = []  # lines of shell, such as `module load cuda`


def site_file() -> Path:
    """`$VITAB_SITE`, by default `~/.config/vitab/site.yaml`."""
    configured = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.environ.get("VITAB_SITE") or f"{configured}/vitab/site.yaml").expanduser()


def site() -> Site:
    """What the user's site file says; nothing where there is none. Raises UserError."""
    path = site_file()
    if not path.exists():
        return Site()
    if path.stat().st_mode & 0o022:
        raise UserError(f"{path}: others may write it, and its lines are run; chmod go-w {path}")
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, Site)
    except (yaml.YAMLError, msgspec.ValidationError) as problem:
        raise UserError(f"{path}: {str(problem).splitlines()[0]}") from problem


def request(*layers: dict[str, Any]) -> Request:
    """Layers of resources, the later over the earlier. Raises UserError with the nearest name."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name in layer:
            if name not in Request.__struct_fields__:
                raise UserError(unknown("resource", name, Request.__struct_fields__))
        merged |= {name: value for name, value in layer.items() if value is not None}
    try:
        return msgspec.convert(merged, Request, strict=True)
    except msgspec.ValidationError as problem:
        said, _, place = str(problem).partition(" - at `$.")
        name = place.rstrip("`")
        raise UserError(f"resource {name} {merged.get(name)!r}: {said[:1].lower()}{said[1:]}") from problem
