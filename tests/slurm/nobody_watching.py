"""200 trials, sent and left alone: how long it takes, how often each is started, that the table is the local one.

python tests/slurm/nobody_watching.py [PORT]

Twice: packed as they are by default, and as jobs so small that 200 of them are wanted where the user may have 60 in the
queue and an array 25. `vitab status` is held to the truth at every look: to the lines of the store and to squeue, each
read before and after. The cluster is the one that SLURM_CONF names, or else one of its own from a first PORT on.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from slurm.cluster import cluster
from slurm.cluster.settings import Settings

SPEC = """\
study: big
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.05}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  factorial:
    train.lr: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3, 8e-3, 9e-3, 1e-2]
    train.weight_decay: [0, 0.1]
seeds: 10
columns: [params, top1]
"""
PIECES = 401  # a training and a measurement of each trial, and one count of parameters
WAYS = {"packed by default": (), "one trial a job, as far as there is room": ("--slurm", "job_min=0.1")}
LIMITS = Settings(max_array_size=25, port=20300)
LOOK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a sweep's store and the queue say at one moment."""

    started: frozenset[str]  # keys
    ended: frozenset[str]
    failed: frozenset[str]
    trained: frozenset[str]  # whose weights are there; the record comes next
    jobs: int  # in the queue, of this user


def truth(folder: Path) -> Truth:
    """Read line by line, by nothing of vitab's."""
    lines = list(_lines(folder))
    ends = {line["key"]: line.get("failure") for line in lines if line["event"] == "end"}
    asked = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i"]
    return Truth(
        started=frozenset(line["key"] for line in lines if line["event"] == "start"),
        ended=frozenset(ends),
        failed=frozenset(key for key, failure in ends.items() if failure),
        trained=frozenset(path.parent.name for path in (folder / "runs/weights").glob("*/done.json")),
        jobs=len(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()),
    )


def _lines(folder: Path) -> Iterator[dict[str, str]]:
    for path in (folder / "runs/records").glob("*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"}\n"):  # else it is being written
                yield json.loads(line)


def lies(said: dict[str, int], living: int, before: Truth, after: Truth) -> list[str]:
    """What a status said that cannot have been so at any moment between two looks at what it speaks of."""
    bounds = {
        "done": (len(before.ended - before.failed), len((after.ended - after.failed) | after.trained)),
        "failed": (len(before.failed), len(after.failed)),
        "running": (0, len(after.started - before.ended)),
        "jobs": (after.jobs, before.jobs),
    }
    told = {**said, "jobs": living}
    found = [f"{name} {told[name]}, not {low} to {high}" for name, (low, high) in bounds.items()
             if not low <= told[name] <= high]  # fmt: skip
    total = sum(said[name] for name in ("done", "running", "waiting", "failed"))
    return [*found, *([] if total == PIECES else [f"{total} pieces of work in all, not {PIECES}"])]


def main() -> int:
    """The exit code: 1 when a status, a count or the table was not as it has to be."""
    with _at_a_cluster(), tempfile.TemporaryDirectory(prefix="vitab-") as made:
        return max(sweep(Path(made) / str(number), way, asked) for number, (way, asked) in enumerate(WAYS.items()))


def sweep(folder: Path, way: str, asked: tuple[str, ...]) -> int:
    """Send, look until nothing lives any more, compare. 1 when something was not as it has to be."""
    folder.mkdir()
    (folder / "big.yaml").write_text(SPEC)
    began = time.monotonic()
    vitab(folder, "run", "big.yaml", "--on", "slurm", "--detach", "--slurm", "memory_gb=0.9", *asked)
    (send,) = (json.loads(path.read_bytes()) for path in (folder / "runs.jobs").glob("*/send.json"))
    sizes = [len(array["own"]) for array in send["arrays"]]
    print(f"{way}: sent in {time.monotonic() - began:.1f} s as {sum(sizes)} jobs, arrays of {sizes}", flush=True)
    looks, wrong, done = 0, list[str](), 0
    while True:
        before = truth(folder)
        (said,) = json.loads(vitab(folder, "status", "--json"))["studies"]
        after = truth(folder)
        living = said.get("jobs", {}).get("living", 0)
        looks += 1
        wrong += lies(said, living, before, after)
        wrong += [f"done {said['done']} after {done}"] if said["done"] < done else []
        done = said["done"]
        if living == 0:
            break
        time.sleep(LOOK_S)
    print(f"  {done} done, {said['failed']} failed after {time.monotonic() - began:.1f} s; {looks} looks at the status")
    lines = list(_lines(folder))
    starts = Counter(line["key"] for line in lines if line["event"] == "start")
    ends = Counter(line["key"] for line in lines if line["event"] == "end")
    print(f"  {len(ends)} keys, {sum(starts.values())} starts, {sum(ends.values())} records")
    same = vitab(folder, "table", "big.yaml") == vitab(folder, "run", "big.yaml", "--store", "local")
    print("  the table is the local one" if same else "  the table is another than the local one")
    once = starts == ends and set(ends.values()) == {1} and len(ends) == done == PIECES
    print("".join(f"  status: {said}\n" for said in wrong), end="", flush=True)
    return int(not same or not once or bool(wrong))


@contextmanager
def _at_a_cluster() -> Iterator[None]:
    """The one that SLURM_CONF names, or one of its own, gone afterwards."""
    with ExitStack() as stack:
        if "SLURM_CONF" not in os.environ:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vitab-cluster-")))
            cluster.guard(folder / "cluster")
            stack.callback(cluster.purge, folder / "cluster")
            port = int(sys.argv[1]) if len(sys.argv) > 1 else LIMITS.port
            one = cluster.up(folder / "cluster", msgspec.structs.replace(LIMITS, port=port))
            os.environ["SLURM_CONF"] = str(one.places.slurm_conf)
        yield


def vitab(folder: Path, *words: str) -> str:
    """What a command prints. Raises CalledProcessError."""
    command = [sys.executable, "-P", "-m", "vitab", *words]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
