"""How long a sweep of short trials takes on Slurm, from the command to the last result: ours beside two peers.

Prints a Markdown table. A small cluster of its own is brought up (`python -m slurm.cluster`), the peers' packages are
installed into an environment of their own, and each contender runs the same number of trials on the same slots, one
contender after another. A trial of the peers is one job; ours are packed, and share jobs.

- short: the peers' trials return a number. Ours count the parameters of a small ViT, which takes torch.
- with torch and timm: every trial builds a ViT of timm and counts its parameters.

The table goes into the README, unless there are other counts of trials than its own: `sweeps.py 8 4` is a quick look.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import readme
from tabulate import tabulate

from slurm.cluster import cluster, installing
from slurm.cluster.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
COUNTS = (100, 100)
PORT = 18700

SPEC = """
study: short
base: {model: {name: vit, image: 8, patch: 4, depth: 1, heads: 1}, data: digits}
design: {factorial: {model.dim: [LEVELS]}}
columns: [params]
"""
HEAVY_SPEC = """
study: heavy
base: {model: {name: timm:vit_tiny_patch16_224}, data: imagenet}
design: {factorial: {model.depth: [LEVELS]}}
columns: [params]
"""

TRIAL = """
def short(number):
    return number

def heavy(number):
    import timm, torch
    with torch.device("meta"):
        model = timm.create_model("vit_tiny_patch16_224", depth=number + 1)
    return sum(weight.numel() for weight in model.parameters())
"""

PLAIN = """
import sys, submitit, trial
executor = submitit.SlurmExecutor(folder="plain")
executor.update_parameters(time=10)
jobs = executor.map_array(getattr(trial, sys.argv[1]), range(int(sys.argv[2])))
assert len([job.result() for job in jobs]) == int(sys.argv[2])
"""

HYDRA = """
import hydra, trial

@hydra.main(version_base=None, config_path=None, config_name="config")
def main(config):
    return getattr(trial, config.kind)(config.number)

main()
"""

HYDRA_CONFIG = """
defaults: [{override hydra/launcher: submitit_slurm}, _self_]
kind: short
number: 0
hydra: {launcher: {timeout_min: 10, nodes: 1, cpus_per_task: 1, mem_gb: null}}
"""


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of one sweep; one that fails has none (CalledProcessError), and its last words are shown."""
    begin = time.perf_counter()
    with (folder / "log").open("wb") as log:
        ran = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    taken = time.perf_counter() - begin
    if ran.returncode:
        sys.stderr.write((folder / "log").read_text()[-4000:])
        raise subprocess.CalledProcessError(ran.returncode, command)
    return taken


def peers(folder: Path) -> Path:
    """The Python of an environment with Hydra's launcher, which sees torch and timm of ours behind its own."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    wanted = ["hydra-core", "hydra-submitit-launcher"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True, stdout=subprocess.DEVNULL)
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    (Path(own) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def write(folder: Path, short: int, heavy: int) -> None:
    """The trials, and what each contender reads."""
    for name, spec, count in (("short", SPEC, short), ("heavy", HEAVY_SPEC, heavy)):
        (folder / f"{name}.yaml").write_text(spec.replace("LEVELS", ", ".join(str(one + 1) for one in range(count))))
    for name, text in (("trial.py", TRIAL), ("plain.py", PLAIN), ("app.py", HYDRA), ("config.yaml", HYDRA_CONFIG)):
        (folder / name).write_text(text)


def contenders(python: Path, kind: str, count: int) -> dict[str, list[str]]:
    """Commands by name."""
    numbers = ",".join(str(number) for number in range(count))
    return {
        "vitab run --on slurm": [sys.executable, "-m", "vitab", "run", f"{kind}.yaml", "--on", "slurm"],
        "submitit map_array": [sys.executable, "plain.py", kind, str(count)],
        "hydra --multirun, submitit_slurm": [
            *(str(python), "app.py", "--config-dir", ".", "--multirun"),
            *(f"kind={kind}", f"number={numbers}"),
        ],
    }


def measured(folder: Path, kind: str) -> int:
    """How many of our trials have a number: a sweep that did less was not faster."""
    command = [sys.executable, "-m", "vitab", "table", f"{kind}.yaml", "--as", "json"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    return sum(row["cells"]["params"]["state"] == "measured" for row in json.loads(said)["rows"])


def main() -> int:
    """Time every contender, print the table and put it into the README."""
    short, heavy = map(int, sys.argv[1:3] or COUNTS)
    wanted = Settings(max_array_size=1001, max_submitted=1000, memory_kill="none", port=PORT)
    if lacking := installing.lacking(wanted):
        print(f"sweeps on Slurm are not timed here: {lacking}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="vitab-bench-"))
    rows = []
    try:
        python = peers(folder / "peers")
        write(folder, short, heavy)
        cluster.guard(folder / "cluster")
        one = cluster.up(folder / "cluster", wanted)
        found_in = os.pathsep.join(map(str, (folder, ROOT)))
        environment = {**one.environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": found_in}
        os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
        for kind, count, said in (("short", short, "short"), ("heavy", heavy, "with torch and timm")):
            taken = {
                name: seconds(command, folder, environment) for name, command in contenders(python, kind, count).items()
            }
            if (done := measured(folder, kind)) != count:
                raise RuntimeError(f"{done} of {count} trials were measured")
            ours = next(iter(taken.values()))
            rows += [(f"{count} {said}", name, f"{took:.1f}", f"{took / ours:.1f}") for name, took in taken.items()]
    finally:
        cluster.purge(folder / "cluster")
        shutil.rmtree(folder, ignore_errors=True)
    table = tabulate(rows, ("trials", "sweep", "wall s", "of ours"), "github", disable_numparse=True)
    print(table)
    if (short, heavy) == COUNTS:
        readme.write("sweeps", f"{table}\n\n{os.cpu_count()} cores, {wanted.nodes} nodes of {wanted.cpus} slots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
