"""What a job asks of Slurm: a spec's resources, the user's site file, the command line; the later over the earlier.

Every text here becomes a line of a script that a shell reads: each is held to harmless letters (`bench/letters.py`).
Lines of shell (`setup`) come from the user's own site file alone.
"""

import math
import os
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from bench import trust
from bench.errors import UserError, unknown
from bench.letters import Expression, Name, Text
from bench.trial import Frozen

Line = Annotated[str, Meta(pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$(?!\n)", description="one line of shell")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]

WARNING_S = 120
"""For a checkpoint. Of a job that is shorter than three times that: a third of its time."""


class Request(Frozen):
    """Of one job. What is None is left to the site."""

    cpus: Count = 1  # of a worker
    gpus: Annotated[int, Meta(ge=0, le=1000)] = 0  # of a node: one worker each
    nodes: Count = 1
    memory_gb: Annotated[float, Meta(ge=0.001, le=1e6)] | None = None  # of a node
    timeout_min: Annotated[float, Meta(gt=0, le=1e6)] | None = None  # of a job
    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    constraint: Expression | None = None
    exclude: Expression | None = None
    comment: Text | None = None
    warning_s: Annotated[int, Meta(ge=5, le=65535)] = WARNING_S  # between the signal and the time limit
    parallel: Count | None = None  # jobs of an array that may run at once
    jobs: Count = 200  # at most that many, however much work there is
    job_min: Annotated[float, Meta(gt=0, le=1e6)] = 20  # work that one should have: a start costs seconds

    def parameters(self) -> dict[str, Any]:
        """As submitit calls them. What is None here is left out of the script: submitit has defaults of its own."""
        cpus = self.cpus * max(1, self.gpus)
        return {
            "cpus_per_task": cpus,
            "gpus_per_node": self.gpus or None,
            "nodes": self.nodes,
            "mem": None if self.memory_gb is None else f"{math.ceil(self.memory_gb * 1024)}M",
            "time": None if self.timeout_min is None else math.ceil(self.timeout_min),
            "signal_delay_s": self.warning_s,
            "wckey": None,
            # From Slurm 22.05 on srun does not inherit the CPUs; under SBATCH_EXPORT=NONE not even what the script says
            "srun_args": [f"--cpus-per-task={cpus}", "--export=ALL"],
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "comment": self.comment,
        }


class Site(Frozen):
    """The user's site file: defaults for every job, and what a shell needs before Python starts."""

    request: dict[str, Any] = {}
    setup: list[Line] = []  # lines of shell, such as `module load cuda`
    max_array_size: Count | None = None  # jobs of an array, and of the user in the queue, in place of what
    max_submitted: Count | None = None  # Slurm says of them: for sites that do not let it be asked


def site_file() -> Path:
    """`$VITAB_SITE`, by default `~/.config/vitab/site.yaml`."""
    configured = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.environ.get("VITAB_SITE") or f"{configured}/vitab/site.yaml").expanduser()


def site() -> Site:
    """What the user's site file says; nothing where there is none. Raises UserError."""
    path = site_file()
    try:
        found = path.resolve(strict=True)
        trust.check(found, "its lines are run")
        said = msgspec.convert(yaml.safe_load(found.read_text(encoding="utf-8")) or {}, Site)
    except FileNotFoundError:
        return Site()
    except OSError as problem:
        raise UserError(f"{path}: {(problem.strerror or str(problem)).lower()}") from problem
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as problem:
        raise UserError(f"{path}: {' '.join(str(problem).split())}") from problem
    try:
        request(said.request)
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from problem
    return said


def request(*layers: dict[str, Any]) -> Request:
    """Layers of resources, the later over the earlier. Raises UserError with the nearest name."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name in layer:
            if name not in Request.__struct_fields__:
                raise UserError(unknown("resource", name, Request.__struct_fields__))
        merged |= {name: value for name, value in layer.items() if value is not None}
    try:
        found = msgspec.convert(merged, Request, strict=True)
    except msgspec.ValidationError as problem:
        said, _, place = str(problem).partition(" - at `$.")
        name = place.rstrip("`")
        raise UserError(f"resource {name} {merged.get(name)!r}: {_allowed(name) or said.lower()}") from problem
    return _warned(found, given="warning_s" in merged)


def _warned(found: Request, *, given: bool) -> Request:
    """With a warning that leaves time to work. Raises UserError where the one that was given does not."""
    limit_s = None if found.timeout_min is None else 60 * math.ceil(found.timeout_min)
    if limit_s is None or 3 * found.warning_s <= limit_s:
        return found
    if not given:
        return msgspec.structs.replace(found, warning_s=limit_s // 3)
    if found.warning_s >= limit_s:
        raise UserError(f"resource warning_s {found.warning_s}: a job of {limit_s} s would be warned before it begins")
    return found


def _allowed(name: str) -> str | None:
    """What a text may be, in words; None for what is no text."""
    hints = get_type_hints(Request, include_extras=True)
    for part in get_args(hints.get(name)):
        for meta in getattr(part, "__metadata__", ()):
            if meta.description:
                return f"allowed: {meta.description}"
    return None
