"""The command line: words in, one of the commands out, and every mistake of the user's as one line.

Our packages have common names. A `bench.py` in the folder that `python -m vitab` starts in would be imported in our
package's place: that is looked for before anything of ours is imported.
"""

import contextlib
import gc
import os
import sys
from pathlib import Path

_OURS = Path(__file__).resolve().parents[1]
_PACKAGES = ("ablations", "bench", "reports", "slurm")


def _hidden_package() -> str | None:
    """The file that would be imported in one of our packages' place, or None."""
    for entry in sys.path:
        folder = Path(entry or ".").resolve()
        if folder == _OURS:
            return None
        for name in _PACKAGES:
            for path in (folder / f"{name}.py", folder / name / "__init__.py"):
                if path.exists():
                    return str(path)
    return None


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 a trial failed or a gate tripped, 2 wrong usage or input, 130 interrupted."""
    if hidden := _hidden_package():
        sys.stderr.write(f"{hidden} hides a package of vitab's; rename it, or start from another folder\n")
        return 2
    try:
        return _answer(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as stopped:  # at any moment, the imports' too
        with contextlib.suppress(OSError):  # nobody may be reading any more
            sys.stderr.write(f"{stopped or 'interrupted'}\n")
        return 130


def _answer(arguments: list[str]) -> int:
    """The exit code of a command; what the user or the machine got wrong is one line."""
    gc.set_threshold(50_000)  # plans make many small things and drop few: seeking cycles costs a fifth of the time
    from bench.errors import UserError
    from vitab.commands import dispatch

    try:
        code = dispatch(arguments)
        if sys.stdout is not None:  # closed by the shell: `>&-`
            sys.stdout.flush()
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except BrokenPipeError:  # `vitab list models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as problem:  # a full disk, a file that may not be read
        where = f"{problem.filename}: " if problem.filename else ""
        sys.stderr.write(f"{where}{(problem.strerror or str(problem)).lower()}\n")
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
