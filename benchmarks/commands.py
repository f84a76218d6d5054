"""How long the commands take that have to answer at once: wall time of whole processes, interpreter start included.

Prints a Markdown table. Every command runs once unmeasured (files enter the page cache, byte code is written) and then
`ROUNDS` times; commands take turns, so that a busy moment of the machine falls on all of them. The store is empty.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

ROUNDS = 9
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("list",),
    ("plan", "positional_embedding"),
    ("status", "positional_embedding"),
    ("table", "positional_embedding"),
)


def seconds(command: tuple[str, ...], store: Path) -> float:
    """Wall time of one `vitab` process; a command that fails has no time (CalledProcessError)."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "vitab", *command],
        env={**os.environ, "VITAB_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begin


def main() -> None:
    """Time every command and print the table."""
    taken: dict[tuple[str, ...], list[float]] = {command: [] for command in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for command in COMMANDS:
            seconds(command, store)
        for _ in range(ROUNDS):
            for command, samples in taken.items():
                samples.append(seconds(command, store))
    rows = [
        (f"vitab {' '.join(command)}", statistics.median(samples), min(samples), max(samples))
        for command, samples in taken.items()
    ]
    print(tabulate(rows, headers=("command", "median s", "min s", "max s"), floatfmt=".2f", tablefmt="github"))


if __name__ == "__main__":
    main()
