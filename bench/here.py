"""What is here now, against what records were bound to: files of weights, trainings of the store, folders of images.

A record that was made of something else answers nothing here any more, and neither do weights that were started from
something else or trained on other images. What one side does not know contradicts nothing: a store that was copied
without its weights, or to where the images are not, still answers.

A digest that takes long to find is kept in the user's cache folder, with a stamp of its file or folders that changes
when they do. Images that were overwritten where they lie leave the stamps of their folders alone: they are seen when a
record that was made since then says otherwise.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from bench import commands, data, registry, weights
from bench.data import Split, imagefolder
from bench.errors import Needs, UserError
from bench.files import publish
from bench.record import Record
from bench.segmentation import scoring
from bench.store import Snapshot, iso, now
from bench.trial import Command, Data, Frozen, Source, Trial
from bench.work import Work

WORTH_KEEPING_S = 0.1  # what is found in less is found again


class Found(Frozen):
    """A digest, what its file or folders looked like, and when that was."""

    stamp: str
    digest: str
    time: str


class _Thing(NamedTuple):
    """Something that has a digest: its name, what tells that it was changed, and its content."""

    name: tuple[str, ...]
    stamp: Callable[[], str]
    read: Callable[[], str]


def contradiction(work: Work, record: Record, snapshot: Snapshot) -> str | None:
    """What a record was made of that is another here: "weights", "data", "start", "teacher" or "command"; None: no."""
    trial, bound = work.trial, record.bound
    if trial.command is not None:
        return "command" if _is_other_program(trial.command, bound.get("command"), snapshot) else None
    if not {"weights", "data", "truth"} & bound.keys():
        return None
    if trial.train is not None:
        trained = None if work.weights_key is None else _done(work.weights_key, snapshot)
        if trained is not None and bound.get("weights", trained.weights) != trained.weights:
            return "weights"
    elif _is_other_source(bound.get("weights"), trial.weights, record.time, snapshot):
        return "weights"
    split = "report" if trial.evaluate is None else trial.evaluate.split
    for name, thing in (("data", _images), ("truth", _truth)):
        if name in bound and _is_other(bound[name], thing(trial.data, split), record.time, snapshot):
            return "data"
    if _is_other(bound.get("train"), _images(trial.data, "train"), record.time, snapshot):  # of frozen features
        return "data"
    return None if work.weights_key is None else outdated(work.weights_key, snapshot, trial)


def outdated(key: str, snapshot: Snapshot, trial: Trial | None = None) -> str | None:
    """What weights of the store were made of that is another here: "start", "teacher" or "data"; None: nothing known.

    `trial` may be given where it is the one that trains them.
    """
    said = _done(key, snapshot)
    if said is None or snapshot.folder is None:
        return None
    folder = snapshot.folder / "weights" / key
    if trial is None or trial.train is None:
        trial = _trial(folder)
    if trial is None or trial.train is None:
        return None
    images = _images(trial.data, "train")
    if not said.sources and images is None:
        return None
    made = iso((folder / weights.DONE).stat().st_mtime)
    teacher = None if trial.distill is None else trial.distill.teacher
    for name, source in (("start", trial.train.start), ("teacher", teacher)):
        if _is_other_source(said.sources.get(name), source, made, snapshot):
            return name
    return "data" if _is_other(said.data, images, made, snapshot) else None


def _done(key: str, snapshot: Snapshot) -> weights.Done | None:
    """What the store's weights of a key say of themselves, asked once a snapshot."""
    if key not in snapshot.trained:
        snapshot.trained[key] = None if snapshot.folder is None else weights.done(snapshot.folder / "weights" / key)
    return snapshot.trained[key]


def _trial(folder: Path) -> Trial | None:
    """The trial that trained the weights of a folder."""
    try:
        return msgspec.json.decode((folder / weights.TRIAL).read_bytes(), type=Trial)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


def _is_other_program(command: Command, then: object, snapshot: Snapshot) -> bool:
    """Whether a command is registered here, and is not what it was, its program included."""
    name = ("command", command.name)
    if name not in snapshot.found:
        try:
            snapshot.found[name] = commands.digest(commands.registered(command.name))
        except (OSError, UserError):
            snapshot.found[name] = None
    return then is not None and snapshot.found[name] not in (None, then)


def _is_other_source(then: object, source: Source | None, made: str, snapshot: Snapshot) -> bool:
    """Whether weights are here, and are not those of a digest. Published ones are what their name says."""
    if source is None or then is None or source.kind == "published":
        return False
    if source.kind == "trial":
        said = _done(source.ref, snapshot)
        return said is not None and said.weights != then
    return _is_other(then, _file(Path(source.ref)), made, snapshot)


