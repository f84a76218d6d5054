"""Programs that look like Slurm's, for tests of what they are asked: they answer as files beside them say."""

from pathlib import Path

from bench.store import Store
from bench.trial import Input, Model, Trial
from bench.work import Work
from slurm import sending
from slurm.packing import Job
from slurm.request import request
from slurm.sending import Sent

SBATCH = """#!/bin/sh
[ "$1" = --test-only ] && { cat > $FAKE/tried; cat $FAKE/never >&2 2>/dev/null; exit 1; }
n=$(cat $FAKE/calls 2>/dev/null | wc -l)
echo call >> $FAKE/calls
cp "$1" $FAKE/script.$n
env > $FAKE/environment.$n
name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
[ -e $FAKE/arrives.$n ] && echo "$((700 + n))|$name" >> $FAKE/queue
if [ -e $FAKE/says.$n ]; then cat $FAKE/says.$n >&2; exit 1; fi
echo "$((700 + n))|$name" >> $FAKE/queue
if [ -e $FAKE/answers.$n ]; then cat $FAKE/answers.$n; else echo "Submitted batch job $((700 + n))"; fi
"""
SQUEUE = """#!/bin/sh
[ -e $FAKE/silent ] && { rm $FAKE/silent; exit 1; }
echo call >> $FAKE/looks
cat $FAKE/queue 2>/dev/null || true
"""

PROGRAMS = {
    "sbatch": SBATCH,
    "srun": "#!/bin/sh\n",
    "sinfo": "#!/bin/sh\necho idle; echo mixed-\n",
    "squeue": SQUEUE,
    "sacct": "#!/bin/sh\n",
}


def write(folder: Path) -> None:
    """The programs, into a folder `bin`."""
    (folder / "bin").mkdir(parents=True)
    for name, text in PROGRAMS.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)


def works(count: int) -> list[Work]:
    trial = Trial(model=Model(name="vit"), input=Input(image=8))
    return [Work(key=f"k{number}", measure="params", version=1, trial=trial) for number in range(count)]


def waves(*jobs: int) -> list[list[Job]]:
    """Waves of so many jobs with one piece of work each."""
    left = iter(works(sum(jobs)))
    return [[Job(works=(next(left),), seconds=1.0) for _ in range(count)] for count in jobs]


def prepared(folder: Path, packed: list[list[Job]], *, size: int = 100, **resources: object) -> Sent:
    return sending.prepare(packed, Store(folder), request(resources), study="s", max_array_size=size)


def flags(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH --")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def calls(fake: Path) -> int:
    return (fake / "calls").read_text().count("call") if (fake / "calls").exists() else 0
