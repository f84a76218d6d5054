"""Interruption: signals that end a run as Ctrl-C does, workers first."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(KeyboardInterrupt):
    """A signal ended a run; the workers are gone, and trainings have saved what they could."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def by(signals: tuple[int, ...]) -> Iterator[None]:
    """One of these raises Stopped. Only a main thread may say so; in another one they do what they did."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, *_: object) -> None:
        for other in signals:  # Slurm sends SIGTERM after SIGUSR2, and again: it must not cut the workers' time short
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
