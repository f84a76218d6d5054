"""A job: what Slurm starts. It does its own list, then whatever else of its send nobody works on, and goes.

    python -P -u -m slurm.job FOLDER ARRAY

The work itself is done by `bench.local`: worker processes, one piece of work each, so that a trial that kills its
process costs one trial and a preempted one goes on from its checkpoint. Nothing here imports torch.

Slurm ends a job in many ways, and says too little about which: SIGUSR2 (ahead of the time limit, or of a preemption
where the site sends it), SIGTERM (all others), or SIGKILL alone. On both signals the trainings save; then Slurm is
asked what it is about to do, and the job goes back into the queue unless it was cancelled. Whatever a job leaves, the
other jobs of its send take up by lease, or the next send does.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench import lease, local, plan
from bench.crashes import Repeated
from bench.errors import UserError
from bench.interruption import Stopped
from bench.store import Store
from bench.work import Work
from bench.worker import Event
from slurm import brake, distributed, environment, idle, lives, sending
from slurm.lives import Life, this_job
from slurm.sending import Send

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)

PATIENCE_S = 2 * lease.DEAD_AFTER_S
"""How long a job waits for what others hold: until a holder that died is known to be dead."""

SAVING_S = 5.0
"""What is left for asking Slurm, of the time between its warning and the end."""

END_S = 120.0
"""How long a job that was told to go waits for its end: Slurm puts a preempted one back only if it is there to be
ended, and ends one that was put back within seconds."""

ASKING_S = 30.0
"""How long Slurm may take to answer."""


@dataclass(kw_only=True)
class Doing:
    """What a job did in this life."""

    folder: Path
    works: list[Work]
    store: Store
    life: Life
    brake: Callable[[Event], None]  # ends the job where its whole send was stopped
    attempts: set[str] = field(default_factory=set)  # what others did is told in their logs

    def tell(self, event: Event, work: Work) -> None:
        """A log line for what begins and what ends."""
        if event.event == "started":
            self.attempts.add(event.attempt)
            self.life.began(work.key, event.attempt)
            _say(f"{work.label} {work.measure} …")
        elif event.event == "done" and event.attempt in self.attempts:
            said = "done" if event.failure is None else f"{event.failure.kind}: {event.failure.reason}"
            took = "" if event.seconds is None else f" in {event.seconds:.1f} s"
            _say(f"{work.label} {work.measure} {said}{took}")
        elif event.event == "died":
            _say(f"{work.label} {work.measure}: its process died; tried once more")
        self.brake(event)

    def given_up(self, *, begun: bool) -> bool:
        """Record and say what the job has tried in so many lives that it is enough; whether there was such a thing."""
        found = idle.idle(self.folder, self.store, begun=begun)
        if found is None:
            return False
        idle.settle(found, self.works, self.store)
        keys = {began.key for began in found.last}
        labels = ", ".join(work.label for work in self.works if work.key in keys) or "it had nothing in hand"
        _say(f"{found}: {labels}: not tried again by itself")
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all is done, 1 something failed, 2 it cannot work here, 128 + n: ended by signal n."""
    for number in SIGNALS:  # before there is anything to save; `local.run` has its own
        signal.signal(number, _leave)
    folder, array = Path((arguments or sys.argv[1:])[0]), int((arguments or sys.argv[1:])[1])
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    doing = None
    try:
        send, store = opened(folder)
        works = sending.manifest(folder)
        place = distributed.place(works)
        if place is not None and place.node > 0:
            return distributed.follow(place)
        brake.look(folder)
        listen = brake.watched(folder, works, store, send.stop_after)
        doing = Doing(folder=folder, works=works, store=store, life=Life(folder), brake=listen)
        lives.settle(folder.parent, works, store)
        doing.given_up(begun=False)  # Slurm itself puts back what lost its node
        with distributed.leading(place):
            outcome = local.run(
                todo(works, send, array, index, store),
                store,
                workers=max(1, send.request.gpus) if place is None else 1,
                on_event=doing.tell,
                patience_s=PATIENCE_S,
                grace_s=max(SAVING_S, send.request.warning_s - 2 * SAVING_S),
                signals=SIGNALS,
            )
        doing.life.left()
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except Repeated as stopped:
        if doing is not None:
            doing.life.left()
        _say(str(stopped))
        return 1
    except Stopped as stopped:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if doing is not None:
            doing.life.left()
        return _ended(stopped.signal, doing)
    return 1 if outcome.failed else 0


def _leave(number: int, *_: object) -> None:
    raise Stopped(number)


def opened(folder: Path) -> tuple[Send, Store]:
    """A send and its store, as this node sees them. Raises UserError where it does not."""
    try:
        send = msgspec.json.decode((folder / "send.json").read_bytes(), type=Send)
    except OSError as problem:
        raise UserError(f"{folder} is not there; this node does not see the folder that was sent from") from problem
    store = Store(Path(send.store))
    if not (store.path / "records").is_dir():
        raise UserError(f"the store {send.store} is not there; this node does not see the folder that was sent from")
    return send, store


def todo(works: list[Work], send: Send, array: int, index: int, store: Store) -> list[Work]:
    """What has no record since it was sent: the job's own list first, then the rest of its wave and of those before.

    What had failed by then was sent to be tried again; what failed since then was tried.
    """
    own = send.arrays[array].own[index]
    allowed = {line for one in (*range(array + 1),) for job in send.arrays[one].own for line in job}
    snapshot = store.read()
    listed = [works[line] for line in (*own, *sorted(allowed - set(own)))]
    left = (work for work in listed if plan.answer(work, snapshot) is None)
    return plan.missing(left, snapshot, weights_ready=store.weights_ready, retry_failed=True)


def _ended(number: int, did: Doing | None) -> int:
    """Go back into the queue, unless Slurm has other plans, or nothing ever comes of it.

    Refused is no error: Slurm may have put the job back.
    """
    _say(f"stopped by {signal.Signals(number).name}; checkpoints are saved")
    code = 128 + number
    doing = _asked("squeue", "--noheader", f"--jobs={this_job()}", "--format=%T")
    if doing is not None and doing != "RUNNING":  # ended by its user, by its limit, or by a preemption
        _say(f"Slurm says {doing.lower() or 'that it is over'}")
        return code
    if did is not None and did.given_up(begun=True):
        return code
    if did is not None and number == signal.SIGUSR2 and (found := idle.idle(did.folder, did.store, most=1)):
        _say(f"{found}: it does not go back into the queue by itself")
    elif _asked("scontrol", "requeue", this_job()) is None:
        _say("not put back into the queue; unless Slurm does it, `vitab run … --on slurm` sends the rest again")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(END_S)
    return code


def _asked(*command: str) -> str | None:
    """What Slurm answers; None when it refuses, is away, or cannot be asked from here."""
    try:
        asked = subprocess.run(
            command,
            env=environment.of_questions(),
            capture_output=True,
            text=True,
            check=False,
            timeout=ASKING_S,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        _say(f"{command[0]}: {problem}")
        return None
    if asked.returncode:
        _say(f"{command[0]}: {asked.stderr.strip()}")
        return None
    return asked.stdout.strip()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
