"""Daemons: started once, known by their pid files, stopped by pid, unless another program has that pid by now."""

import contextlib
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


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """One program that goes on by itself."""

    name: str  # for people: slurmd n1
    program: str  # as the kernel calls it
    pid_file: Path
    log: Path
    start: Sequence[str]  # ends when the daemon has left the foreground
    ready: Callable[[], bool]
    stop_s: float = TERM_S

    @property
    def pid(self) -> int | None:
        """Of the daemon that lives; None where it does not."""
        try:
            pid = int(self.pid_file.read_text().strip())
        except (OSError, ValueError):
            return None
        return pid if self.program.startswith(_command(pid) or "?") else None

    def up(self, environment: dict[str, str]) -> bool:
        """Start it where it does not live; whether it was started. Raises UserError with the end of its log."""
        if self.pid is not None:
            return False
        self.pid_file.unlink(missing_ok=True)
        with self.log.with_suffix(".start").open("ab") as said:
            left = subprocess.run(
                list(self.start),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
                check=False,
            )
        if left.returncode != 0:
            raise UserError(f"{self.name} did not start: {self._last_words()}")
        if not until(READY_S, self.ready):
            raise UserError(f"{self.name} is not ready: {self._last_words()}")
        return True

    def down(self) -> bool:
        """Stop it, at first politely; whether it lived."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            if not until(self.stop_s, lambda: _command(pid) is None):
                self.kill()
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def kill(self) -> None:
        """End it as a crash would."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            until(5, lambda: _command(pid) is None)

    def _last_words(self) -> str:
        for path in (self.log, self.log.with_suffix(".start")):
            with contextlib.suppress(OSError):
                lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
                if lines:
                    return f"{lines[-1]} ({path})"
        return f"nothing was said ({self.log})"


def _command(pid: int) -> str | None:
    """The name of a living process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.partition(":\t")[::2] for line in status.splitlines())
    return None if fields["State"].startswith("Z") else fields["Name"]


def until(seconds: float, true: Callable[[], bool]) -> bool:
    """Wait for something, looking often; whether it came."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def listening(port: int) -> bool:
    """Whether something on this machine takes connections at a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
