"""A small sweep on a cluster, to which something is done: four trainings in two jobs, counted line by line."""

import contextlib
import csv
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import victims

from bench import lease, local, plan
from bench.record import TRAIN, Record, Start
from bench.store import Store
from bench.work import Work
from slurm import sending, states, submission
from slurm.cluster.cluster import Cluster
from slurm.limits import limits
from slurm.packing import pack, units
from slurm.request import request
from slurm.sending import Sent
from vitab.works import select, works

SPEC = """
study: faults
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.2}
  train: {recipe: tiny, epochs: EPOCHS, batch: 32}
  execution: {checkpoint_every_s: 0.1, loader_workers: 2}
design:
  factorial: {train.lr: [1e-3, 4e-3]}
seeds: 2
columns: [params, top1]
"""

HUGE = 3072

HOG = f"  one_factor: {{model.dim: [{HUGE}]}}\n"
"""A row whose weights alone take more memory than its job may have: 2.7 GB with the optimizer's, of 0.9."""

LONGEST_S = 240.0
"""Nothing here takes longer, however slow the machine is."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a sweep left, counted in the raw lines of its store."""

    starts: tuple[int, ...]  # of each training
    lines: int
    lost: int  # keys that had a record and have none, or never got one
    doubled: int  # records after the first of a key, and starts of what had a record
    anew: int  # starts from the beginning of trainings that had a checkpoint
    identical: bool  # the table, to that of the undisturbed sweep
    failures: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Sweep:
    """One sweep in a folder of its own."""

    cluster: Cluster | None  # None: nothing is sent
    folder: Path
    epochs: int = 100
    design: str = ""  # more rows, as lines of the spec
    data: str = ""  # another line of the spec
    sent: list[Sent] = field(default_factory=list)
    done_before: set[str] = field(default_factory=set)  # keys with a record when something was done to the sweep
    saved_before: set[str] = field(default_factory=set)  # keys with a checkpoint then
    stopped: float = 0.0  # when all jobs stood still, in seconds since the epoch

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.spec.write_text(self.text())
        if self.cluster is not None:
            os.environ["SLURM_CONF"] = str(self.cluster.places.slurm_conf)

    def text(self) -> str:
        """Of the spec: its data, its trainings, its rows."""
        text = SPEC.replace("EPOCHS", str(self.epochs)).replace("seeds:", self.design + "seeds:")
        return text.replace("data: {name: digits, subset: 0.2}", self.data) if self.data else text

    @property
    def spec(self) -> Path:
        """What is swept."""
        return self.folder / "faults.yaml"

    @property
    def store(self) -> Store:
        """What comes of it."""
        return Store(self.folder / "runs")

    def works(self) -> list[Work]:
        """Everything, done or not."""
        return works(select(str(self.spec)), self.store.read())

    def missing(self) -> list[Work]:
        """What has no record."""
        return plan.missing(self.works(), self.store.read(), weights_ready=self.store.weights_ready)

    def prepare(self, *, jobs: int = 2, **asked: object) -> Sent:
        """What `vitab run --on slurm` writes before it sends."""
        layer = {"partition": "low", "timeout_min": 10, "memory_gb": 0.9} | asked
        waves = pack(units(self.missing(), lambda work: 60.0), most_jobs=jobs, worth_s=60.0)
        largest = 100 if self.cluster is None else limits()[0]
        return sending.prepare(waves, self.store, request(layer), study="faults", max_array_size=largest)

    def send(self, *, jobs: int = 2, hold: bool = False, **asked: object) -> None:
        """Send what is missing."""
        self.sent.append(submission.submit(self.prepare(jobs=jobs, **asked), hold=hold))

    @property
    def ids(self) -> list[str]:
        """Slurm's, of every array."""
        return [str(array.id) for sent in self.sent for array in sent.send.arrays]

    def jobs(self) -> dict[str, str]:
        """Slurm's word for every job, by name."""
        said = states.states(self.ids) or {}
        return {f"{job.array}_{job.index}": job.state for job in said.values()}

    def wait(self, true: Callable[[], object], what: str, longest_s: float = LONGEST_S) -> None:
        """Until something is so."""
        end = time.monotonic() + longest_s
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come: {self.jobs()}\n{self.logs()[-3000:]}")
            time.sleep(0.1)

    def in_flight(self) -> list[Path]:
        """Trainings that somebody works on and that have saved a checkpoint since all stood still: their folders."""
        found = []
        for key in lease.running(self.store):
            with contextlib.suppress(FileNotFoundError):
                folder = self.store.weights_folder(key)
                found += [folder] if (folder / "checkpoint.pt").stat().st_mtime > self.stopped else []
        return found

    def wait_until_busy(self, count: int = 2) -> None:
        """Until so many trainings are under way, and remember what is done by then."""
        self.wait(lambda: len(self.in_flight()) >= count or self.ended(), f"{count} trainings under way")
        assert self.in_flight(), self.logs()[-2000:]
        self.done_before = {record.key for record in self.records()}
        self.saved_before |= {folder.name for folder in self.in_flight()}

    def running_jobs(self) -> list[str]:
        """The names of jobs that run."""
        return [name for name, state in self.jobs().items() if state == "RUNNING"]

    def wait_until_stopped(self) -> None:
        """Until no job runs: each has ended, or waits to be started again."""
        self.wait(lambda: not self.running_jobs(), "the end of all jobs' lives")
        self.stopped = time.time()

    def told_to_go(self) -> bool:
        """Whether every worker has a SIGTERM that it could not yet obey."""
        return all(victims.is_told_to_go(pid) for pid in self.processes("bench.worker"))

    def warn(self) -> None:
        """Tell all processes of all jobs what Slurm tells them ahead of an end."""
        for name in self.running_jobs():
            self.call("scancel", "--signal=USR2", name)

    def ended(self) -> bool:
        """Whether Slurm says that every job is over, and nobody works any more."""
        said = states.states(self.ids)
        return bool(said) and all(job.life == "ended" for job in said.values()) and not lease.running(self.store)

    def wait_until_ended(self, longest_s: float = LONGEST_S) -> None:
        """However they ended."""
        self.wait(self.ended, "the end of all jobs", longest_s)

    def finish(self, **asked: object) -> Result:
        """Wait for the jobs, send what they left as the next `vitab run` would, and count."""
        self.wait_until_ended()
        if self.missing():
            self.send(**asked)
            self.wait_until_ended()
        return self.result()

    def lines(self) -> list[Start | Record]:
        """Every line of the store, file after file; nothing is merged."""
        decode = msgspec.json.Decoder(Start | Record).decode
        files = sorted((self.store.path / "records").glob("*.jsonl"))
        return [
            decode(line) for file in files for line in file.read_bytes().splitlines(keepends=True) if b"}\n" in line
        ]

    def records(self) -> list[Record]:
        """Every end line."""
        return [line for line in self.lines() if isinstance(line, Record)]

    def result(self) -> Result:
        """Count."""
        lines, all_keys = self.lines(), {work.key for work in self.works()}
        ends = [line for line in lines if isinstance(line, Record)]
        starts = [line for line in lines if isinstance(line, Start)]
        first_end = {record.key: record.time for record in sorted(ends, key=lambda record: record.time, reverse=True)}
        again = [start for start in starts if start.time > first_end.get(start.key, "~")]
        count = Counter(start.key for start in starts)
        return Result(
            starts=tuple(count[work.key] for work in self.works() if work.measure == TRAIN),
            lines=len(lines),
            lost=len((all_keys | self.done_before) - {record.key for record in ends}),
            doubled=len(ends) - len(first_end) + len(again),
            anew=sum(begun - 1 for key, begun in self.begun(starts).items() if key in self.saved_before),
            identical=self.table() == self.undisturbed(),
            failures=tuple(f"{record.failure.kind}: {record.failure.reason}" for record in ends if record.failure),
        )

    def begun(self, starts: list[Start]) -> Counter[str]:
        """How often each training began at its first step, by what the workers' logs say."""
        keys, found = {start.attempt: start.key for start in starts}, Counter[str]()
        for log in (self.store.path / "logs").glob("*.log"):
            key = ""
            for line in log.read_text().splitlines():
                if line.startswith("--- "):
                    key = keys.get(line.split()[-1], "")
                elif line == "training from step 0":
                    found[key] += 1
        return found

    def table(self) -> str:
        """What `vitab table` prints of the rows that can be had."""
        return table(self.spec, self.store)

    def undisturbed(self) -> str:
        """The table of the same sweep that ran here, with nothing done to it; made once a folder."""
        home = self.folder.parent / f"undisturbed-{hashlib.sha256(self.text().encode()).hexdigest()[:8]}"
        kept = home / "table.csv"
        if not kept.exists():
            home.mkdir(exist_ok=True)
            spec, store = home / "faults.yaml", Store(home / "runs")
            spec.write_text(self.text())
            wanted = [work for work in works(select(str(spec)), store.read()) if work.trial.model.knobs["dim"] != HUGE]
            local.run(plan.missing(wanted, store.read(), weights_ready=store.weights_ready), store, workers=2)
            kept.write_text(table(spec, store))
        return kept.read_text()

    def logs(self) -> str:
        """Everything that the jobs said."""
        return "\n".join(
            path.read_text() for sent in self.sent for path in sorted((sent.folder / "jobs").glob("*log*"))
        )

    def call(self, *command: str) -> str:
        """A command of Slurm's."""
        return self.cluster.call(*command, check=True)

    def node_of_a_job(self) -> str:
        """Where the first of the running jobs runs."""
        return self.call("squeue", "--noheader", f"--jobs={','.join(self.ids)}", "--states=R", "--format=%N").split()[0]

    def state_of(self, node: str) -> str:
        """Slurm's word for a node."""
        return self.call("sinfo", "--noheader", f"--nodes={node}", "--partition=low", "--format=%T").strip()

    def revive(self, node: str) -> None:
        """Start a node's daemon again, and wait for it."""
        self.cluster.node(node).up(self.cluster.environment)
        self.wait(lambda: self.state_of(node) in ("idle", "mixed", "allocated"), f"node {node}")

    def processes(self, module: str, node: str | None = None) -> list[int]:
        """Processes of this sweep that run one of our modules, of all nodes or of one."""
        return victims.of_sweep(self.folder, module, node)

    def held(self, *modules: str, node: str | None = None) -> contextlib.AbstractContextManager[None]:
        """Such processes do nothing while this lasts."""
        return victims.held([pid for module in modules for pid in self.processes(module, node)])

    def kill(self, *modules: str) -> None:
        """End such processes, all of them, as nothing can prevent it."""
        victims.signal_all((pid for module in modules for pid in self.processes(module)), signal.SIGKILL)

    def kill_node(self, node: str) -> None:
        """End everything on a node, its daemon first."""
        self.cluster.node(node).kill()
        victims.signal_all(victims.of_node(self.cluster.places.slurm_conf, node), signal.SIGKILL)


def table(spec: Path, store: Store) -> str:
    """What `vitab table` prints of the rows that can be had, with every digit: a line a row, of what it has."""
    command = [sys.executable, "-m", "vitab", "table", str(spec), "--store", str(store.path), "--as", "csv"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=spec.parent).stdout
    rows = [row for row in csv.DictReader(io.StringIO(said)) if row["row"] != str(HUGE)]
    return "".join(f"{ {name: cell for name, cell in row.items() if cell} }\n" for row in rows)
