"""acting: for tests, the square of the seed, after doing what the data's option `act` says. In points."""

import os
import re
import signal
import subprocess
import sys
import time

from bench.errors import Diverged, Interrupted, Invalid, Needs
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

VERSION = 1
DEPENDS_ON = ("data", "seed")
PRODUCES = {"points": ("points", "higher")}
REMEASURE_IF_CHANGED = ("msgspec",)


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    act, _, argument = trial.data.options["act"].partition(" ")
    value = float(trial.seed**2)
    if act == "sleep":
        time.sleep(float(argument))
    elif act == "swallow":  # as a library that is interrupted while it is imported
        try:
            time.sleep(float(argument))
        except Interrupted:
            raise RecursionError("maximum recursion depth exceeded") from None
    elif act == "hog":  # one call into C that keeps the interpreter's lock for hours
        (subject.store / "hogging").touch()
        re.match(r"(a+)+$", "a" * 50 + "b")
    elif act == "spawn":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (subject.store / "child").write_text(str(child.pid))
        time.sleep(600)
    elif act == "read":
        assert sys.stdin.read() == ""
    elif act == "die":
        os.kill(os.getpid(), getattr(signal, argument))
    elif act == "exit":
        os._exit(int(argument))
    elif act == "die-once":
        flag = subject.store / f"died-{trial.seed}"
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif act == "raise":
        raise {
            "invalid": Invalid("patch 3 does not divide the image"),
            "needs": Needs("no ImageNet"),
            "diverged": Diverged(12, 7.5),
            "memory": MemoryError(),
            "value": ValueError("first line\nsecond line"),
            "exit": SystemExit(3),
            "silent": RuntimeError(),
            "import": ModuleNotFoundError("No module named 'timm.layers'", name="timm.layers"),
        }[argument]
    elif act == "nan":
        value = float(argument)
    elif act == "bind":
        subject.bound["thing"] = object()
    elif act == "torch":
        import torch

        if argument == "allocate":
            torch.empty(10**15)
        if argument == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        value = float(torch.get_num_threads())
    return {"points": Quantity(samples=(value,), unit="points", better="higher")}
