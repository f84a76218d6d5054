"""Every way in which a sweep on Slurm was seen to go wrong, provoked one after another on a small cluster.

    python tests/slurm/faults.py [NAME …] [--folder FOLDER] [--port PORT]

prints a Markdown table: for each fault how often each training was started, how many lines the store has (counted in
its files, before anything is merged), how many records were lost or made twice, and whether the table is the one of
the undisturbed sweep. The exit code is 1 when any came out wrong.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from PIL import Image
from sweep import HOG, Result, Sweep

from slurm import states
from slurm.cluster import cluster
from slurm.cluster.cluster import Cluster
from slurm.cluster.settings import Settings

LONG = 500
"""Epochs that outlast a node that is given up, or a time limit of a minute: some twenty seconds of one idle core."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to go wrong."""

    title: str
    provoke: Callable[[Sweep], Result]
    epochs: int = 120
    user_signal: bool = True  # what the site does to what it preempts
    grace_s: int = 0
    design: str = ""
    images: bool = False  # trained on files, which a loader's processes read


FAULTS: dict[str, Fault] = {}


def fault(title: str, **how: object) -> Callable[[Callable[[Sweep], Result]], Callable[[Sweep], Result]]:
    """Enter a fault by the name of its function."""

    def enter(provoke: Callable[[Sweep], Result]) -> Callable[[Sweep], Result]:
        FAULTS[provoke.__name__] = Fault(title=title, provoke=provoke, **how)  # type: ignore[arg-type]
        return provoke

    return enter


