"""The sending itself: refused, by two at once, without an answer, interrupted, over what killed writers left."""

import os
import subprocess
import sys
import threading
import time

import pytest
from sweep import Result, Sweep

from bench.errors import UserError
from provoked.fault import fault
from slurm import sending, submission

SUBMIT = """
import sys, time, msgspec
from pathlib import Path
from slurm import sending, submission
folder = Path(sys.argv[1])
send = msgspec.json.decode((folder / "send.json").read_bytes(), type=sending.Send)
submission.submit(sending.Sent(folder=folder, send=send))
time.sleep(600)
"""


@fault("two people send the same study at once", most_starts=1)
def two_senders(sweep: Sweep) -> Result:
    both = [sweep.prepare(), sweep.prepare()]  # each before the other has sent anything
    sweep.sent = [submission.submit(one) for one in both]
    return sweep.finish()


@fault("more jobs than an array may have", most_starts=1, site={"max_array_size": 2})
def small_arrays(sweep: Sweep) -> Result:
    sweep.send(jobs=4)
    assert [len(array.own) for array in sweep.sent[0].send.arrays] == [2, 2]
    return sweep.finish()


@fault("refused by Slurm (a wrong partition), then sent", most_starts=1)
def refused(sweep: Sweep) -> Result:
    with pytest.raises(UserError, match="invalid partition specified: nowhere"):
        sweep.send(partition="nowhere")
    sweep.send()
    return sweep.finish()


@fault("slurmctld away while sending", most_starts=1)
def controller_away(sweep: Sweep) -> Result:
    sent = sweep.prepare()
    sweep.cluster.controller.down()
    back = threading.Timer(12, sweep.cluster.controller.up, [sweep.cluster.environment])
    back.start()
    try:
        sweep.sent = [submission.submit(sent)]
    finally:
        back.join()
    return sweep.finish()


@fault("the submission host gone after sending", most_starts=1)
def sender_gone(sweep: Sweep) -> Result:
    sent = sweep.prepare()
    sender = subprocess.Popen([sys.executable, "-c", SUBMIT, str(sent.folder)])
    sweep.wait(lambda: b'"id": "' in (sent.folder / "send.json").read_bytes(), "the sending")
    sender.kill()
    sender.wait()
    sweep.sent = sending.sends(sweep.store)
    return sweep.finish()


@fault("leftovers of killed writers", most_starts=1)
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
