"""What was sent: one file a call under studies/NAME/, so that `vitab status` in any shell knows what to look for."""

import os
import shlex
from pathlib import Path

import msgspec

from ablations.shipped import SUFFIXES
from bench import machine
from bench.files import publish
from bench.store import Store, now
from bench.trial import Frozen
from vitab.streams import is_stream
from vitab.works import Selection

FORMAT = 1


class Call(Frozen):
    """One call of `vitab run`."""

    study: str  # a shipped name or an absolute path
    name: str
    time: str
    host: str
    pid: int
    started: str  # of the process, so that its number used again is told apart
    setting: str | None = None
    sets: tuple[str, ...] = ()
    seeds: int | tuple[int, ...] | None = None
    columns: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    on: str = "local"  # slurm: jobs do it, and the process that sent them need not be there any more
    format: int = FORMAT

    @property
    def command(self) -> str:
        """The study and what varied it, as they are typed in the current folder."""
        path = Path(self.study)
        here = path.is_absolute() and path.is_relative_to(Path.cwd())
        study = shlex.quote(str(path.relative_to(Path.cwd())) if here else self.study)
        seeds = f"--seeds {self.seeds}" if isinstance(self.seeds, int) else ""
        return " ".join(filter(None, (study, self.options, seeds)))

    @property
    def again(self) -> str:
        """What goes on with it."""
        return f"vitab run {self.command}" + (" --on slurm --detach" if self.on == "slurm" else "")

    @property
    def options(self) -> str:
        """What varied the study, as it was typed."""
        setting = ["--setting", self.setting] if self.setting else []
        return shlex.join([*setting, *(word for text in self.sets for word in ("--set", text))])


def write(store: Store, selection: Selection, *, on: str = "local") -> None:
    """Say that this process runs or sends a study; not of a spec that nobody could read again, such as a pipe's."""
    study, given = selection.grid.study, selection.given
    if is_path(given) and is_stream(Path(given)):
        return
    pid = os.getpid()
    call = Call(
        study=str(Path(given).absolute()) if is_path(given) else given,
        name=study.name,
        time=now(),
        host=machine.host(),
        pid=pid,
        started=str(machine.start_time(pid)),
        setting=study.setting,
        sets=selection.sets,
        seeds=selection.seeds,
        columns=selection.columns,
        rows=selection.rows,
        on=on,
    )
    folder = store.folder("studies", study.name)
    moment = "".join(character for character in call.time if character.isdigit())[:17]  # to the millisecond
    publish(folder / f"{moment}-{call.host}-{pid}.json", msgspec.json.encode(call))


def is_path(study: str) -> bool:
    """Whether a study is named by its file."""
    return study.endswith(SUFFIXES) or "/" in study


def calls(store: Store) -> list[Call]:
    """Every call that the store knows of, the earliest first; what cannot be read is passed over."""
    found = []
    for path in (store.path / "studies").glob("*/*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Call))
        except (msgspec.DecodeError, OSError):
            continue
    return sorted(found, key=lambda call: call.time)
