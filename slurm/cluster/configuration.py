"""The configuration files of a small cluster, as text. Each line that is not obvious says what happens without it."""

import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from slurm.cluster.settings import Settings

CLUSTER, ACCOUNT, DATABASE = "vitab", "lab", "slurm_accounting"

PREEMPTED = {"low": "REQUEUE", "spot": "CANCEL"}
"""Partitions whose jobs give way to those of `high`, and how."""

BORROWED = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
"""Character devices that stand for GPUs where an ordinary user cannot make any."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the parts of a cluster lie."""

    folder: Path
    run: Path  # pid files and sockets
    log: Path
    etc: Path
    spool: Path
    database: Path

    @property
    def socket(self) -> Path:
        """Munge's: a private one, so that a machine's own munge is left alone."""
        return self.run / "munge.socket"

    @property
    def slurm_conf(self) -> Path:
        """What SLURM_CONF names."""
        return self.etc / "slurm.conf"


def user() -> str:
    """Whose daemons they are: the process's user, whatever LOGNAME says. Raises UserError where he has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as problem:
        raise UserError(f"user {os.geteuid()} has no name in /etc/passwd; Slurm needs one") from problem


def places(folder: Path) -> Places:
    """The parts of the cluster in a folder."""
    folder = folder.absolute()
    named = {name: folder / name for name in ("run", "log", "etc", "spool", "database")}
    return Places(folder=folder, **named)


def node_names(settings: Settings) -> list[str]:
    """n1, n2, …"""
    return [f"n{number}" for number in range(1, settings.nodes + 1)]


def node_port(settings: Settings, index: int) -> int:
    """Where the slurmd of a node listens."""
    return settings.port + 11 + index


def slurm_conf(settings: Settings, places: Places) -> str:
    """slurm.conf: two preempted partitions and one that preempts, over nodes that are daemons of this machine."""
    name_of_user, host = user(), socket.gethostname().partition(".")[0]
    lines = [
        f"ClusterName={CLUSTER}",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={settings.port}",
        f"SlurmUser={name_of_user}",
        f"SlurmdUser={name_of_user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={places.socket},cred_expire={settings.credential_expire_s}",
        "MpiDefault=none",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=2",
        *(["JobAcctGatherParams=OverMemoryKill"] if settings.memory_kill == "poll" else []),
        *_accounting(settings, places),
        "ReturnToService=2",
        f"SlurmctldPidFile={places.run}/slurmctld.pid",
        f"SlurmdPidFile={places.run}/slurmd.%n.pid",
        f"SlurmdSpoolDir={places.spool}/%n",
        f"StateSaveLocation={places.spool}/controller",
        f"SlurmctldLogFile={places.log}/slurmctld.log",
        f"SlurmdLogFile={places.log}/slurmd.%n.log",
        "SlurmctldDebug=info",
        "SlurmdDebug=info",
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",  # loopback only
        "SlurmdParameters=config_overrides",  # nodes may claim more cores than this machine has
        *(["SlurmctldParameters=preempt_send_user_signal"] if settings.user_signal else []),
        "SchedulerType=sched/backfill",
        "SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "DefMemPerCPU=100",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        f"MaxArraySize={settings.max_array_size}",
        "MaxJobCount=20000",
        "MinJobAge=300",
        f"KillWait={settings.kill_wait_s}",
        f"SlurmdTimeout={settings.node_down_s}",
        "SlurmctldTimeout=10",
        "MessageTimeout=10",
        "InactiveLimit=0",
        *(["GresTypes=gpu"] if settings.gpus else []),
    ]
    gres = f" Gres=gpu:{settings.gpus}" if settings.gpus else ""
    for number, name in enumerate(node_names(settings)):
        lines.append(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port(settings, number)}"
            f" CPUs={settings.cpus} RealMemory={settings.memory_mb}{gres} State=UNKNOWN"
        )
    every = f"Nodes=n[1-{settings.nodes}] MaxTime=INFINITE DefaultTime=10 State=UP"
    for name, mode in PREEMPTED.items():
        default = " Default=YES" if name == "low" else ""
        lines.append(
            f"PartitionName={name} {every}{default} PriorityTier=1 PreemptMode={mode} GraceTime={settings.grace_s}"
        )
    lines.append(f"PartitionName=high {every} PriorityTier=10 PreemptMode=OFF")
    return "\n".join(lines) + "\n"


def _accounting(settings: Settings, places: Places) -> list[str]:
    if not settings.accounting:
        return ["AccountingStorageType=accounting_storage/none"]
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={settings.port + 1}",
        f"AccountingStoragePass={places.socket}",  # the client takes munge's socket from here, not from AuthInfo
        "AccountingStorageTRES=gres/gpu",
        "AccountingStorageEnforce=associations,limits,qos",  # without it an unknown account or QOS is accepted
    ]


def gres_conf(settings: Settings, devices: list[str]) -> str:
    """gres.conf. Slurm 22.05 puts a node whose GPUs have no device file into the state INVAL."""
    nodes = f"n[1-{settings.nodes}]"
    return "".join(f"NodeName={nodes} Name=gpu AutoDetect=off File={device}\n" for device in devices)


def slurmdbd_conf(settings: Settings, places: Places, password: str) -> str:
    """slurmdbd.conf. Slurm wants it to be readable by its user alone."""
    return f"""AuthType=auth/munge
AuthInfo={places.socket}
DbdAddr=127.0.0.1
DbdHost=localhost
DbdPort={settings.port + 1}
SlurmUser={user()}
LogFile={places.log}/slurmdbd.log
PidFile={places.run}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={settings.port + 2}
StorageUser=slurm
StoragePass={password}
StorageLoc={DATABASE}
DebugLevel=info
"""


def mariadb_cnf(settings: Settings, places: Places) -> str:
    """my.cnf of a database that is small, quick to start, and not worth saving from a power cut."""
    return f"""[mysqld]
user={user()}
datadir={places.database}
socket={places.run}/mariadb.socket
pid-file={places.run}/mariadbd.pid
log-error={places.log}/mariadbd.log
bind-address=127.0.0.1
port={settings.port + 2}
skip-name-resolve
skip-log-bin
innodb_buffer_pool_size=32M
innodb_log_file_size=8M
innodb_flush_log_at_trx_commit=0
innodb_doublewrite=0
innodb_lock_wait_timeout=900
max_connections=20
performance_schema=0
aria_pagecache_buffer_size=1M
key_buffer_size=1M
init-file={places.etc}/init.sql
"""


def init_sql(password: str) -> str:
    """What MariaDB runs at every start."""
    return f"""CREATE DATABASE IF NOT EXISTS {DATABASE};
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL ON {DATABASE}.* TO 'slurm'@'127.0.0.1';
"""
