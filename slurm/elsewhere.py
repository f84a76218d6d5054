"""Elsewhere: what a lost node took with it is not sent to that node again, as long as there are others.

Slurm puts most such jobs back by itself, and starts them on a node that answers. What is left is of jobs that it did
not put back, or that were cancelled then; a node that comes and goes would take them again.
"""

from collections.abc import Collection

import msgspec

from slurm import states
from slurm.request import Request


def avoiding(asked: Request, nodes: Collection[str]) -> Request:
    """The same request, of other nodes than these; as it was where too few others are left."""
    if not nodes:
        return asked
    only = [] if asked.partition is None else [f"--partition={asked.partition}"]
    said = states.ask("sinfo", "--noheader", "--Node", "--responding", *only, "--format=%N")
    if said is None or len(set(said.split()) - set(nodes)) < asked.nodes:
        return asked
    return msgspec.structs.replace(asked, exclude=",".join(filter(None, (asked.exclude, *sorted(nodes)))))
