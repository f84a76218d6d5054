"""A job: what Slurm starts. It does its own list, then whatever else of its send nobody works on, and goes.

    python -P -u -m slurm.job FOLDER ARRAY

The work itself is done by `bench.local`: worker processes, one piece of work each, so that a trial that kills its
process costs one trial and a preempted one goes on from its checkpoint. Nothing here imports torch.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import lease, local, plan
from bench.errors import UserError
from bench.store import Store
from bench.work import Work
from bench.worker import Event
from slurm import sending
from slurm.sending import Send

PATIENCE_S = 2 * lease.DEAD_AFTER_S
"""How long a job waits for what others hold: until a holder that died is known to be dead."""

REQUEUED_S = 60.0
"""How long a job that was put back into the queue waits for its own end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done or put back into the queue, 1 something failed, 2 the job cannot work here, 143 ended."""
    folder, array = Path((arguments or sys.argv[1:])[0]), int((arguments or sys.argv[1:])[1])
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    try:
        send = msgspec.json.decode((folder / "send.json").read_bytes(), type=Send)
        store = Store(Path(send.store))
        if not (store.path / "records").is_dir():
            raise UserError(
                f"the store {send.store} is not there; this node does not see the folder that was sent from"
            )
        workers = max(1, send.request.gpus)
        outcome = local.run(
            todo(folder, send, array, index, store),
            store,
            workers=workers,
            on_event=_tell,
            patience_s=PATIENCE_S,
            grace_s=max(5.0, send.request.warning_s - 10.0),
            signals=(signal.SIGTERM, signal.SIGUSR2),
        )
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except local.Stopped as stopped:
        return _ended(stopped.signal)
    return 1 if outcome.failed else 0


def todo(folder: Path, send: Send, array: int, index: int, store: Store) -> list[Work]:
    """What is missing: the job's own list first, then the rest of its wave and of those before."""
    works = sending.manifest(folder)
    own = send.arrays[array].own[index]
    allowed = {line for one in (*range(array + 1),) for job in send.arrays[one].own for line in job}
    order = [*own, *sorted(allowed - set(own))]
    return plan.missing((works[line] for line in order), store.read(), weights_ready=store.weights_ready)


def _tell(event: Event, work: Work) -> None:
    """A log line for what begins and what ends."""
    moment = time.strftime("%H:%M:%S")
    if event.event == "started":
        print(f"{moment} {work.label} {work.measure} …", flush=True)
    elif event.event == "done":
        said = "done" if event.failure is None else f"{event.failure.kind}: {event.failure.reason}"
        took = "" if event.seconds is None else f" in {event.seconds:.1f} s"
        print(f"{moment} {work.label} {work.measure} {said}{took}", flush=True)
    elif event.event == "died":
        print(f"{moment} {work.label} {work.measure}: its process died; tried once more", flush=True)


def _ended(number: int) -> int:
    """Go back into the queue before the time limit; at a preemption or a cancellation Slurm decides.

    Refused is no error: a preempted job may be back in the queue already, and a node may lack `scontrol`.
    """
    print(f"{time.strftime('%H:%M:%S')} stopped by {signal.Signals(number).name}; checkpoints are saved", flush=True)
    if number != signal.SIGUSR2:
        return 128 + number
    job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("SLURM_JOB_ID", ""))
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{job}_{task}" if task else job
    try:
        asked = subprocess.run(
            ["scontrol", "requeue", name], capture_output=True, text=True, check=False, start_new_session=True
        )
    except OSError as problem:
        print(f"not put back into the queue: {problem}; `vitab run … --on slurm` sends the rest again", flush=True)
        return 0
    if asked.returncode:
        print(f"not put back into the queue: {asked.stderr.strip()}", flush=True)
        return 0
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(REQUEUED_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