def preempt(sweep: Sweep) -> None:
    """Others want every node, for two seconds."""
    nodes = sweep.cluster.settings.nodes
    sweep.call("sbatch", "--partition=high", f"--nodes={nodes}", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")


def preempted(sweep: Sweep, **asked: object) -> Result:
    """The sweep gives way while both of its jobs train."""
    sweep.send(**asked)
    sweep.wait_until_busy()
    preempt(sweep)
    sweep.wait(lambda: "RUNNING" not in sweep.jobs().values(), "the preemption")
    return sweep.finish(**asked)


@fault("nothing happens")
def undisturbed(sweep: Sweep) -> Result:
    sweep.send()
    return sweep.finish()


@fault("preempted by requeue, GraceTime 0, user signal")
def preempted_with_signal(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted by requeue, GraceTime 0, no user signal", user_signal=False)
def preempted_without_signal(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted by requeue, GraceTime 60, user signal", grace_s=60)
def preempted_with_signal_and_grace(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted by requeue, GraceTime 60, no user signal", grace_s=60, user_signal=False)
def preempted_without_signal_with_grace(sweep: Sweep) -> Result:
    return preempted(sweep)


@fault("preempted by cancel, GraceTime 0")
def preempted_by_cancel(sweep: Sweep) -> Result:
    return preempted(sweep, partition="spot")


@fault("preempted by cancel, GraceTime 60", grace_s=60)
def preempted_by_cancel_with_grace(sweep: Sweep) -> Result:
    return preempted(sweep, partition="spot")


@fault("forked loaders' processes told to go", user_signal=False, images=True, epochs=30)
def loaders(sweep: Sweep) -> Result:
    found = preempted(sweep, memory_gb=1.8)  # Slurm counts what the processes of a loader share once for each
    said = "".join(path.read_text() for path in (sweep.store.path / "logs").glob("*.log"))
    assert "Traceback" not in said, said
    return found


@fault("time limit, USR2 ahead of it", epochs=LONG)
def time_limit(sweep: Sweep) -> Result:
    sweep.send(timeout_min=1, warning_s=25)
    return sweep.finish(timeout_min=1, warning_s=25)


@fault("a warning, and a requeue after it")
def warned(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    for name in sweep.jobs():
        sweep.call("scancel", "--signal=USR2", name)
    sweep.wait(lambda: "RUNNING" not in sweep.jobs().values(), "the requeue")
    return sweep.finish()


@fault("a checkpoint slower than the warning")
def slow_checkpoint(sweep: Sweep) -> Result:
    sweep.send(warning_s=15)
    sweep.wait_until_busy()
    for pid in sweep.processes("bench.worker"):
        os.kill(pid, signal.SIGSTOP)
    for name in sweep.jobs():
        sweep.call("scancel", "--signal=USR2", name)
    sweep.wait(lambda: "RUNNING" not in sweep.jobs().values(), "the requeue")
    return sweep.finish()


@fault("a time limit without a checkpoint", epochs=LONG)
def time_limit_unheard(sweep: Sweep) -> Result:
    sweep.send(timeout_min=1, warning_s=20)
    sweep.wait_until_busy()
    for module in ("bench.worker", "slurm.job"):
        for pid in sweep.processes(module):
            os.kill(pid, signal.SIGSTOP)
    sweep.wait(lambda: set(sweep.jobs().values()) == {"TIMEOUT"}, "the time limit")
    return sweep.finish()


@fault("`scontrol requeue` racing a preemption")
def requeue_races_preemption(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    racing = [
        threading.Thread(target=preempt, args=[sweep]),
        *(threading.Thread(target=sweep.cluster.call, args=("scontrol", "requeue", name)) for name in sweep.jobs()),
    ]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    return sweep.finish()


@fault("a lost node whose orphan lives", epochs=LONG)
def lost_node(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    node = sweep.node_of_a_job()
    sweep.cluster.node(node).kill()
    try:
        sweep.wait(lambda: sweep.state_of(node).startswith("down"), "the loss of the node")
        assert sweep.processes("slurm.job", node)
        return sweep.finish()
    finally:
        sweep.revive(node)


@fault("a node that is gone with all its processes", epochs=LONG)
def killed_node(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    node = sweep.node_of_a_job()
    sweep.cluster.node(node).kill()
    for pid in sweep.everything_on(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        return sweep.finish()
    finally:
        sweep.revive(node)


@fault("slurmctld restarted during work")
def controller_restarted(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.cluster.controller.kill()
    time.sleep(3)  # of a controller that is away, while work goes on
    sweep.cluster.controller.up(sweep.cluster.environment)
    return sweep.finish()


@fault("slurmctld away while sending")
def controller_away(sweep: Sweep) -> Result:
    sweep.cluster.controller.down()
    back = threading.Timer(12, sweep.cluster.controller.up, [sweep.cluster.environment])
    back.start()
    try:
        sweep.send()
    finally:
        back.join()
    return sweep.finish()


@fault("cancelled while pending")
def cancelled_pending(sweep: Sweep) -> Result:
    sweep.send(hold=True)
    states.cancel(sweep.ids)
    return sweep.finish()


@fault("cancelled while running")
def cancelled_running(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    states.cancel(sweep.ids)
    sweep.wait_until_ended()
    assert set(sweep.jobs().values()) == {"CANCELLED"}
    return sweep.finish()


@fault("one of two jobs cancelled")
def cancelled_one(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    sweep.call("scancel", next(iter(sweep.jobs())))
    return sweep.finish()


@fault("a worker killed")
def worker_killed(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    os.kill(sweep.processes("bench.worker")[0], signal.SIGKILL)
    return sweep.finish()


@fault("a job killed")
def job_killed(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    os.kill(sweep.processes("slurm.job")[0], signal.SIGKILL)
    return sweep.finish()


@fault("out of memory", design=HOG)
def out_of_memory(sweep: Sweep) -> Result:
    sweep.send()
    for _ in range(3):  # each job that it takes with it leaves the rest to the next one
        sweep.wait_until_ended()
        if sweep.missing():
            sweep.send()
    return sweep.finish()


@fault("a job suspended and resumed")
def suspended(sweep: Sweep) -> Result:
    sweep.send()
    sweep.wait_until_busy()
    name = next(iter(sweep.jobs()))
    sweep.call("scontrol", "suspend", name)
    sweep.wait(lambda: sweep.jobs()[name] == "SUSPENDED", "the suspension")
    time.sleep(2)  # in which nobody may take it for ended
    assert not sweep.ended()
    sweep.call("scontrol", "resume", name)
    return sweep.finish()


@fault("the submission host gone after sending")
def sender_gone(sweep: Sweep) -> Result:
    sent = sweep.prepare()
    said = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time, msgspec; from pathlib import Path; from slurm import sending, submission\n"
            "folder = Path(sys.argv[1]); data = (folder / 'send.json').read_bytes()\n"
            "send = msgspec.json.decode(data, type=sending.Send)\n"
            "submission.submit(sending.Sent(folder=folder, send=send)); time.sleep(600)",
            str(sent.folder),
        ]
    )
    sweep.wait(lambda: b'"id": "' in (sent.folder / "send.json").read_bytes(), "the sending")
    said.kill()
    said.wait()
    sweep.take_up()
    return sweep.finish()


@fault("a node without scontrol, preempted", grace_s=10)
def without_scontrol(sweep: Sweep) -> Result:
    tools = sweep.folder / "bin"
    tools.mkdir()
    srun = sweep.cluster.call("sh", "-c", "command -v srun").strip()
    (tools / "srun").symlink_to(srun)
    site = sweep.folder / "site.yaml"
    site.write_text(f"setup: ['export PATH={tools}']\n")
    site.chmod(0o600)
    before = os.environ.get("VITAB_SITE")
    os.environ["VITAB_SITE"] = str(site)
    try:
        return preempted(sweep)
    finally:
        del os.environ["VITAB_SITE"]
        if before is not None:
            os.environ["VITAB_SITE"] = before


@fault("leftovers of killed writers")
def leftovers(sweep: Sweep) -> Result:
    (training, *_) = [work for work in sweep.works() if work.measure == "train"]
    for name in ("leases", "records", f"weights/{training.key}"):
        sweep.store.folder(*name.split("/"))
    (sweep.store.path / "leases" / ".0123456789ab").write_bytes(b"{")
    (sweep.store.path / "leases" / training.key).write_bytes(b'{"host": "gone", "bo')
    long_ago = time.time() - 3600
    os.utime(sweep.store.path / "leases" / training.key, (long_ago, long_ago))
    (sweep.store.weights_folder(training.key) / ".checkpoint.pt.4711").write_bytes(b"half")
    (sweep.store.weights_folder(training.key) / "checkpoint.pt").write_bytes(b"no checkpoint")
    (sweep.store.path / "records" / "gone-1-1.jsonl").write_bytes(b'{"event": "end", "format": 1, "key": "')
    sweep.send()
    return sweep.finish()


@contextlib.contextmanager
def site(folder: Path, one: Fault, port: int) -> Iterator[Cluster]:
    """The cluster as a fault wants it; restarted where it was another."""
    wanted = Settings(nodes=3, gpus=0, port=port, user_signal=one.user_signal, grace_s=one.grace_s)
    yield cluster.up(folder, wanted)


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


def provoke(name: str, home: Path, one: Cluster, *, epochs: int | None = None) -> Result:
    """One fault in one sweep, in a folder of its own."""
    what = FAULTS[name]
    data = images(home / "shades") if what.images else ""
    return what.provoke(
        Sweep(cluster=one, folder=home / name, epochs=epochs or what.epochs, design=what.design, data=data)
    )


def main() -> int:
    """1 when any came out wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FAULTS)}; all by default")
    parser.add_argument("--folder", type=Path, help="where the cluster and the sweeps lie; a temporary one by default")
    parser.add_argument("--port", type=int, default=18400, help="the cluster's first port (%(default)s)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="vitab-faults-"))
    print("| fault | starts of each training | lines | lost | doubled | table | s |\n|:--|:--|--:|--:|--:|:--|--:|")
    wrong = 0
    chosen = options.names or sorted(FAULTS, key=lambda name: (not FAULTS[name].user_signal, FAULTS[name].grace_s))
    for name in chosen:
        began = time.monotonic()
        with site(folder / "cluster", FAULTS[name], options.port) as one:
            try:
                found = provoke(name, folder, one)
            except Exception as problem:  # noqa: BLE001 the others are still to come
                print(f"| {FAULTS[name].title} | {type(problem).__name__}: {str(problem)[:3000]} |", flush=True)
                wrong += 1
                continue
        wrong += not found.right
        said = [", ".join(map(str, found.starts)), found.lines, found.lost, found.doubled]
        table = ("identical" if found.identical else "DIFFERENT") + "".join(f"; {one}" for one in found.failures)
        print(
            f"| {FAULTS[name].title} | {' | '.join(map(str, said))} | {table} | {time.monotonic() - began:.0f} |",
            flush=True,
        )
    cluster.purge(folder / "cluster")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
