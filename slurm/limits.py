"""Limits of a site: how large an array may be, how many jobs somebody may have in the queue. Read, never guessed."""

import os
import pwd
import re
from collections.abc import Iterable, Sequence

from bench.errors import Needs
from slurm.request import Request
from slurm.states import ask

LARGEST_ARRAY = 1001
"""Slurm's own MaxArraySize."""


def limits(request: Request | None = None) -> tuple[int, int | None]:
    """How many jobs one array may have, and this user the queue at once with such a request (None: no limit is known).

    Slurm's MaxArraySize is one more than the largest index, which counts from 0. Raises Needs where Slurm is silent.
    """
    said = ask("scontrol", "show", "config")
    if said is None:
        raise Needs("Slurm: `scontrol show config` does not answer here")
    config = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in said.splitlines())}
    size = config.get("MaxArraySize", "")
    enforced = set(config.get("AccountingStorageEnforce", "").lower().split(","))
    largest = max(1, int(size)) if size.isdigit() else LARGEST_ARRAY
    if not enforced & {"limits", "safe"}:  # sites may note limits that they do not keep
        return largest, None
    return largest, _smallest(_submit_limits(request or Request(), config.get("ClusterName", "")))


def _smallest(numbers: Iterable[str]) -> int | None:
    """Of limits as Slurm writes them: nothing and -1 are none."""
    return min((int(number) for number in numbers if number.isdigit()), default=None)


def _submit_limits(request: Request, cluster: str) -> list[str]:
    """What the user's association, the accounts above it, its QOS and that of its partition say."""
    user = pwd.getpwuid(os.getuid()).pw_name
    (default,) = _show("user", [user], ["defaultaccount"])[:1] or [[""]]
    account = request.account or default[0]
    partition, partition_qos = _partition(request.partition)
    found: list[str] = []
    qos = request.qos or ""
    columns = ["partition", "maxsubmitjobs", "grpsubmitjobs", "defaultqos"]
    where = [f"user={user}", f"account={account}", f"cluster={cluster}"]
    for only, most, of_group, default_qos in _show("associations", where, columns):
        if only in ("", partition):
            found += [most, of_group]
            qos = qos or default_qos
    seen: set[str] = set()
    while account and account not in seen:
        seen.add(account)
        rows = _show(
            "associations", [f"account={account}", f"cluster={cluster}"], ["user", "parentname", *columns[1:3]]
        )
        account = ""
        for owner, parent, most, of_group in rows:
            if not owner:
                found += [most, of_group]
                account = parent
    columns = ["name", "maxsubmitjobsperuser", "maxsubmitjobsperaccount", "grpsubmitjobs"]
    for name, *numbers in _show("qos", [], columns):
        if name in (qos or "normal", partition_qos):
            found += numbers
    return found


def _partition(name: str | None) -> tuple[str, str]:
    """The first partition of a request, or the site's default, and its QOS; nothing where it has none."""
    wanted = (name or "").partition(",")[0]
    for line in (ask("scontrol", "show", "partition", "--oneliner") or "").splitlines():
        facts = dict(re.findall(r"(\S+?)=(\S*)", line))
        if facts.get("PartitionName") == wanted or (not wanted and facts.get("Default") == "YES"):
            return facts["PartitionName"], "" if facts.get("QoS") == "N/A" else facts.get("QoS", "")
    return wanted, ""


def _show(what: str, where: Sequence[str], columns: Sequence[str]) -> list[list[str]]:
    """Rows of accounting; none where there is no accounting."""
    said = ask("sacctmgr", "--noheader", "--parsable2", "show", what, *where, f"format={','.join(columns)}")
    rows = [line.split("|") for line in (said or "").splitlines()]
    return [row for row in rows if len(row) == len(columns)]
