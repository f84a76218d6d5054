"""Daemons: started once, known by their pid files, stopped by pid, unless another program has that pid by now."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

POLL_S = 0.05
TERM_S = 10.0
READY_S = 60.0
"""Longest waits: for a daemon that was asked to end, and for one that was started on a slow machine."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """One program that goes on by itself."""

    name: str  # for people: slurmd n1
    program: str  # as the kernel calls it
    pid_file: Path
    log: Path
    start: Sequence[str]  # ends when the daemon has left the foreground
    listens: int | Path  # a port of the loopback interface, or a socket
    mark: str  # a variable of its environment, NAME=VALUE: daemons of another cluster have another one
    stop_s: float = TERM_S

    @property
    def pid(self) -> int | None:
        """Of the daemon that lives; None where it does not."""
        try:
            pid = int(self.pid_file.read_text().strip())
        except (OSError, ValueError):
            return None
        return pid if command_of(pid) == self.program and self.mark in environment_of(pid) else None

    def up(self, environment: dict[str, str]) -> bool:
        """Start it where it does not live; whether it was started. Raises UserError with the end of its log."""
        if self.pid is not None:
            return False
        if listening(self.listens):
            raise UserError(f"{self.name}: something else listens at {self.listens}; `up --port` chooses other ports")
        self.pid_file.unlink(missing_ok=True)
        with self._first_words.open("wb") as said:
            left = subprocess.run(
                list(self.start),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                cwd="/",
                start_new_session=True,
                check=False,
            )
        if left.returncode != 0:
            raise UserError(f"{self.name} did not start: {self._last_words()}")
        if not until(READY_S, lambda: self.pid is not None and listening(self.listens)):
            raise UserError(f"{self.name} is not ready: {self._last_words()}")
        return True

    def down(self) -> bool:
        """Stop it, at first politely; whether it lived."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            if not until(self.stop_s, lambda: command_of(pid) is None):
                self.kill()
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def kill(self) -> None:
        """End it as a crash would."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            until(TERM_S, lambda: command_of(pid) is None)

    @property
    def _first_words(self) -> Path:
        return self.log.with_suffix(".start")

    def _last_words(self) -> str:
        for path in (self._first_words, self.log):
            lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
            if lines:
                return f"{lines[-1].strip()} ({path})"
        return f"nothing was said ({self.log})"


def command_of(pid: int) -> str | None:
    """The name of a living process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.partition(":\t")[::2] for line in status.splitlines())
    return None if fields["State"].startswith("Z") else fields["Name"]


def environment_of(pid: int) -> list[str]:
    """The variables that a process of ours was started with, NAME=VALUE; none for others' processes."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes()).split("\0")
    except OSError:
        return []


def until(seconds: float, true: Callable[[], bool]) -> bool:
    """Wait for something, looking often; whether it came."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def listening(at: int | Path) -> bool:
    """Whether somebody takes connections at a port of the loopback interface, or at a socket."""
    family, address = (socket.AF_UNIX, str(at)) if isinstance(at, Path) else (socket.AF_INET, ("127.0.0.1", at))
    with socket.socket(family) as asking:
        asking.settimeout(1)
        return asking.connect_ex(address) == 0
