"""The command line: words in, one of the commands out, and every mistake of the user's as one line."""

import contextlib
import gc
import io
import os
import select
import sys
from typing import TextIO

from vitab import hidden_package


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 a trial failed or a gate tripped, 2 wrong usage or input, 130 interrupted."""
    if hidden := hidden_package():
        _say(hidden)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an alphabet without ± writes \xb1
            stream.reconfigure(errors="backslashreplace")
    try:
        return _answer(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as stopped:  # at any moment, the imports' too
        _say(str(stopped) or "interrupted")
        return 130
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


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
        _say(str(problem))
        return 2
    except BrokenPipeError:  # `vitab list models | head`
        return 0
    except OSError as problem:  # a full disk, a file that may not be read
        where = f"{problem.filename}: " if problem.filename else ""
        _say(f"{where}{(problem.strerror or str(problem)).lower()}")
        return 2
    return code


def _say(line: str) -> None:
    """One line on stderr, where somebody reads it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{line}\n")


def _let_go(stream: TextIO | None) -> None:
    """Leave nothing unwritten in a stream that takes nothing more: Python would try again at its end, and exit by 120.

    A pipe without a reader becomes the null device, for what may still be said on the way out.
    """
    if stream is None or stream.closed:
        return
    with contextlib.suppress(io.UnsupportedOperation):  # a stream of somebody else's making, without a descriptor
        descriptor = stream.fileno()
        try:
            stream.flush()
            unread = _has_lost_its_reader(descriptor)
        except OSError:  # a full disk, or nobody reads
            unread = True
        if unread:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
            stream.flush()


def _has_lost_its_reader(descriptor: int) -> bool:
    asked = select.poll()
    asked.register(descriptor, 0)  # errors are told without being asked for
    return bool(asked.poll(0))


if __name__ == "__main__":
    sys.exit(main())
