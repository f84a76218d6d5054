"""The grid: a study's rows and columns, every cell with the trials it takes and their keys. An ablation's table, empty.

Nothing is measured here and nothing read from a store: the same spec gives the same grid on any machine.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ablations.columns import StudyColumn, columns, quantity_facts
from ablations.design import BASE, Change, Context, Factor, PlannedRow, expand, factor_of, text
from ablations.fields import Draft, Origin, Path
from ablations.resolve import Edge, check, resolve
from ablations.schema import Explanation, ReportedClaim, typed
from ablations.source import Document, Place
from ablations.study import Study
from bench import registry
from bench.errors import Invalid, UserError, unknown
from bench.identity import digest, record_key, weights_key
from bench.record import TRAIN
from bench.trial import Evaluate, Source, Train, Trial
from bench.work import Work


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One level of a nuisance axis: how it fares on the selection split, and what it yields."""

    label: str
    selection: tuple[Work, ...]
    works: tuple[Work, ...]


@dataclass(frozen=True, kw_only=True)
class SecondComputation:
    """What may explain a printed number."""

    note: str  # what is computed
    quantity: str | None = None
    works: tuple[Work, ...] = ()
    said: str = ""  # which fields it changes
    copied: str | None = None  # the printed number that the claim was copied from: nothing to compute


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One cell: what has to be measured for it, or why nothing is."""

    quantity: str
    unit: str | None
    works: tuple[Work, ...] = ()  # one a seed; one alone where seeds do not matter
    seeds_matter: bool = False
    invalid: str | None = None  # which rule
    needs: str | None = None
    candidates: tuple[Candidate, ...] = ()  # best_of: instead of works
    selected_by: str | None = None  # the quantity that chooses among them
    claims: tuple[ReportedClaim, ...] = ()
    explanation: SecondComputation | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """One line of the table."""

    id: str
    label: str
    group: str | None = None
    factors: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cells: dict[str, GridCell] = field(default_factory=dict)
    trial_id: str = ""  # digest of the base seed's trial, for people who compare rows


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A study's table before anything is measured."""

    study: Study
    columns: tuple[StudyColumn, ...]
    rows: tuple[GridRow, ...]
    base: str | None  # the base row's id
    stub: str  # head of the label column
    seeds: tuple[int, ...]
    trainings: dict[str, Work]  # by weights key: everything that some cell's weights come from
    factors: tuple[Factor, ...] = ()

    def cells(
        self, *, columns: Iterable[str] | None = None, rows: Iterable[str] | None = None
    ) -> Iterator[tuple[GridRow, StudyColumn, GridCell]]:
        """Cells in reading order, of some columns and rows or of all."""
        wanted_columns = None if columns is None else set(columns)
        wanted_rows = None if rows is None else set(rows)
        for row in self.rows:
            for column in self.columns:
                cell = row.cells.get(column.name)
                if (
                    cell is not None
                    and (wanted_columns is None or column.name in wanted_columns)
                    and (wanted_rows is None or row.id in wanted_rows)
                ):
                    yield row, column, cell

    def row(self, name: str) -> GridRow:
        """A row by id, or by a label that is its alone. Raises UserError with the candidates."""
        for row in self.rows:
            if row.id == name:
                return row
        labelled = [row for row in self.rows if row.label == name]
        if len(labelled) == 1:
            return labelled[0]
        if labelled:
            raise UserError(f"{len(labelled)} rows are labelled {name!r}: {', '.join(row.id for row in labelled)}")
        raise UserError(unknown("row", name, [row.id for row in self.rows]))


def build(study: Study) -> Grid:
    """The grid of a study. Raises UserError at the place in the spec that is wrong."""
    return _Builder(study).build()


