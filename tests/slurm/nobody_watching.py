"""200 trials, sent and left alone, on the cluster that SLURM_CONF names: time, starts per trial, and the local table.

eval "$(python -m slurm.cluster env)"; python tests/slurm/nobody_watching.py
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

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
LOOK_S = 5.0


def main() -> int:
    """The exit code: 1 when a status, a count or the table was not as it has to be."""
    folder = Path(tempfile.mkdtemp(prefix="vitab-"))
    (folder / "big.yaml").write_text(SPEC)
    began = time.monotonic()
    vitab(folder, "run", "big.yaml", "--on", "slurm", "--detach", "--slurm", "memory_gb=0.9")
    print(f"sent in {time.monotonic() - began:.1f} s")
    done = 0
    while True:
        (said,) = json.loads(vitab(folder, "status", "--json"))["studies"]
        backwards, done = said["done"] < done, said["done"]
        if backwards or not said["waiting"] + said["running"] or said.get("jobs", {}).get("living") == 0:
            break
        time.sleep(LOOK_S)
    print(f"{done} done, {said['failed']} failed after {time.monotonic() - began:.1f} s")
    lines = [json.loads(line) for path in (folder / "runs/records").iterdir() for line in path.open()]
    starts = Counter(line["key"] for line in lines if line["event"] == "start")
    ends = Counter(line["key"] for line in lines if line["event"] == "end")
    print(f"{len(ends)} keys, {sum(starts.values())} starts, {sum(ends.values())} records")
    same = vitab(folder, "table", "big.yaml") == vitab(folder, "run", "big.yaml", "--store", "local")
    print("the table is the local one" if same else "the table is another than the local one")
    return 0 if same and starts == ends and set(ends.values()) == {1} and len(ends) == done else 1


def vitab(folder: Path, *words: str) -> str:
    """What a command prints. Raises CalledProcessError."""
    command = [sys.executable, "-P", "-m", "vitab", *words]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
