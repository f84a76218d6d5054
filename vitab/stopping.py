"""What is said of a sweep that was stopped because its trials crash in one place: the traceback once, how to go on."""

import textwrap

from bench.crashes import Repeated
from reports.plain import plain, plain_lines

GOING_ON = (
    "mended, the same command with --retry-failed tries these again too; as it is, it does the rest;"
    " --stop-after 0 stops at nothing"
)


def told(stopped: Repeated) -> str:
    """Lines without an end."""
    where = textwrap.indent(plain_lines(stopped.failure.traceback or ""), "  ")
    return f"{plain(str(stopped))}\n{where}\n{GOING_ON}"