class _Builder:
    """Rows resolved to trials in an order that their edges allow, each trial once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.spec = study.spec
        document, place = study.spot("design")
        self.context = Context(
            document=document,
            place=place,
            model=_text(study.base.get(("model", "name"))),
            data=_text(study.base.get(("data", "name"))),
            labels=study.spec.labels,
        )
        self.planned: dict[str, PlannedRow] = {}
        self.drafts: dict[str, Draft] = {}
        self.trials: dict[tuple[str, int], Trial] = {}
        self.resolving: list[str] = []
        self.trainings: dict[str, Work] = {}
        self.axis: list[Factor] = []  # best_of
        self.axis_by: str | None = None
        self.notes: dict[str, list[str]] = {}

    def build(self) -> Grid:
        rows, factors, best_of = self._expanded()
        if best_of is not None:
            place = ("best_of", "over")
            self.axis = [factor_of(self.context, name, levels, (*place, name)) for name, levels in best_of.over.items()]
            self.axis_by = best_of.by
        self._refuse_fixed([*factors, *self.axis])
        found = columns(self.study, self.context)
        rows, base = self._base_row(rows, found)
        shown = [row for row in rows if not row.head.hidden]
        laid_out = self._layout(factors)
        lines = self._lines(shown, laid_out)
        built_columns = _spread(found, laid_out)
        self._claims_have_places(shown, found)
        grid_rows = [self._grid_row(line, found, laid_out) for line in lines]
        self._refuse_repeats(shown, found)
        stub = [factor.label for factor in factors if factor.name not in {f.name for f in laid_out}]
        return Grid(
            study=self.study,
            columns=tuple(built_columns),
            rows=tuple(grid_rows),
            base=base if base in {row.id for row in grid_rows} else None,
            stub=stub[0] if len(stub) == 1 else " · ".join(stub) or "method" if self.spec.paper else "row",
            seeds=self.study.seeds,
            trainings=self.trainings,
            factors=tuple(factors),
        )

    # rows

    def _expanded(self) -> tuple[list[PlannedRow], list[Factor], Any]:
        if not self.spec.design:
            document, place = self.study.spot("study")
            only = PlannedRow(id=BASE, label=self.spec.study, document=document, place=place, implicit_base=True)
            rows, factors, best_of = [only], [], None
        else:
            rows, factors, best_of = expand(self.spec.design, self.context)
        if not rows:
            raise self.context.document.error(self.context.place, "the design has no row")
        implicit = [row for row in rows if row.implicit_base]
        rows = [row for row in rows if not row.implicit_base or row is implicit[0]]
        for row in rows:
            if row.id in self.planned or (row.id == BASE and not row.implicit_base):
                raise row.error(f"row id {row.id!r} stands twice" if row.id != BASE else f"the id {BASE!r} is taken")
            self.planned[row.id] = row
        return rows, factors, best_of

    def _refuse_fixed(self, factors: list[Factor]) -> None:
        """A field that the command line sets and the design varies would be set in vain."""
        for factor in factors:
            for level in factor.levels:
                for change in level.changes:
                    name = ".".join(change.path)
                    if name in self.study.fixed:
                        raise self.study.fixed[name].error(f"the design varies {name} (factor {factor.name})")

    def _base_row(self, rows: list[PlannedRow], found: list[StudyColumn]) -> tuple[list[PlannedRow], str | None]:
        """Where a factor's levels hold the base's own, that row is the base row; otherwise it gets its level's name."""
        implicit = next((row for row in rows if row.implicit_base), None)
        if implicit is None or not self.spec.design or not self._measurable(found):
            return rows, implicit.id if implicit else self._stated_base(rows)
        varied = {row.one_factor for row in rows if row.one_factor is not None}
        same = [row for row in rows if row.one_factor is not None and self._same_as_base(row)]
        if len(varied) == 1 and len(same) == 1 and all(row.one_factor or row.implicit_base for row in rows):
            mine = same[0]
            self.planned[BASE] = replace(implicit, id=mine.id)
            self.drafts.pop(BASE, None)
            return [row for row in rows if row is not implicit], mine.id
        rows = [row for row in rows if row not in same]
        if len(varied) == 1 and not same and all(row.one_factor or row.implicit_base for row in rows):
            label = self._base_level(next(iter(varied)))
            if label is not None and label not in self.planned:
                renamed = replace(implicit, id=label, label=label)
                self.planned[label] = renamed
                return [renamed if row is implicit else row for row in rows], label
        return rows, implicit.id

    def _stated_base(self, rows: list[PlannedRow]) -> str | None:
        """Without a design that brings one along, the listed row called base or the one that changes nothing."""
        unchanged = [row.id for row in rows if not row.changes and not row.head.hidden and not row.head.repeats]
        return unchanged[0] if len(unchanged) == 1 and self.spec.paper is None else None

    def _base_level(self, name: str) -> str | None:
        """What the base trial says in a factor's field."""
        path = tuple(name.split(".", 1))
        value = _field_of(self._trial(BASE, self.study.seeds[0]), path)
        return None if value is None and path not in self.study.base.origins else text(value)

    def _measurable(self, found: list[StudyColumn]) -> bool:
        return any(column.quantity is not None and column.needs is None for column in found)

    def _same_as_base(self, row: PlannedRow) -> bool:
        seed = self.study.seeds[0]
        return digest(self._trial(row.id, seed)) == digest(self._trial(BASE, seed))

    def _refuse_repeats(self, rows: list[PlannedRow], found: list[StudyColumn]) -> None:
        """Two rows that would be measured and are the same trial: one of them is a mistake, or `repeats` the other."""
        seen: dict[tuple[str, str | None], PlannedRow] = {}
        for row in rows:
            if row.head.repeats is not None or not self._measures(row, found):
                continue
            identity = (digest(self._trial(row.id, self.study.seeds[0])), row.head.quantity)
            if identity in seen:
                other = seen[identity]
                nothing = "changes nothing: it is the base trial" if not row.changes else "is the same trial"
                raise row.error(
                    f"row {row.id!r} {nothing} as row {other.id!r}; change a field, or say `repeats: {other.id}`"
                    if row.changes
                    else f"row {row.id!r} {nothing}, as row {other.id!r}"
                )
            seen[identity] = row

    def _measures(self, row: PlannedRow, found: list[StudyColumn]) -> bool:
        return any(
            column.quantity is not None and self._needs(row, column) is None and column.quantity.measure is not None
            for column in found
        )

    # trials

    def _draft(self, row_id: str) -> Draft:
        if row_id not in self.drafts:
            row = self.planned[row_id]
            draft = self.study.base.copy()
            _set(draft, row.changes)
            self.drafts[row_id] = draft
        return self.drafts[row_id]

    def _trial(self, row_id: str, seed: int) -> Trial:
        """A row's own trial, before any column changes it."""
        known = self.trials.get((row_id, seed))
        if known is None:
            known = self.trials[row_id, seed] = self._resolved(row_id, self._draft(row_id), seed)
        return known

    def _resolved(self, row_id: str, draft: Draft, seed: int) -> Trial:
        def find(edge: Edge) -> Source:
            return self._source(row_id, edge, seed)

        if row_id in self.resolving:
            circle = [*self.resolving[self.resolving.index(row_id) :], row_id]
            raise self._row_at(row_id).error("rows need each other's weights: " + " → ".join(circle))
        self.resolving.append(row_id)
        try:
            return resolve(draft, seed=seed, find=find)
        finally:
            self.resolving.pop()

    def _row_at(self, row_id: str) -> PlannedRow:
        return self.planned[row_id]

    def _source(self, asking: str, edge: Edge, seed: int) -> Source:
        """The weights of another row."""
        origin = self.planned[asking]
        wanted = edge.row
        if wanted == BASE and BASE not in self.planned:
            self.planned[BASE] = PlannedRow(
                id=BASE, label=BASE, document=origin.document, place=origin.place, implicit_base=True
            )
        if wanted not in self.planned:
            raise origin.error(unknown("row", wanted, [BASE, *self.planned]))
        if self.axis:
            raise origin.error(f"weights of row {wanted!r} are not known before best_of has chosen; name a level's row")
        trial = self._trial(wanted, seed if edge.seed == "same" else edge.seed)
        self._train(trial, f"{self.study.name}/{wanted}:seed{trial.seed}")
        if trial.train is not None:
            return Source(kind="trial", ref=str(weights_key(trial)))
        if trial.weights is None:
            raise origin.error(f"row {wanted!r} has no weights: it neither trains nor names any")
        return trial.weights

    def _train(self, trial: Trial, label: str) -> None:
        """Note the training behind a trial's weights, once a key."""
        if trial.train is None:
            return
        key = str(weights_key(trial))
        if key in self.trainings:
            return
        needed = [source for source in (trial.train.start, trial.distill and trial.distill.teacher) if source]
        self.trainings[key] = Work(
            key=key,
            measure=TRAIN,
            version=trial.train.version,
            trial=msgspec.structs.replace(trial, evaluate=None, weights=None),
            weights_key=key,
            after=tuple(dict.fromkeys(source.ref for source in needed if source.kind == "trial")),
            label=label,
            timeout_s=self._timeout_s(),
        )

    def _timeout_s(self) -> float | None:
        minutes = self.spec.resources.timeout_min
        return None if minutes is None else minutes * 60

    # layout

    def _layout(self, factors: list[Factor]) -> list[Factor]:
        """The factors that become columns."""
        if self.spec.layout is None:
            return []
        wanted = self.spec.layout.columns
        known = {factor.name: factor for factor in factors}
        document, place = self.study.spot("layout")
        laid_out = []
        for name in [wanted] if isinstance(wanted, str) else wanted:
            if name not in known:
                raise document.error((*place, "columns"), unknown("factor", name, known))
            laid_out.append(known[name])
        return laid_out

    def _lines(self, rows: list[PlannedRow], laid_out: list[Factor]) -> list[list[PlannedRow]]:
        """Rows that share a line of the table: those that differ in laid-out factors alone."""
        if not laid_out:
            return [[row] for row in rows]
        names = {factor.name for factor in laid_out}
        lines: dict[tuple[tuple[str, str], ...], list[PlannedRow]] = {}
        for row in rows:
            if not names <= row.factors.keys():
                raise row.error(f"row {row.id!r} has no level of {', '.join(sorted(names - row.factors.keys()))}")
            rest = tuple((name, level) for name, level in row.factors.items() if name not in names)
            lines.setdefault(rest, []).append(row)
        return list(lines.values())

    def _grid_row(self, line: list[PlannedRow], found: list[StudyColumn], laid_out: list[Factor]) -> GridRow:
        first = line[0]
        names = {factor.name for factor in laid_out}
        kept = {name: level for name, level in first.factors.items() if name not in names}
        cells: dict[str, GridCell] = {}
        fields: dict[str, str] = {}
        for row in line:
            suffix = _suffix(row, laid_out)
            for column in found:
                if column.quantity is None:
                    fields[column.name] = self._shown(row, column)
                else:
                    cells[column.name + suffix] = self._cell(row, column)
        notes = first.head.notes if isinstance(first.head.notes, list) else []
        found_notes = [note for row in line for note in self.notes.get(row.id, ())]
        return GridRow(
            id=":".join(text for text in kept.values()) or "all" if laid_out else first.id,
            label=" · ".join(kept.values()) or self.spec.study if laid_out else first.label,
            group=first.group,
            factors=kept if laid_out else first.factors,
            fields=fields,
            notes=tuple(dict.fromkeys([*notes, *found_notes])),
            cells=cells,
        )

    # cells

    def _shown(self, row: PlannedRow, column: StudyColumn) -> str:
        if column.fact is not None:
            return text(row.head.facts[column.fact]) if column.fact in row.head.facts else ""
        assert column.field is not None
        given = self._draft(row.id).get(column.field)
        if given is not None:
            return text(given)
        if not self._measures(row, [column]) and "model" not in self._draft(row.id).values:
            return ""
        return text(_field_of(self._trial(row.id, self.study.seeds[0]), column.field))

    def _needs(self, row: PlannedRow, column: StudyColumn) -> str | None:
        """Why nothing is measured in a cell, as far as the spec says so."""
        assert column.quantity is not None
        mine = row.head.needs
        if said := mine.get(column.name) or mine.get(column.quantity.name) or column.needs:
            return said
        if row.head.quantity is not None:
            return self._quantity(row, column).needs or self.spec.needs.get(row.head.quantity)
        return None

    def _quantity(self, row: PlannedRow, column: StudyColumn) -> Any:
        """The quantity of a cell: its column's, unless the row has one of its own."""
        if row.head.quantity is None:
            return column.quantity
        return quantity_facts(self.study, row.head.quantity, row.document, (*row.place, "quantity"))

    def _cell(self, row: PlannedRow, column: StudyColumn) -> GridCell:
        if row.head.repeats is not None:
            return self._repeated(row, column)
        quantity = self._quantity(row, column)
        notes = row.head.notes
        cell = GridCell(
            quantity=quantity.name,
            unit=quantity.unit,
            claims=self._claims(row, column),
            note=notes.get(column.name) if isinstance(notes, dict) else None,
        )
        if needs := self._needs(row, column):
            return replace(cell, needs=needs)
        draft = self._column_draft(row, column)
        cell = replace(cell, explanation=self._explanation(row, column, draft, quantity.name))
        if self.axis:
            return self._candidates(cell, row, draft, quantity)
        works, matter, problem = self._works(row, draft, quantity)
        if isinstance(problem, Invalid):
            if self.spec.invalid == "stop":
                raise row.error(f"row {row.id!r}: {problem}")
            return replace(cell, invalid=str(problem))
        if problem is not None:
            return replace(cell, needs=str(problem))
        return replace(cell, works=works, seeds_matter=matter)

    def _repeated(self, row: PlannedRow, column: StudyColumn) -> GridCell:
        """The cell of the row that this one shows again, with this row's own claims."""
        other = self.planned.get(str(row.head.repeats))
        if other is None or other.head.repeats is not None:
            raise row.document.error((*row.place, "repeats"), unknown("row", row.head.repeats, self.planned))
        if row.changes and _identity(self._draft(row.id)) != _identity(self._draft(other.id)):
            raise row.error(f"row {row.id!r} repeats {other.id!r} and is another trial")
        return replace(self._cell(other, column), claims=self._claims(row, column))

    def _column_draft(self, row: PlannedRow, column: StudyColumn) -> Draft | None:
        """A row's draft as a column changes it; None: as it is."""
        if not column.changes:
            return None
        draft = self._draft(row.id).copy()
        _set(draft, column.changes)
        return draft

    def _works(
        self, row: PlannedRow, draft: Draft | None, quantity: Any, *, split: str | None = None
    ) -> tuple[tuple[Work, ...], bool, UserError | None]:
        """Work for a cell, one a seed or one alone; whether seeds matter; or why there is none."""
        module = registry.load("measures", quantity.measure)
        depends = module.DEPENDS_ON
        works: dict[str, Work] = {}
        matter = False
        for seed in self.study.seeds:
            trial = self._trial(row.id, seed) if draft is None else self._resolved(row.id, draft, seed)
            if split is not None and trial.evaluate is not None:
                trial = msgspec.structs.replace(trial, evaluate=_on(trial.evaluate, split))
            if not works:
                problem = self._problem(row, trial, depends, quantity.name)
                if problem is not None:
                    return (), False, problem
            matter = "weights" in depends and _seeded(trial)
            work = self._work(row, trial, quantity.measure, module)
            works[work.key] = work
            if not matter:
                break
        return tuple(works.values()), matter, None

    def _problem(self, row: PlannedRow, trial: Trial, depends: tuple[str, ...], quantity: str) -> UserError | None:
        """Why a cell cannot be measured, known beforehand."""
        try:
            for note in check(trial):
                known = self.notes.setdefault(row.id, [])
                if note not in known:
                    known.append(note)
        except Invalid as problem:
            return problem
        if "weights" in depends and weights_key(trial) is None:
            return UserError("weights: a `train` section, or `weights:` to be measured")
        if "data" in depends and trial.data is None:
            return UserError(f"data to measure {quantity} on")
        return None

    def _work(self, row: PlannedRow, trial: Trial, measure: str, module: Any) -> Work:
        depends = module.DEPENDS_ON
        weights = None
        after: tuple[str, ...] = ()
        if "weights" in depends:
            self._train(trial, f"{self.study.name}/{row.id}:seed{trial.seed}")
            weights = weights_key(trial)
            if trial.train is not None or (trial.weights is not None and trial.weights.kind == "trial"):
                after = (str(weights),)
        else:
            trial = _relevant(trial, depends)
        seed = f":seed{trial.seed}" if trial.seed is not None else ""
        return Work(
            key=record_key(measure, module.VERSION, depends, trial),
            measure=measure,
            version=module.VERSION,
            trial=trial,
            weights_key=weights,
            after=after,
            label=f"{self.study.name}/{row.id}{seed}",
            timeout_s=self._timeout_s(),
        )

    def _candidates(self, cell: GridCell, row: PlannedRow, draft: Draft | None, quantity: Any) -> GridCell:
        """A cell whose value is that of the level which the selection split prefers."""
        document, place = self.context.document, (*self.context.place, "best_of", "by")
        by = quantity_facts(self.study, str(self.axis_by), document, place)
        if by.measure is None or "evaluate" not in registry.load("measures", by.measure).DEPENDS_ON:
            raise document.error(place, f"{by.name} is not measured on a selection split; allowed: top1")
        candidates = []
        for levels in itertools.product(*(factor.levels for factor in self.axis)):
            changed = (draft or self._draft(row.id)).copy()
            for level in levels:
                _set(changed, level.changes)
            works, matter, problem = self._works(row, changed, quantity)
            selection, _, other = self._works(row, changed, by, split="selection")
            if problem or other:
                raise row.error(f"row {row.id!r}: {problem or other}")
            label = ", ".join(
                f"{factor.label} {level.label}" for factor, level in zip(self.axis, levels, strict=True)
            )
            candidates.append(Candidate(label=label, selection=selection, works=works))
        if all(candidate.works == candidates[0].works for candidate in candidates):
            return replace(cell, works=candidates[0].works, seeds_matter=matter)  # a count, say, that no level changes
        return replace(cell, candidates=tuple(candidates), selected_by=by.name, seeds_matter=matter)

    # claims

    def _claims(self, row: PlannedRow, column: StudyColumn) -> tuple[ReportedClaim, ...]:
        listed = row.head.reported.get(column.name)
        place: tuple[Document, Place] = (row.document, (*row.place, "reported", column.name))
        if listed is None and column.name in self.spec.reported:
            document, spot = self.study.spot("reported")
            place = (document, (*spot, column.name, row.id))
            listed = _nested(self.spec.reported[column.name], row.id)
        if listed is None:
            return ()
        claims = []
        for one in listed if isinstance(listed, list) else [listed]:
            raw = {"printed": one} if isinstance(one, str) else one
            claim = typed(*place, raw, ReportedClaim)
            printed_by = claim.printed_by or self.spec.printed_by.get(column.name)
            claims.append(msgspec.structs.replace(claim, printed_by=printed_by))
        return tuple(claims)

    def _claims_have_places(self, rows: list[PlannedRow], found: list[StudyColumn]) -> None:
        """Nobody's claim is dropped for a misspelt row or column."""
        names = [column.name for column in found if column.quantity is not None]
        for row in rows:
            for part in ("reported", "explain", "needs", "notes"):
                said = getattr(row.head, part)
                for name in said if isinstance(said, dict) else ():
                    quantities = [c.quantity.name for c in found if c.quantity] if part == "needs" else []
                    if name not in (*names, *quantities):
                        raise row.document.error((*row.place, part, name), unknown("column", name, names))
        document, place = self.study.spot("reported")
        ids = {row.id for row in rows}
        for name, by_row in self.spec.reported.items():
            if name not in names:
                raise document.error((*place, name), unknown("column", name, names))
            if not isinstance(by_row, dict):
                raise document.error((*place, name), "must be a mapping: row → what was reported")
            for row_id, spot in _leaves(by_row):
                if row_id not in ids:
                    raise document.error((*place, name, *spot), unknown("row", row_id, ids))

    def _explanation(
        self, row: PlannedRow, column: StudyColumn, draft: Draft | None, quantity: str
    ) -> SecondComputation | None:
        said: Explanation | None = row.head.explain.get(column.name)
        if said is None:
            return None
        place = (*row.place, "explain", column.name)
        if (said.copied is not None) == bool(said.set or said.quantity):
            raise row.document.error(place, "an explanation names one computation: `set` and `quantity`, or `copied`")
        if said.copied is not None:
            return SecondComputation(note=said.note, copied=said.copied)
        facts = quantity_facts(self.study, said.quantity or quantity, row.document, (*place, "quantity"))
        changed = (draft or self._draft(row.id)).copy()
        changes = changes_at(self.context, row.document, said.set, (*place, "set"))
        _set(changed, changes)
        works, _, problem = self._works(row, changed, facts)
        if problem is not None:
            raise row.document.error(place, str(problem))
        described = ", ".join(f"{'.'.join(change.path)} {text(change.value)}" for change in changes)
        if said.quantity is not None:
            described = f"{facts.label} of {described}" if described else facts.label
        return SecondComputation(note=said.note, quantity=facts.name, works=works, said=described)