def _is_other(then: object, thing: _Thing | None, made: str, snapshot: Snapshot) -> bool:
    """Whether a thing is here and is not what had this digest when something was made of it."""
    if thing is None or then is None:
        return False
    if thing.name not in snapshot.found:
        snapshot.found[thing.name] = _kept(thing), False
    found, fresh = snapshot.found[thing.name]
    if not fresh and (found is None or (found.digest != then and found.time < made)):
        found = _read(thing)
        snapshot.found[thing.name] = found, True
    return found is not None and found.digest != then


def _read(thing: _Thing) -> Found | None:
    """A thing's digest from its content, kept where that took long; None: it is not here, or not whole."""
    began = time.monotonic()
    try:
        found = Found(stamp=thing.stamp(), digest=thing.read(), time=now())
    except (OSError, UserError):
        return None
    if time.monotonic() - began > WORTH_KEEPING_S:
        with contextlib.suppress(OSError):  # a home that cannot be written: it is read again next time
            path = _cache(thing)
            path.parent.mkdir(parents=True, exist_ok=True)
            publish(path, msgspec.json.encode(found), sync=False)
    return found


def _kept(thing: _Thing) -> Found | None:
    """What the cache says of a thing that looks as it did then."""
    try:
        found = msgspec.json.decode(_cache(thing).read_bytes(), type=Found)
        return found if found.stamp == thing.stamp() else None
    except (OSError, UserError, msgspec.DecodeError):
        return None


def _cache(thing: _Thing) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256("\0".join(thing.name).encode()).hexdigest()
    return Path(root) / "vitab" / "digests" / f"{name}.json"


def _file(path: Path) -> _Thing:
    """A file; its digest is of its bytes."""

    def read() -> str:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    return _Thing(("file", str(path)), lambda: _looks(path), read)


def _looks(path: Path) -> str:
    """What tells, without reading it, that a file was changed."""
    seen = path.stat()
    return f"{seen.st_ino} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns}"


def _images(chosen: Data | None, split: Split) -> _Thing | None:
    """A split of images in a folder; None for other data, whose fingerprint needs the images themselves, and torch.

    A part of a training split is such a thing too: which part is drawn by torch.
    """
    if chosen is None or "root" not in chosen.at or (split == "train" and chosen.subset < 1):
        return None
    module, options = _data(chosen)

    def look() -> Iterable[str]:
        if issubclass(module.Options, imagefolder.Reading):
            return _folders(_root(chosen))
        return (f"{folder} {folder.stat().st_mtime_ns}" for folder in module.folders(options))

    if not issubclass(module.Options, imagefolder.Reading) and not hasattr(module, "folders"):
        return None
    return _lying("images", chosen, split, look=look, read=lambda: data.load(chosen, split).fingerprint())


def _truth(chosen: Data | None, split: Split) -> _Thing | None:
    """What predictions of a split are scored against, in a file or a folder; None for other data."""
    if chosen is None or "root" not in chosen.at:
        return None
    module, options = _data(chosen)
    if hasattr(module, "annotations_file"):
        with contextlib.suppress(Needs):
            return _file(module.annotations_file(options, split))
    if not hasattr(module, "truths"):
        return None

    def look() -> Iterable[str]:  # at each: label maps are corrected where they lie, which changes no folder
        return (f"{path} {_looks(path)}" for path in module.truths(options, split)[1])

    return _lying("truth", chosen, split, look=look, read=lambda: scoring.digest(*module.truths(options, split)))


def _lying(
    what: str, chosen: Data, split: Split, *, look: Callable[[], Iterable[str]], read: Callable[[], str]
) -> _Thing:
    """Something of a data set that lies in folders; `look` tells, without reading it, that it was changed."""

    def stamp() -> str:
        return hashlib.sha256("\n".join(look()).encode()).hexdigest()

    said = msgspec.json.encode(chosen.options, order="sorted").decode()
    return _Thing((what, split, str(_root(chosen)), chosen.name, str(chosen.version), said), stamp, read)


def _data(chosen: Data) -> tuple[ModuleType, Any]:
    """The module of a data set, and its options."""
    module = registry.load("data", chosen.name)
    return module, msgspec.convert(chosen.options | chosen.at, module.Options)


def _root(chosen: Data) -> Path:
    """The folder where a data set lies."""
    return Path(chosen.at["root"] or data.folder(chosen.options.get("set", chosen.name))).expanduser().absolute()


def _folders(root: Path) -> Iterator[str]:
    """Both halves of a data set and the folders of their classes, with when a name in them was changed last."""
    for half in ("train", "val"):
        yield f"{half} {(root / half).stat().st_mtime_ns}"
        with os.scandir(root / half) as entries:
            classes = sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)
        for entry in classes:
            seen = entry.stat()
            yield f"{entry.name} {seen.st_ino} {seen.st_mtime_ns}"
