"""The cells of a grid: what has to be measured for each, or why nothing is."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from ablations import measurable
from ablations.claims import Claims, check_copied
from ablations.columns import QuantityFacts, StudyColumn, declared, quantity_facts
from ablations.design import PlannedRow
from ablations.factors import Context, changes_of, text
from ablations.fields import Draft, check_path, dotted
from ablations.grid_cell import Candidate, GridCell, SecondComputation, keys
from ablations.measurable import COMMAND, Lacking
from ablations.nuisance import NuisanceAxis
from ablations.resolve import check, is_of_command, is_of_predictions, varies_by_seed
from ablations.schema import Explanation
from ablations.study import Study
from ablations.trials import ABSENT, Trials, field_of
from bench import registry
from bench.errors import Invalid, UserError, unknown
from bench.identity import record_key, weights_key
from bench.trial import Trial
from bench.work import Work


class Cells:
    """The cells of a study's rows, as its columns ask for them."""

    def __init__(
        self, study: Study, trials: Trials, claims: Claims, *, context: Context, axis: NuisanceAxis | None
    ) -> None:
        self.study = study
        self.trials = trials
        self.claims = claims
        self.context = context  # of the design
        self.axis = axis
        self.notes: dict[str, list[str]] = {}  # row → what is built otherwise than the reader may think
        self._checked: dict[str, Trial] = {}  # row → the trial that was checked last

    def cell(self, row: PlannedRow, column: StudyColumn) -> GridCell:
        """One row's cell. Raises UserError at the place in the spec that is wrong."""
        note = row.head.notes.get(column.name) if isinstance(row.head.notes, dict) else None
        if row.head.repeats is not None:
            other = self.cell(self.repeated(row), column)
            return replace(other, claims=self.claims.of(row, column, other.unit), note=note or other.note)
        quantity = self._quantity(row, column)
        claims = self.claims.of(row, column, quantity.unit)
        filled = partial(GridCell, quantity=quantity.name, unit=quantity.unit, claims=claims, note=note)
        if needs := self.needs(row, column):
            return filled(needs=needs)
        draft = self._draft(row, column)
        claims = self.claims.beside(claims, row, column, draft.named("data"))
        filled = partial(filled, claims=claims, explanation=self._explanation(row, column, draft, quantity.name))
        try:
            if self.axis is not None:
                return filled(**self._best(row, draft, quantity, self.axis))
            works, matter = self._works(row, draft, quantity)
        except Invalid as problem:
            if self.study.spec.invalid == "stop":
                raise self._stop(row, column, str(problem)) from problem
            return filled(invalid=str(problem))
        except Lacking as lack:
            return filled(needs=str(lack))
        return filled(works=works, seeds_matter=matter)

    def _stop(self, row: PlannedRow, column: StudyColumn, reason: str) -> UserError:
        """What is said of an invalid cell: at the row's place, or at the column's that alone makes it so."""
        if column.changes and self._is_valid(row):
            return column.document.error(column.place, f"{column.name} of row {row.id!r}: {reason}")
        return row.error(f"row {row.id!r}: {reason}")

    def _is_valid(self, row: PlannedRow) -> bool:
        try:
            check(self.trials.trial(row.id, self.study.seeds[0]))
        except Invalid:
            return False
        return True

    def needs(self, row: PlannedRow, column: StudyColumn) -> str | None:
        """Why nothing is measured in a cell, as far as the spec says so.

        Predictions that are there need no model: what a quantity needs they have, but not what a column of another name
        needs (a split whose labels nobody has).
        """
        quantity, mine, everyone_s = self._quantity(row, column), row.head.needs, self.study.spec.needs
        if measurable.is_scored(quantity) and is_of_predictions(self._draft(row, column)):
            return None if column.name == quantity.name else everyone_s.get(column.name)
        if said := mine.get(column.name) or mine.get(quantity.name):
            return said
        if row.head.quantity is None and quantity.measure != COMMAND:
            return column.needs
        return everyone_s.get(column.name) or everyone_s.get(quantity.name) or quantity.needs

    def measures(self, row: PlannedRow, columns: Iterable[StudyColumn]) -> bool:
        """Whether anything of a row is to be measured."""
        return any(column.quantity is not None and self.needs(row, column) is None for column in columns)

    def shown(self, row: PlannedRow, column: StudyColumn) -> str:
        """The text of a fact, or of a field as the trial says it."""
        if column.fact is not None:
            facts = row.head.facts
            if column.fact not in facts and row.head.repeats is not None:
                facts = self.repeated(row).head.facts
            return text(facts[column.fact]) if column.fact in facts else ""
        assert column.field is not None
        if row.head.repeats is not None:
            row = self.repeated(row)
        draft = self.trials.draft(row.id)
        given = draft.get(column.field)
        if given is not None:
            return text(given)
        model, data = draft.name("model"), draft.name("data")
        if model is None or check_path(column.field, model, data):
            return ABSENT
        return text(field_of(self.trials.trial(row.id, self.study.seeds[0]), column.field))

    def repeated(self, row: PlannedRow) -> PlannedRow:
        """The row that a row shows again."""
        name = str(row.head.repeats)
        other = self.trials.rows.get(name)
        if other is None:
            raise row.error(unknown("row", name, self.trials.rows), "repeats")
        if other.head.repeats is not None:
            raise row.error(f"row {name!r} repeats {other.head.repeats!r} itself", "repeats")
        for key in ("needs", "explain", "quantity"):
            if getattr(row.head, key):
                raise row.error(f"row {row.id!r} repeats {name!r}, with what that says of {key}", key)
        if row.changes and self.trials.draft(row.id).values != self.trials.draft(other.id).values:
            raise row.error(f"row {row.id!r} repeats {name!r} and is another trial", "repeats")
        return other

    def _quantity(self, row: PlannedRow, column: StudyColumn) -> QuantityFacts:
        """The quantity of a cell: its column's, unless the row has one of its own."""
        facts = column.quantity
        if row.head.quantity is not None:
            facts = quantity_facts(self.study, row.head.quantity, row.document, (*row.place, "quantity"))
        assert facts is not None
        if facts.name in self.study.spec.quantities and is_of_command(self._draft(row, column)):
            return declared(self.study, facts.name, measure=COMMAND)
        return facts

    def _draft(self, row: PlannedRow, column: StudyColumn) -> Draft:
        return self.trials.draft(row.id, (*column.changes, *row.within.get(column.name, ())))

    def _works(
        self, row: PlannedRow, draft: Draft, quantity: QuantityFacts, *, split: str | None = None
    ) -> tuple[tuple[Work, ...], bool]:
        """Work for a cell, one a seed or one alone; whether seeds matter. Raises Invalid or Lacking."""
        measure = str(quantity.measure)
        module = registry.load("measures", measure)
        own = draft is self.trials.draft(row.id)
        works: dict[str, Work] = {}
        matter = False
        for seed in self.study.seeds:
            trial = self.trials.trial(row.id, seed) if own else self.trials.changed(row.id, draft, seed)
            if split is not None and trial.predictions is not None:
                raise Invalid("predictions that are there are of no selection split, on which the best is chosen")
            if split is not None and trial.evaluate is not None:
                trial = msgspec.structs.replace(trial, evaluate=msgspec.structs.replace(trial.evaluate, split=split))
            if not works:
                self._check(row, trial)
                measurable.check(trial, module, quantity)
            measurable.check_predictions(trial)  # each seed may have its own
            matter = "seed" in module.DEPENDS_ON or ("weights" in module.DEPENDS_ON and _seeded(trial, draft))
            work = self._work(row, trial, measure, module)
            twin = works.setdefault(work.key, work)
            if twin is not work and trial.predictions is not None:
                raise Invalid(f"seed {seed} has the same predictions as seed {twin.trial.seed}")
            if not matter:
                break
        return tuple(works.values()), matter

    def _check(self, row: PlannedRow, trial: Trial) -> None:
        """Raise Invalid for what cannot be; keep what has to be said."""
        if self._checked.get(row.id) is not trial:  # most columns measure the row's own
            known = self.notes.setdefault(row.id, [])
            known += [note for note in check(trial) if note not in known]
            self.trials.check_behind(trial)
            self._checked[row.id] = trial

    def _work(self, row: PlannedRow, trial: Trial, measure: str, module: Any) -> Work:
        weights = None
        if "weights" in module.DEPENDS_ON:
            weights = self.trials.trained(trial, row.id) or weights_key(trial)
        elif trial.command is not None and measure == COMMAND:
            gives = tuple(name for name, said in self.study.spec.quantities.items() if said.needs is None)
            trial = msgspec.structs.replace(trial, command=msgspec.structs.replace(trial.command, gives=gives))
        else:
            trial = _relevant(trial, module.DEPENDS_ON)
        return Work(
            key=record_key(measure, module.VERSION, module.DEPENDS_ON, trial, weights=weights),
            measure=measure,
            version=module.VERSION,
            trial=trial,
            weights_key=weights,
            after=(weights,) if weights is not None and _trained(trial) else (),
            label=self.trials.label(trial, row.id),
            timeout_s=self.trials.timeout_s,
        )

    def _best(self, row: PlannedRow, draft: Draft, quantity: QuantityFacts, axis: NuisanceAxis) -> dict[str, Any]:
        """What a cell holds whose value is that of the level which the selection split prefers."""
        candidates = []
        matter = False
        for levels in itertools.product(*(factor.levels for factor in axis.factors)):
            changed = draft.copy()
            changed.set(change for level in levels for change in level.changes)
            named = zip(axis.factors, levels, strict=True)
            label = ", ".join(f"{factor.label} {level.label}" for factor, level in named)
            try:
                works, matter = self._works(row, changed, quantity)
                selection, _ = self._works(row, changed, axis.by, split="selection")
            except Invalid as problem:
                raise Invalid(f"{label}: {problem}") from problem
            candidates.append(Candidate(label=label, selection=selection, works=works))
        if len({keys(candidate.works) for candidate in candidates}) == 1:
            return {"works": candidates[0].works, "seeds_matter": matter}  # a count, say, that no level changes
        return {"candidates": tuple(candidates), "selected_by": axis.by.name, "seeds_matter": matter}

    def _explanation(
        self, row: PlannedRow, column: StudyColumn, draft: Draft, quantity: str
    ) -> SecondComputation | None:
        said: Explanation | None = row.head.explain.get(column.name)
        if said is None:
            return None
        inside = ("explain", column.name)
        if (said.copied is not None) == bool(said.set or said.quantity):
            raise row.error("an explanation names one computation: `set` and `quantity`, or `copied`", *inside)
        if said.copied is not None:
            check_copied(row, said.copied, *inside, "copied")
            return SecondComputation(note=said.note, copied=said.copied)
        place = (*row.place, *inside)
        facts = quantity_facts(self.study, said.quantity or quantity, row.document, (*place, "quantity"))
        if facts.measure is None:
            raise row.error(f"nothing here measures {facts.name}, and so it explains nothing", *inside, "quantity")
        context = replace(self.context, document=row.document, place=place)
        changes = changes_of(context, said.set, ("set",))
        changed = draft.copy()
        changed.set(changes)
        try:
            works, _ = self._works(row, changed, facts)
        except (Invalid, Lacking) as problem:
            raise row.error(str(problem), *inside) from problem
        described = ", ".join(f"{dotted(change.path)} {text(change.value)}" for change in changes)
        if said.quantity is not None:
            described = f"{facts.label} of {described}" if described else facts.label
        return SecondComputation(note=said.note, quantity=facts.name, works=works, said=described)


def _trained(trial: Trial) -> bool:
    """Whether weights are trained here."""
    return trial.train is not None or (trial.weights is not None and trial.weights.kind == "trial")


def _seeded(trial: Trial, draft: Draft) -> bool:
    """Whether another seed means other weights, or other predictions."""
    return _trained(trial) or (trial.predictions is not None and varies_by_seed(draft))


def _relevant(trial: Trial, depends: tuple[str, ...]) -> Trial:
    """A trial with only the fields that a value depends on: the same for everyone who asks for it."""
    plain = Trial(model=trial.model, input=trial.input, task=trial.task)
    kept = {name: getattr(trial, name) for name in depends if name in Trial.__struct_fields__}
    return msgspec.structs.replace(plain, **kept)
