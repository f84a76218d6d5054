"""Every way in which a sweep on Slurm was seen to go wrong, provoked one after another on a small cluster.

    python tests/slurm/faults.py [NAME …] [--folder FOLDER] [--port PORT] [--write README.md]

prints a Markdown table: for each fault how often each training was started, how many lines the store has (counted in
its files, before anything is merged), how many records were lost or made twice, and whether the table is the one of
the undisturbed sweep. `--write` puts it between the comments `<!-- faults -->` and `<!-- /faults -->` of a file, when
all came out right. The exit code is 1 when any came out wrong.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import provoked  # noqa: F401 enters them all
from PIL import Image
from provoked.fault import FAULTS, Fault
from sweep import Result, Sweep

from bench.errors import UserError
from bench.files import publish
from slurm.cluster import cluster
from slurm.cluster.cluster import Cluster
from slurm.cluster.settings import Settings

HEAD = "| fault | starts of each training | store lines | lost | doubled | table | s |\n|:--|:--|--:|--:|--:|:--|--:|"
COMMENTS = ("<!-- faults -->", "<!-- /faults -->")


def site(what: Fault, port: int) -> Settings:
    """The cluster as a fault wants it."""
    return Settings(**{"nodes": 3, "gpus": 0, "port": port, **what.site})


def provoke(name: str, home: Path, one: Cluster, *, epochs: int | None = None) -> Result:
    """One fault in one sweep, in a folder of its own; what an earlier run has left there goes."""
    what = FAULTS[name]
    shutil.rmtree(home / name, ignore_errors=True)
    data = images(home / "shades") if what.images else ""
    return what.provoke(
        Sweep(cluster=one, folder=home / name, epochs=epochs or what.epochs, design=what.design, data=data)
    )


def images(folder: Path) -> str:
    """Files of three classes that differ in brightness, and the line of the spec that says where they lie."""
    random = np.random.default_rng(0)
    for half, count in (("train", 24), ("val", 8)):
        for place, name in enumerate(("dark", "grey", "light")):
            (folder / half / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = random.integers(60 * place, 60 * place + 120, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / half / name / f"{number}.png")
    return f"data: {{name: imagefolder, set: shades, classes: 3, image: 8, root: {folder}}}"


def right(what: Fault, found: Result) -> bool:
    """Whether something was provoked, and nothing lost, done twice or anew, or came out otherwise."""
    return (
        found.lost == found.doubled == found.anew == 0
        and found.identical
        and min(what.least_starts, what.most_starts) <= max(found.starts) <= what.most_starts
        and bool(found.failures) == bool(what.design)  # a row of its own is there to fail
    )


def row(what: Fault, found: Result, seconds: float) -> str:
    """A line of the table."""
    starts = ", ".join(map(str, found.starts)) + (f" ({found.anew} from the beginning)" if found.anew else "")
    kinds = sorted({failure.partition(":")[0] for failure in found.failures})
    table = ("identical" if found.identical else "DIFFERENT") + (f"; failed: {', '.join(kinds)}" if kinds else "")
    return f"| {what.title} | {starts} | {found.lines} | {found.lost} | {found.doubled} | {table} | {seconds:.0f} |"


def in_turn(names: Sequence[str]) -> list[str]:
    """So that the cluster has to be changed as seldom as can be."""
    return sorted(names, key=lambda name: sorted((key, str(value)) for key, value in FAULTS[name].site.items()))


def run(names: Sequence[str], folder: Path, port: int) -> tuple[dict[str, str], bool]:
    """Provoke faults: their lines of the table by name, and whether all came out right. Lines are said on the way."""
    rows, all_right = {}, True
    for name in in_turn(names):
        what, began = FAULTS[name], time.monotonic()
        one = cluster.up(folder / "cluster", site(what, port))
        try:
            found = provoke(name, folder, one)
            rows[name] = row(what, found, time.monotonic() - began)
            all_right &= right(what, found)
        except Exception as problem:  # noqa: BLE001 the others are still to come
            rows[name] = f"| {what.title} | {type(problem).__name__}: {str(problem)[:3000]} |"
            all_right = False
        print(f"{name}\n{rows[name]}", file=sys.stderr, flush=True)
    return rows, all_right


def write(table: str, file: Path) -> None:
    """Put a table between the comments of a file. Raises UserError where they are not."""
    before, opening, rest = file.read_text().partition(COMMENTS[0])
    _, closing, after = rest.partition(COMMENTS[1])
    if not opening or not closing:
        raise UserError(f"{file}: no {' … '.join(COMMENTS)} to write between")
    publish(file, f"{before}{opening}\n{table}\n{closing}{after}".encode())


def main() -> int:
    """1 when any came out wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FAULTS)}; all by default")
    parser.add_argument("--folder", type=Path, help="where the cluster and the sweeps lie; a temporary one by default")
    parser.add_argument("--port", type=int, default=18400, help="the cluster's first port (%(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into a file, README.md for example")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in FAULTS]:
        parser.error(f"no fault {unknown[0]!r}; allowed: {', '.join(FAULTS)}")
    if options.names and options.write:
        parser.error("--write is for all of them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the cluster goes with us
    folder = options.folder or Path(tempfile.mkdtemp(prefix="vitab-faults-"))
    names = options.names or list(FAULTS)
    try:
        rows, all_right = run(names, folder, options.port)
    finally:
        cluster.purge(folder / "cluster")
    table = "\n".join([HEAD, *(rows[name] for name in FAULTS if name in rows)])
    print(table)
    if options.write and all_right:
        write(table, options.write)
    if not options.folder:
        shutil.rmtree(folder)
    return int(not all_right)


if __name__ == "__main__":
    sys.exit(main())