def changes_at(context: Context, document: Document, mapping: Any, place: Place) -> list[Change]:
    """Changes stated in a document that need not be the design's own."""
    from ablations.design import changes_of

    return changes_of(replace(context, document=document), mapping, place)


def _set(draft: Draft, changes: Iterable[Change]) -> None:
    for change in changes:
        draft.set(change.path, change.value, change.origin)


def _identity(draft: Draft) -> Any:
    return {name: value for name, value in draft.values.items() if value is not None}


def _relevant(trial: Trial, depends: tuple[str, ...]) -> Trial:
    """A trial with only the fields that a value depends on: the same for everyone who asks for it."""
    kept = {name: getattr(trial, name) for name in depends if name in Trial.__struct_fields__}
    return Trial(**({"model": trial.model, "input": trial.input, "task": trial.task} | kept))


def _seeded(trial: Trial) -> bool:
    """Whether another seed means other weights."""
    return trial.train is not None or (trial.weights is not None and trial.weights.kind == "trial")


def _on(evaluate: Evaluate, split: str) -> Evaluate:
    return msgspec.structs.replace(evaluate, split=split)


def _field_of(trial: Trial, path: Path) -> Any:
    """A resolved field, where a spec's path points."""
    if path in (("model", "image"), ("model", "classes"), ("model", "channels")):
        return getattr(trial.input, path[1])
    section = getattr(trial, path[0])
    if len(path) == 1:
        return section.name if hasattr(section, "name") else section
    if path[0] == "model" and path[1] not in ("name", "version"):
        return section.knobs.get(path[1])
    if path[0] == "data" and section is not None and path[1] not in ("name", "subset"):
        return section.options.get(path[1])
    if isinstance(section, Train) and path[1] == "from":
        return section.start
    return getattr(section, path[1], None)


