"""Rows as trials: each row's draft, what it resolves to for a seed, and the trainings that stand behind."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ablations.design import BASE, PlannedRow
from ablations.edges import ITSELF, Edge, NoSource
from ablations.fields import Change, Draft, FieldProblem, Path
from ablations.resolve import check, is_of_predictions, resolve
from ablations.study import Study
from bench.errors import Invalid, unknown
from bench.identity import weights_key
from bench.record import TRAIN
from bench.trial import Source, Train, Trial
from bench.work import Work

LONGEST_CHAIN = 50  # rows that a row's weights may come from, as long as none of them was asked for before

ABSENT = ""
"""What a trial says of a field that it, its model or its data do not have."""


class Trials:
    """The trials of a study's rows, each resolved once; edges between rows followed, circles refused."""

    def __init__(self, study: Study, rows: Iterable[PlannedRow], base: PlannedRow, *, edges_known: bool) -> None:
        self.study = study
        self.rows = {BASE: base} | {row.id: row for row in rows}
        self.edges_known = edges_known  # false: a nuisance axis decides later which trial a row is
        self.trainings: dict[str, Work] = {}  # by weights key
        self.unsound: dict[str, str | None] = {}  # weights key of an edge → the rule that its training breaks
        self._drafts: dict[str, Draft] = {}
        self._trials: dict[tuple[str, int], Trial] = {}
        self._resolving: list[str] = []

    def draft(self, row_id: str, more: Iterable[Change] = ()) -> Draft:
        """A row's draft, as it is or with more changes on top of the row's own."""
        if row_id not in self._drafts:
            draft = self.study.base.copy()
            draft.set(self.rows[row_id].changes)
            self._drafts[row_id] = draft
        draft = self._drafts[row_id]
        if more:
            draft = draft.copy()
            draft.set(more)
        return draft

    def trial(self, row_id: str, seed: int) -> Trial:
        """A row's own trial, before any column changes it."""
        known = self._trials.get((row_id, seed))
        if known is None:
            known = self._trials[row_id, seed] = self.changed(row_id, self.draft(row_id), seed)
        return known

    def changed(self, row_id: str, draft: Draft, seed: int) -> Trial:
        """The trial of a draft made from a row's. Raises UserError, at the place in the spec that is wrong."""
        name = row_id if draft is self.draft(row_id) else f"{row_id} in a column"  # may go on from the row's own
        if name in self._resolving:
            circle = [*self._resolving[self._resolving.index(name) :], name]
            raise NoSource("rows need each other's weights: " + " → ".join(circle))
        if len(self._resolving) >= LONGEST_CHAIN:
            raise NoSource(f"more than {LONGEST_CHAIN} rows that start from one another, the last one first")
        self._resolving.append(name)
        try:
            return resolve(
                draft,
                seed=seed,
                find=lambda edge: self._source(edge, seed, row_id),
                row=self.rows[row_id].id,
            )
        except FieldProblem as problem:  # nobody set the field
            row = self.rows[row_id]
            raise (row.error(str(problem)) if row.changes else self.study.error("base", str(problem))) from problem
        finally:
            self._resolving.pop()

    def _source(self, edge: Edge, seed: int, asking: str) -> Source:
        """The weights that an edge of the row `asking` means. Raises NoSource."""
        name = asking if edge.row == ITSELF and ITSELF not in self.rows else edge.row
        if name not in self.rows:
            raise NoSource(unknown("row", name, self.rows))
        if not self.edges_known:
            raise NoSource(f"which weights row {name!r} has is not known before best_of has chosen")
        trial = self.trial(name, seed if edge.seed == "same" else edge.seed)
        if (key := self.trained(trial, name)) is not None:
            if key not in self.unsound:
                self.unsound[key] = self._problem(self.trainings[key])
            return Source(kind="trial", ref=key)
        if trial.weights is None:
            raise NoSource(f"row {name!r} has no weights: it neither trains nor names any")
        return trial.weights

    def trained(self, trial: Trial, row_id: str) -> str | None:
        """The key of the weights that a trial trains, None where it trains none; the training is kept, once a key."""
        if trial.train is None:
            return None
        key = str(weights_key(trial))
        if key not in self.trainings:
            self.trainings[key] = Work(
                key=key,
                measure=TRAIN,
                version=trial.train.version,
                trial=msgspec.structs.replace(trial, evaluate=None, weights=None),
                weights_key=key,
                after=tuple(dict.fromkeys(source.ref for source in _needed(trial) if source.kind == "trial")),
                label=self.label(trial, row_id),
                timeout_s=self.timeout_s,
            )
        return key

    def same_predictions(self, rows: Iterable[PlannedRow]) -> dict[str, list[str]]:
        """What to say of rows whose predictions are another row's, by their content: probably a file copied twice."""
        seen: dict[str, PlannedRow] = {}
        said = {}
        for row in rows:
            if not is_of_predictions(self.draft(row.id)):
                continue
            scored = self.trial(row.id, self.study.seeds[0]).predictions
            if scored is not None and scored.digest and (first := seen.setdefault(scored.digest, row)) is not row:
                said[row.id] = [f"the same predictions as those of {first.label}"]
        return said

    def check_behind(self, trial: Trial) -> None:
        """Raise Invalid where a trial starts from, is taught by or measures weights that cannot be trained."""
        for source in (*_needed(trial), trial.weights):
            said = self.unsound.get(source.ref) if source is not None and source.kind == "trial" else None
            if said is not None:
                raise Invalid(said)

    def _problem(self, training: Work) -> str | None:
        """The rule that a training breaks, or one that stands behind it."""
        try:
            check(training.trial)
            self.check_behind(training.trial)
        except Invalid as problem:
            return f"weights of {training.label}: {problem}"
        return None

    def label(self, trial: Trial, row_id: str) -> str:
        """What people read of a piece of work: study/row:seed0."""
        seed = "" if trial.seed is None else f":seed{trial.seed}"
        return f"{self.study.name}/{self.rows[row_id].id}{seed}"

    @property
    def timeout_s(self) -> float | None:
        """Seconds that one piece of work may take."""
        minutes = self.study.spec.resources.timeout_min
        return None if minutes is None else minutes * 60


def _needed(trial: Trial) -> list[Source]:
    """The weights that a training starts from and is taught by."""
    start = None if trial.train is None else trial.train.start
    teacher = None if trial.distill is None else trial.distill.teacher
    return [source for source in (start, teacher) if source is not None]


def field_of(trial: Trial, path: Path) -> Any:
    """A resolved field, where a spec's path points; ABSENT for what the trial or its model or data do not have."""
    section = getattr(trial, path[0])
    if section is None:
        return ABSENT
    if len(path) == 1:
        return section.name if hasattr(section, "name") else section
    if path[0] == "model" and path[1] != "name":
        return section.knobs.get(path[1], ABSENT)
    if path[0] == "command" and path[1] != "name":
        return section.arguments.get(path[1], ABSENT)
    if path[0] == "data" and path[1] not in ("name", "subset"):
        return section.options.get(path[1], ABSENT)
    if isinstance(section, Train) and path[1] == "from":
        return section.start
    return getattr(section, path[1], None)
