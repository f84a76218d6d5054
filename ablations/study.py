"""A spec file, with what it extends, its setting and the command line's changes, as one study."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ablations import shipped
from ablations.conversion import Misfit, convert, shown
from ablations.fields import Change, Draft, Origin, check_fields, check_path, flat, is_field, no_field, split
from ablations.fields import Path as FieldPath
from ablations.schema import MOST_SEEDS, SEEDS, Setting, StudySpec, typed
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
        spec = msgspec.structs.replace(spec, seeds=_seeds(seeds))
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
        lack = "is empty" if "columns" in spots else "is missing"
        raise study.error("columns", f"columns {lack}: what to measure, as a list of quantities")
    if said := _seeds_problem(study.seeds):
        raise study.error("seeds", said)
    return study


def _seeds_problem(seeds: tuple[int, ...]) -> str | None:
    if not seeds:
        return "seeds is empty: at least one"
    if len(seeds) > MOST_SEEDS:
        return f"{len(seeds):,} seeds; at most {MOST_SEEDS:,}"
    twice = [seed for seed, count in Counter(seeds).items() if count > 1]
    return f"seed {twice[0]} stands twice" if twice else None


def _seeds(given: int | Sequence[int]) -> int | list[int]:
    """Seeds from the command line, checked like the spec's."""
    try:
        seeds: int | list[int] = convert(given if isinstance(given, int) else list(given), SEEDS)
    except Misfit as problem:
        raise UserError(problem.line("seeds" + "".join(f"[{step}]" for step in problem.place))) from problem
    if isinstance(seeds, list) and (said := _seeds_problem(tuple(seeds))):
        raise UserError(said)
    return seeds


def _documents(path: Path) -> list[Document]:
    """A spec file after everything that it extends, the farthest first."""
    chain: list[Document] = []
    seen: list[Path] = []
    where: tuple[Document, Place] | None = None
    while True:
        resolved = path.resolve()
        if where is not None and resolved in seen:
            raise where[0].error(where[1], "extends itself: " + " → ".join(p.name for p in [*seen, resolved]))
        if where is not None and len(seen) >= DEEPEST:
            raise where[0].error(where[1], f"more than {DEEPEST} specs extend each other")
        seen.append(resolved)
        document = read(path, name=_shown(path))
        chain.insert(0, document)
        if not isinstance(document.value, dict):
            raise document.error((), "a spec is a mapping: study, base, design, columns, …")
        parent = document.value.get("extends")
        if parent is None:
            return chain
        where = (document, ("extends",))
        if not isinstance(parent, str) or not parent:
            raise document.error(("extends",), f"extends must be a path or a shipped name, not {shown(parent)}")
        beside = path.parent / Path(parent).expanduser()
        try:
            path = beside if beside.is_file() else shipped.find(parent)
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
    changed["settings"] = spec.settings | said.settings
    spots |= {key: (document, (key,)) for key in raw}
    base.set(_changes(base, said.base, document, ("base",)))
    for name, value in said.settings.items():
        setting = typed(document, ("settings", name), value, Setting)
        spots[f"settings.{name}"] = (document, ("settings", name))
        varied = base.copy()
        varied.set(_changes(base, setting.base, document, ("settings", name, "base")))
        check_fields(varied)  # here, so that a mistake is seen before the setting is chosen
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
        if not equals or not name:
            raise origin.error("must be FIELD=VALUE, such as --set train.epochs=5")
        if not is_field(name):
            raise origin.error(no_field(name, base.name("model"), base.name("data")))
        changes.append(Change(split(name), scalar(value, name=f"--set {text}"), origin))
    changes = flat(changes)
    base.set(changes)
    for change in changes:  # once the model and the data are known, which may be set too
        if said := check_path(change.path, base.name("model"), base.name("data")):
            raise change.origin.error(said)
    return {change.path: change.origin for change in changes}
