"""command: whatever a program of the user's own gives, in the units that the study declares.

The program (bench/commands.py) is started in weights/KEY of the store and told of the trial as its words ask. What it
measured it writes as JSON lines, `{"QUANTITY": NUMBER or [NUMBER, …], …}`, into the file it was told; what it prints
is kept in log.txt. It succeeds by its exit code and by giving all that the study declares. Told to go (SIGTERM), it may
leave something in `checkpoints`, and finds it there when it is started again.
"""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench import commands, machine
from bench.errors import Invalid, Needs
from bench.identity import record_key
from bench.record import Failed, Failure, FailureKind, Quantity, Sample
from bench.subject import Subject
from bench.trial import Command, Trial

VERSION = 1
DEPENDS_ON = ("command", "task", "model", "input", "data", "seed")
PRODUCES: dict[str, tuple[str, str | None]] = {}  # what a study declares
TASKS = ("command",)

FORMAT = 1  # of the trial's file
LOG, CHECKPOINTS = "log.txt", "checkpoints"

GRACE_S = 600.0
"""For a program that was told to go; who told it ends it sooner."""

MOST_BYTES = 1 << 20  # of what it gives
LONGEST_REASON = 300  # characters
MOST_OF_A_LINE = 80  # characters, in a reason

_FRAME = re.compile(r'^\s*File "(.+)", line (\d+), in (.+)$')


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Run the program, and take what it gave. Raises Failed where it did not succeed, Needs where it is not here."""
    if trial.command is None:
        raise Invalid("no command is named: `task: command` and `command: NAME`")
    words = commands.registered(trial.command.name)
    folder = subject.store / "weights" / record_key("command", VERSION, DEPENDS_ON, trial)
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    places = _told(trial, folder)
    quantities = Path(places["quantities"])
    quantities.unlink(missing_ok=True)
    subject.bound["command"] = commands.digest(words)
    subject.artifacts["log"] = (folder / LOG).relative_to(subject.store).as_posix()
    command = commands.filled(words, trial.command, places)
    with (folder / LOG).open("ab") as log:
        began = log.tell()
        code = _run(command, folder, log.fileno())
    if code:
        raise Failed(_how_it_ended(trial.command, code, _said(folder / LOG, began)))
    given = _given(quantities)
    if lacking := [name for name in trial.command.gives if name not in given]:
        gave = f"it gave {', '.join(given)}" if given else "it gave nothing"
        raise _malformed(f"{trial.command.name} gave no {lacking[0]!r}; {gave} (log: {subject.artifacts['log']})")
    return given


def _told(trial: Trial, folder: Path) -> dict[str, str]:
    """What fills the places of a command; all of it stands in the trial's file, too.

    Files are this process's own: of a node that was thought lost the program may go on writing.
    """
    own = f"{machine.host()}-{os.getpid()}"
    left = any((folder / CHECKPOINTS).iterdir())
    places = {
        "seed": str(trial.seed),
        "trial": str(folder / f"trial-{own}.json"),
        "quantities": str(folder / f"quantities-{own}.jsonl"),
        "checkpoints": str(folder / CHECKPOINTS),
        "resume": "true" if left else "false",
    }
    assert trial.command is not None
    said = {"format": FORMAT, **places, "seed": trial.seed, "resume": left, "trial": trial}
    Path(places["trial"]).write_bytes(msgspec.json.encode(said | {"arguments": trial.command.arguments}))
    return places


def _run(command: list[str], folder: Path, log: int) -> int:
    """The exit code of a program in a group of its own, of which nothing is left; minus the signal that ended it.

    The kernel ends the group when this process is gone, however it goes: it then closes the last writing end of a pipe.
    """
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=_environment(os.environ),
            pass_fds=(read,),
            start_new_session=True,
        )
    except OSError as problem:
        os.close(read)
        os.close(write)
        raise Needs(f"the program {command[0]!r}: {(problem.strerror or str(problem)).lower()}") from problem
    fcntl.fcntl(read, fcntl.F_SETOWN, -process.pid)
    fcntl.fcntl(read, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(read, fcntl.F_SETFL, fcntl.fcntl(read, fcntl.F_GETFL) | os.O_ASYNC)
    os.close(read)
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except BaseException:  # we are to go: first it, which may have something to save
        _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and not _has_ended(process):
            time.sleep(0.05)
        raise
    finally:  # it is not reaped before: the number of its group stays taken
        _signal(process, signal.SIGKILL)
        process.wait()
        os.close(write)
    return process.returncode


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment without our packages, whose names are common words."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [path for path in ours.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    others = {name: value for name, value in ours.items() if name != "PYTHONPATH"}
    return others | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def _said(log: Path, began: int) -> list[str]:
    """The last lines of this attempt's part of the log."""
    with log.open("rb") as file:
        file.seek(max(began, log.stat().st_size - MOST_BYTES))
        return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _how_it_ended(command: Command, code: int, said: list[str]) -> Failure:
    """An exit code or a signal, and the last line that was printed; where Python says so, where it was raised."""
    last = f": {said[-1].strip()}" if said else ", and it said nothing"
    if code < 0:
        return Failure(kind="killed", reason=_line(f"{command.name} was ended by {signal.Signals(-code).name}{last}"))
    frames = [f"{found[1]}:{found[2]} in {found[3]}" for line in said if (found := _FRAME.match(line))]
    kind: FailureKind = "crashed"
    if said and re.match(r"(\w+\.)*(OutOfMemoryError|MemoryError)\b", said[-1].strip()):
        kind = "out_of_memory"
    where = [*frames[-30:], said[-1].partition(":")[0]] if frames else None
    return Failure(
        kind=kind,
        reason=_line(f"{command.name} ended with exit code {code}{last}"),
        traceback="\n".join(where) if where and kind == "crashed" else None,
    )


def _given(path: Path) -> dict[str, Quantity]:
    """What the lines of a file give, each quantity once. Raises Failed for a line that gives nothing."""
    found: dict[str, Quantity] = {}
    for number, line in _lines(path):
        try:
            values = msgspec.json.decode(line, type=dict[str, Sample | list[Sample]])
        except msgspec.DecodeError as problem:
            shown = line.decode(errors="replace")[:MOST_OF_A_LINE]
            raise _malformed(
                f"line {number} of what it gave, {shown!r}, is no {{QUANTITY: NUMBER}}: {problem}"
            ) from None
        for name, value in values.items():
            samples = tuple(value) if isinstance(value, list) else (value,)
            if name in found or not samples or not name.isprintable():
                why = "gives it again" if name in found else "gives no number of it"
                raise _malformed(f"{name!r}: line {number} of what it gave {why}")
            found[name] = Quantity(samples=samples, unit="", better=None)
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return
    if len(content) > MOST_BYTES:
        raise _malformed(f"it gave more than {MOST_BYTES:,} bytes of quantities")
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield number, line


def _malformed(reason: str) -> Failed:
    return Failed(Failure(kind="malformed", reason=_line(reason)))


def _line(text: str) -> str:
    """A text that stays one line, whatever a program printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST_REASON]
