"""Limits of a site: how large an array may be, how many jobs somebody may have in the queue.

They are read from Slurm; what the user's site file says of them goes before it, and where neither tells, arrays are
small enough for any site.
"""

import os
import pwd
import re
import shutil
from collections.abc import Iterable, Sequence

from bench.errors import Needs
from slurm.request import Request, site
from slurm.states import ask

LARGEST_ARRAY = 1001
"""Slurm's own MaxArraySize."""

UNKNOWN_ARRAY = 100
"""Jobs of an array where there is no scontrol to ask. Slurm's own limit is ten times that; few sites lower it more."""

QOS_COLUMNS = ["name", "maxsubmitjobsperuser", "maxsubmitjobsperaccount", "grpsubmitjobs", "flags"]
OVER_PARTITION = "OverPartQOS"


def limits(request: Request | None = None) -> tuple[int, int | None]:
    """How many jobs one array may have, and this user the queue at once with such a request (None: no limit is known).

    Slurm's MaxArraySize is one more than the largest index, which counts from 0. Raises Needs where Slurm is silent.
    """
    own = site()
    largest, most = _told(request or Request())
    return own.max_array_size or largest, own.max_submitted or most


def _told(request: Request) -> tuple[int, int | None]:
    """What Slurm says of them."""
    if shutil.which("scontrol") is None:
        return UNKNOWN_ARRAY, None
    said = ask("scontrol", "show", "config")
    if said is None:
        raise Needs("Slurm's controller does not answer (`scontrol show config`); try again later")
    config = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in said.splitlines())}
    size = config.get("MaxArraySize", "")
    enforced = set(config.get("AccountingStorageEnforce", "").lower().split(","))
    largest = max(1, int(size)) if size.isdigit() else LARGEST_ARRAY
    if not enforced & {"limits", "safe"}:  # sites may note limits that they do not keep
        return largest, None
    return largest, _smallest(_submit_limits(request, config.get("ClusterName", "")))


def _smallest(numbers: Iterable[str]) -> int | None:
    """Of limits as Slurm writes them: nothing and -1 are none."""
    return min((int(number) for number in numbers if number.isdigit()), default=None)


def _submit_limits(request: Request, cluster: str) -> list[str]:
    """What keeps such a request: Slurm takes the first of a partition's QOS, the job's, and the associations.

    A job's QOS with the flag OverPartQOS comes before the partition's (Slurm's resource_limits page, "Hierarchy").
    A user's association shows what it inherits; limits of groups are kept by every account above it.
    """
    user = pwd.getpwuid(os.getuid()).pw_name
    account = request.account or next((name for (name,) in _show("user", [user], ["defaultaccount"])), "")
    partition, partition_qos = _partition(request.partition)
    personal, of_groups, default_qos = _associations(user, account, cluster, partition)
    qos = {name: numbers for name, *numbers in _show("qos", [], QOS_COLUMNS)}
    names = [partition_qos, request.qos or default_qos or "normal"]
    ranked = [qos[name] for name in names if name in qos]
    if OVER_PARTITION in qos.get(names[1], [""])[-1].split(","):
        ranked.reverse()
    per_user, per_account, of_group = (_first(one[place] for one in ranked) for place in range(3))
    return [
        per_user,
        per_account,
        *([] if per_user or per_account else personal),
        *([of_group] if of_group else of_groups),
    ]


def _first(numbers: Iterable[str]) -> str:
    """The first that is a limit."""
    return next((number for number in numbers if number.isdigit()), "")


def _associations(user: str, account: str, cluster: str, partition: str) -> tuple[list[str], list[str], str]:
    """Limits of the user, limits of the groups that the user is in, and the QOS of a job that names none."""
    personal, of_groups, qos = [], [], ""
    where = [f"user={user}", f"account={account}", f"cluster={cluster}"]
    for only, most, of_group, default in _show(
        "associations", where, ["partition", "maxsubmitjobs", "grpsubmitjobs", "defaultqos"]
    ):
        if only in ("", partition):
            personal.append(most)
            of_groups.append(of_group)
            qos = qos or default
    seen: set[str] = set()
    while account and account not in seen:
        seen.add(account)
        rows = _show(
            "associations", [f"account={account}", f"cluster={cluster}"], ["user", "parentname", "grpsubmitjobs"]
        )
        above = [(parent, of_group) for owner, parent, of_group in rows if not owner]
        of_groups += [of_group for _, of_group in above]
        account = above[0][0] if above else ""
    return personal, of_groups, qos


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
