"""Ten thousand trials to Slurm: from the command that plans them to the jobs that wait, each trial a job of its own.

Prints one line, which goes into the README: wall time of `vitab run --on slurm --detach --hold`, and what it leaves on
disk. The cluster is a small one of its own (`python -m slurm.cluster`) whose limits let that many wait; none is run.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import readme
from scale import SPEC, TRIALS

from slurm.cluster import cluster, installing
from slurm.cluster.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
PORT = 18750
WANTED = Settings(max_array_size=TRIALS + 1, max_submitted=None, memory_kill="none", port=PORT)
ASKED = ("--slurm", f"jobs={TRIALS}", "--slurm", "job_min=0.1")


def send(folder: Path, environment: dict[str, str]) -> float:
    """Wall seconds of one send, into a store of its own."""
    command = [sys.executable, "-m", "vitab", "run", "scale.yaml", "--on", "slurm", "--detach", "--hold", "--yes"]
    begin = time.perf_counter()
    subprocess.run([*command, *ASKED], cwd=folder, env=environment, check=True)
    return time.perf_counter() - begin


def left(folder: Path) -> tuple[int, int, int, int]:
    """Of the one send of a folder: arrays, jobs of Slurm's, bytes of the manifest, pickles."""
    (path,) = (folder / "runs.jobs").glob("*/send.json")
    arrays = [array["id"] for array in json.loads(path.read_bytes())["arrays"]]
    asked = ["squeue", "--noheader", "--array", "--format=%F"]
    queued = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    pickles = sum(1 for _ in path.parent.rglob("*.pkl"))
    jobs = sum(array in arrays for array in queued)
    return len(arrays), jobs, path.with_name("manifest.jsonl").stat().st_size, pickles


def once(folder: Path) -> tuple[float, tuple[int, int, int, int]]:
    """One send to a fresh cluster, because Slurm keeps jobs that were cancelled for a while; what it took and left."""
    (folder / "scale.yaml").write_text(SPEC)
    cluster.guard(folder / "cluster")
    try:
        one = cluster.up(folder / "cluster", WANTED)
        environment = {**one.environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
        took, found = send(folder, environment), left(folder)
    finally:
        cluster.purge(folder / "cluster")
    if found[1] != TRIALS:
        raise RuntimeError(f"{found[1]} jobs wait, not {TRIALS}")
    return took, found


def main() -> int:
    """Time it, say it, and put it into the README."""
    if lacking := installing.lacking(WANTED):
        print(f"sending to Slurm is not timed here: {lacking}")
        return 0
    taken = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="vitab-bench-") as name:
            took, (arrays, jobs, size, pickles) = once(Path(name))
        taken.append(took)
    said = (
        f"{TRIALS:,} trials as {jobs:,} jobs of {arrays} array{'s' * (arrays > 1)} are planned, packed and submitted"
        f" in {statistics.median(taken):.1f} s (median of {ROUNDS}; {os.cpu_count()} cores):"
        f" one manifest of {size / 1e6:.0f} MB, {pickles or 'no'} pickles."
    )
    print(said)
    readme.write("sending", said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
