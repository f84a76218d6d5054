"""A spec file, with what it extends, its setting and the command line's changes, as one study."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ablations import shipped
from ablations.fields import Change, Draft, Origin, check_path, flat, is_field, no_field, split
from ablations.fields import Path as FieldPath
from ablations.schema import Setting, StudySpec, typed
from ablations.source import Document, Place, read, scalar
from bench.errors import UserError, unknown

DEEPEST = 8  # specs that extend each other


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a spec file says, once everything that changes it is applied."""

    name: str
    path: Path
    spec: StudySpec
    spots: dict[str, tuple[Document, Place]]  # key of the spec → where it was said last
    base: Draft
    setting: str | None
    sets: tuple[str, ...]  # FIELD=VALUE, as the command line changed it
    fixed: dict[FieldPath, Origin]  # the fields of these: no factor may vary them

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in the order of the table's samples: 3 means 0, 1, 2."""
        given = self.spec.seeds
        return tuple(range(given)) if isinstance(given, int) else tuple(given)

    def error(self, key: str, message: str) -> UserError:
        """One line at a key of the spec."""
        document, place = self.spot(key)
        return document.error(place, message)

    def spot(self, key: str) -> tuple[Document, Place]:
        """Where a key was said last; the file's beginning where it never was."""
        return self.spots.get(key) or (self.spots["study"][0], ())


def load(
    name: str, *, setting: str | None = None, sets: Sequence[str] = (), seeds: int | Sequence[int] | None = None
) -> Study:
    """A study by a shipped name or a path. Raises UserError, at the place that is wrong."""
    path = shipped.find(name)
    spec, spots, base = StudySpec(study="x"), dict[str, tuple[Document, Place]](), Draft()
    for document in _documents(path):
        spec = _take(spec, spots, base, document)
    if setting is not None:
        spec = _apply_setting(spec, spots, base, setting)
    fixed = _apply_sets(base, sets)
    if seeds is not None:
        spec = msgspec.structs.replace(spec, seeds=seeds if isinstance(seeds, int) else list(seeds))
    study = Study(
        name=spec.study,
        path=path,
        spec=spec,
        spots=spots,
        base=base,
        setting=setting,
        sets=tuple(sets),
        fixed=fixed,
    )
    if not spec.columns:
        raise study.error("columns", "columns is missing: what to measure, as a list of quantities")
    if len(set(study.seeds)) != len(study.seeds) or not study.seeds:
        raise study.error("seeds", f"seeds {list(study.seeds)}: each once, and at least one")
    return study


def _documents(path: Path) -> list[Document]:
    """A spec file after everything that it extends, the farthest first."""
    chain: list[Document] = []
    seen: list[Path] = []
    where: tuple[Document, Place] | None = None
    while True:
        resolved = path.resolve()
        if resolved in seen or len(seen) >= DEEPEST:
            assert where is not None
            raise where[0].error(where[1], "extends itself: " + " → ".join(p.name for p in [*seen, resolved]))
        seen.append(resolved)
        document = read(path, name=_shown(path))
        chain.insert(0, document)
        if not isinstance(document.value, dict):
            raise document.error((), "a spec is a mapping: study, base, design, columns, …")
        parent = document.value.get("extends")
        if parent is None:
            return chain
        where = (document, ("extends",))
        if not isinstance(parent, str):
            raise document.error(("extends",), f"extends must be a path or a shipped name, not {parent!r}")
        beside = path.parent / parent
        try:
            path = beside if beside.exists() else shipped.find(parent)
        except UserError as problem:
            raise document.error(("extends",), str(problem)) from problem


def _shown(path: Path) -> str:
    """A path as messages show it: relative to the current folder where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _take(spec: StudySpec, spots: dict[str, tuple[Document, Place]], base: Draft, document: Document) -> StudySpec:
    """What one document says, over what was said before: `base` field by field, `settings` by name, the rest whole."""
    raw = document.value
    said = typed(document, (), raw, StudySpec)
    changed = {key: getattr(said, key) for key in raw if key not in ("base", "settings", "extends")}
    for name, value in (raw.get("settings") or {}).items():
        typed(document, ("settings", name), value, Setting)
        spots[f"settings.{name}"] = (document, ("settings", name))
    changed["settings"] = spec.settings | said.settings
    spots |= {key: (document, (key,)) for key in raw}
    base.set(_changes(base, said.base, document, ("base",)))
    return msgspec.structs.replace(spec, **changed)


def _changes(draft: Draft, fields: dict[str, Any], document: Document, place: Place) -> list[Change]:
    """Fields of the base trial from a free mapping, nested or dotted."""
    for name in fields:
        if not is_field(name):
            raise document.error((*place, name), no_field(name, draft.name("model"), draft.name("data")))
    return flat(Change(split(name), value, Origin(document, (*place, name))) for name, value in fields.items())


def _apply_setting(spec: StudySpec, spots: dict[str, tuple[Document, Place]], base: Draft, name: str) -> StudySpec:
    if name not in spec.settings:
        if not spec.settings:
            raise UserError(f"study {spec.study!r} has no settings, and so no {name!r}")
        raise UserError(unknown(f"setting of {spec.study}", name, spec.settings))
    document, place = spots[f"settings.{name}"]
    setting = typed(document, place, spec.settings[name], Setting)
    base.set(_changes(base, setting.base, document, (*place, "base")))
    changed = {}
    for key in spec.settings[name]:
        if key != "base":
            changed[key] = getattr(setting, key)
            spots[key] = (document, (*place, key))
    return msgspec.structs.replace(spec, **changed)


def _apply_sets(base: Draft, sets: Iterable[str]) -> dict[FieldPath, Origin]:
    """FIELD=VALUE from the command line, checked like the spec."""
    changes = []
    for text in sets:
        name, equals, value = text.partition("=")
        origin = Origin(None, (), f"--set {text}")
        if not equals:
            raise origin.error("must be FIELD=VALUE, such as --set train.epochs=5")
        if said := check_path(split(name), base.name("model"), base.name("data")):
            raise origin.error(said)
        changes.append(Change(split(name), scalar(value, name=f"--set {text}"), origin))
    changes = flat(changes)
    base.set(changes)
    return {change.path: change.origin for change in changes}