def _suffix(row: PlannedRow, laid_out: list[Factor]) -> str:
    return "".join(f":{row.factors[factor.name]}" for factor in laid_out)


def _spread(found: list[StudyColumn], laid_out: list[Factor]) -> list[StudyColumn]:
    """Columns, each quantity once for every combination of the laid-out levels."""
    if not laid_out:
        return found
    quantities = [column for column in found if column.quantity is not None]
    spread = [column for column in found if column.quantity is None]
    for levels in itertools.product(*(factor.levels for factor in laid_out)):
        labels = tuple(level.label for level in levels)
        for column in quantities:
            single = len(quantities) == 1
            spread.append(
                replace(
                    column,
                    name=column.name + "".join(f":{label}" for label in labels),
                    label=labels[-1] if single else column.label,
                    heads=(*column.heads, *(labels[:-1] if single else labels)),
                )
            )
    return spread


def _nested(by_row: dict[str, Any], row_id: str) -> Any:
    """What a mapping holds for a row, whose id may be spread over nested keys: {R/16: {none: {light1: …}}}."""
    for leaf, place in _leaves(by_row):
        if leaf == row_id:
            found: Any = by_row
            for step in place:
                found = found[step]
            return found
    return None


def _leaves(nested: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, value in nested.items():
        if isinstance(value, dict) and "printed" not in value:
            yield from _leaves(value, (*place, key))
        else:
            yield ":".join((*place, key)), (*place, key)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def origin_of(draft: Draft, path: Path) -> Origin | None:
    """Who set a field of a draft."""
    return draft.origin(path)
