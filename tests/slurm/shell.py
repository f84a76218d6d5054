"""A user's shell beside a cluster: `vitab` in a folder of its own, as a program, on a terminal or in a pipe."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TERMINAL_S = 120.0
"""For a command on a terminal, to its end."""

VITAB = (sys.executable, "-P", "-m", "vitab")

COUNTED = """\
study: counted
base: {model: {name: vit, image: 8, patch: 4, dim: 16, heads: 2}, data: digits}
design: {factorial: {model.depth: [1, 2, 3]}}
columns: [params]
"""

TRAINED = """\
study: trained
base:
  model: {name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.05}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  factorial: {train.lr: [1e-3]}
columns: [params, top1]
"""


@dataclass(kw_only=True)
class Shell:
    """A folder, and variables that its commands find."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of its commands."""
        left = {name: value for name, value in os.environ.items() if name not in ("VITAB_STORE", "VITAB_DATA")}
        own = {"VITAB_SITE": str(self.folder / "site.yaml"), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
        return left | own | self.variables

    def write(self, name: str, text: str) -> Path:
        """A file, which nobody else writes."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*VITAB, *words], cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        with self.start(*words) as begun:
            out, err = begun.communicate(timeout=240)
        return subprocess.CompletedProcess(words, begun.returncode, out, err)

    def send(self, study: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A study as jobs of their own memory."""
        return self.call("run", study, "--on", "slurm", "--slurm", "memory_gb=0.9", *words)

    def on_a_terminal(self, *words: str, then: Callable[[str], bool] = lambda shown: False) -> tuple[int, list[str]]:
        """A command on a terminal of 100 columns, with Ctrl-C as soon as `then` is true of what it has shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(VITAB[0], [*VITAB, *words], self.environment | {"COLUMNS": "100", "LINES": "30"})
        shown, sent, deadline = "", False, time.monotonic() + TERMINAL_S
        while True:
            if time.monotonic() > deadline or not select.select([terminal], [], [], TERMINAL_S)[0]:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError(f"no end in {TERMINAL_S} s: {shown[-1000:]}")
            try:
                read = os.read(terminal, 65536)
            except OSError:  # its end: EIO
                break
            if not read:
                break
            shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read.decode(errors="replace"))
            if not sent and then(shown):
                sent = True
                os.write(terminal, b"\x03")
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), [line for line in re.split(r"[\r\n]+", shown) if line.strip()]
