"""Ten thousand trials: planning them, and the table of their records; time and memory of whole processes.

Prints a Markdown table. The study is a factorial of 2,000 rows at 5 seeds; its store holds 10,000 records in 16 files,
as 16 workers would leave them. Beside each command runs the plainest program for the same data: a product of levels
hashed as JSON, checked by nobody; pandas reading the same records into means and deviations, joined to no row. Programs
take turns, `ROUNDS` times each after one unmeasured turn, so that a busy moment of the machine falls on all of them.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

ROUNDS = 3
WORKERS = 16
TRIALS = 10_000

SPEC = """
study: scale
question: How long does a large study take to be planned and read?
base:
  task: classify
  model: {name: vit, image: 8, patch: 2, dim: 48, depth: 2, heads: 4}
  data: digits
  train: {recipe: tiny}
design:
  factorial:
    model.dim: [16, 32, 48, 64, 80, 96, 112, 128, 144, 160]
    model.depth: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    train.lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 7e-4, 8e-4, 9e-4, 2e-3]
    train.weight_decay: [0.0, 0.1]
seeds: 5
columns: [top1]
"""

PLAIN_PLAN = """
import hashlib, itertools, json, sys
levels = (range(16, 161, 16), range(1, 11), [n * 1e-4 for n in range(1, 11)], (0.0, 0.1), range(5))
base = json.load(sys.stdin)
for dim, depth, lr, decay, seed in itertools.product(*levels):
    trial = {**base, "seed": seed}
    trial["model"] = {**base["model"], "knobs": {**base["model"]["knobs"], "dim": dim, "depth": depth}}
    trial["train"] = {**base["train"], "lr": lr, "weight_decay": decay}
    print(hashlib.sha256(json.dumps(trial, sort_keys=True).encode()).hexdigest()[:20])
"""

PLAIN_TABLE = """
import pathlib, sys
import pandas
read = [pandas.read_json(path, lines=True) for path in pathlib.Path(sys.argv[1], "records").glob("*.jsonl")]
records = pandas.concat(read, ignore_index=True)
flat = pandas.json_normalize(records["trial"].tolist())
flat["top1"] = [quantities["top1"]["samples"][0] for quantities in records["quantities"]]
factors = ["model.knobs.dim", "model.knobs.depth", "train.lr", "train.weight_decay"]
print(flat.groupby(factors)["top1"].agg(["mean", "std", "count"]).to_csv())
"""


def fill(folder: Path) -> None:
    """Write the spec, one of its trials, and a store with a record of each, as its workers would have written it.

    The accuracies are drawn. In a process of its own: those that are measured begin with the memory of who starts them.
    """
    import msgspec

    from ablations.grid import build
    from ablations.study import load
    from bench import machine
    from bench.record import Quantity, Record
    from bench.store import now

    (folder / "scale.yaml").write_text(SPEC)
    drawn = random.Random(0)  # noqa: S311 nothing here is secret
    works = [work for _, _, cell in build(load(str(folder / "scale.yaml"))).cells() for work in cell.works]
    assert len({work.key for work in works}) == TRIALS
    (folder / "trial.json").write_bytes(msgspec.json.encode(works[0].trial))
    lines = [
        msgspec.json.encode(
            Record(
                key=work.key,
                measure=work.measure,
                version=work.version,
                attempt=f"worker-{at}",
                time=now(),
                seconds=1.0,
                trial=work.trial,
                quantities={"top1": Quantity(samples=(drawn.gauss(90, 2),), unit="%", better="higher")},
                bound={"weights": work.weights_key, "images": 445},
                environment=machine.environment(),
            )
        )
        for at, work in enumerate(works)
    ]
    (folder / "full" / "records").mkdir(parents=True)
    for worker in range(WORKERS):
        path = folder / "full" / "records" / f"worker-{worker}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines[worker::WORKERS]))


def run(command: list[str], given: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak bytes of one process; one that fails has none (CalledProcessError)."""
    begin = time.perf_counter()
    with given.open("rb") as file:
        process = subprocess.Popen([sys.executable, *command], stdin=file, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024.0


def main() -> None:
    """Time every program and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, name], check=True)
        study, full, empty, trial = (str(folder / part) for part in ("scale.yaml", "full", "empty", "trial.json"))
        programs = {
            "vitab plan, nothing measured": ["-m", "vitab", "plan", study, "--store", empty],
            "vitab plan, all measured": ["-m", "vitab", "plan", study, "--store", full],
            "a product of levels, hashed": ["-c", PLAIN_PLAN],
            "vitab table": ["-m", "vitab", "table", study, "--store", full, "--as", "csv"],
            "pandas.read_json, groupby": ["-c", PLAIN_TABLE, full],
        }
        for command in programs.values():
            run(command, Path(trial))
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, command in programs.items():
                taken[name].append(run(command, Path(trial)))
    rows = []
    for name, samples in taken.items():
        wall_s, cpu_s, peak_bytes = zip(*samples, strict=True)
        medians = (f"{statistics.median(wall_s):.2f}", f"{statistics.median(cpu_s):.2f}")
        rows.append((name, *medians, f"{max(peak_bytes) / 1e6:.0f}"))
    print(f"{TRIALS:,} trials, {TRIALS:,} records")
    print(tabulate(rows, ("program", "median wall s", "median CPU s", "peak MB"), "github", disable_numparse=True))
    for ours, plain in (
        ("vitab plan, nothing measured", "a product of levels, hashed"),
        ("vitab table", "pandas.read_json, groupby"),
    ):
        ratio = statistics.median(own[1] / other[1] for own, other in zip(taken[ours], taken[plain], strict=True))
        print(f"{ours}: {ratio:.2f} times the CPU time of {plain}")


if __name__ == "__main__":
    fill(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
