"""What others reported of a cell, and the second computation that may explain it."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ablations.columns import StudyColumn
from ablations.conversion import shown
from ablations.design import PlannedRow
from ablations.fields import Change
from ablations.printed import in_unit, parse
from ablations.schema import ReportedClaim, typed
from ablations.source import Document, Place
from ablations.study import Study
from bench.errors import UserError, unknown


class Claims:
    """The reported numbers of a study: those of its rows, and those that stand in one place for all of them.

    `known`: columns of quantities, and the rows or lines that each of them has a cell of. Raises UserError where a row
    or a column is misspelt: nobody's claim is dropped.
    """

    def __init__(self, study: Study, columns: Iterable[StudyColumn], known: dict[str, list[str]]) -> None:
        self.printed_by = study.spec.printed_by
        self.comparable = study.spec.comparable
        self.columns = [column for column in columns if column.quantity is not None]
        self.apart: dict[tuple[str, str], tuple[Any, Document, Place]] = {}
        document, place = study.spot("reported")
        for name, by_row in study.spec.reported.items():
            if name not in known:
                raise document.error((*place, name), unknown("column", name, known))
            if not isinstance(by_row, dict):
                said = f"{name} must be a mapping of rows to what was reported of each, not {shown(by_row)}"
                raise document.error((*place, name), said)
            allowed = set(known[name])
            for row_id, spot, said in leaves(by_row, ()):
                if row_id not in allowed:
                    raise document.error((*place, name, *spot), unknown("row", row_id, allowed))
                if (name, row_id) in self.apart:
                    raise document.error((*place, name, *spot), f"{name} of {row_id} is reported twice")
                self.apart[name, row_id] = (said, document, (*place, name, *spot))
        document, place = study.spot("printed_by")
        for name in study.spec.printed_by:
            if name not in known:
                raise document.error((*place, name), unknown("column", name, known))

    def check_row(self, row: PlannedRow) -> None:
        """Raise UserError where a row speaks of a column that there is not."""
        if row.head.hidden and row.head.reported:
            raise row.error(f"row {row.id!r} is hidden: nobody would see what was reported of it", "reported")
        names = [column.name for column in self.columns]
        quantities = [column.quantity.name for column in self.columns if column.quantity]
        for part in ("reported", "explain", "needs", "notes", "within"):
            said = getattr(row.head, part)
            for name in said if isinstance(said, dict) else ():
                if name not in names and not (part == "needs" and name in quantities):
                    raise row.error(unknown("column", name, names), part, name)

    def of(self, row: PlannedRow, column: StudyColumn, unit: str | None) -> tuple[ReportedClaim, ...]:
        """The claims of a listed row's cell, or of one whose row a design made; `unit` is the cell's.

        Raises UserError for text that is no number as papers print them, or that names another unit.
        """
        said, document, place = self._said(row, column)
        return () if said is None else self._typed(said, column, unit, document, place)

    def _said(self, row: PlannedRow, column: StudyColumn) -> tuple[Any, Document, Place]:
        """What is reported of a cell, and where; None, where nothing is."""
        said, document = row.head.reported.get(column.name), row.document
        place: Place = (*row.place, "reported", column.name)
        apart = self.apart.get((column.name, row.id))
        if said is not None and apart is not None:
            line, _ = document.position(place)
            raise apart[1].error(apart[2], f"{column.name} of {row.id} is reported twice, first in line {line}")
        return (said, document, place) if apart is None else apart

    def beside(
        self, claims: tuple[ReportedClaim, ...], row: PlannedRow, column: StudyColumn, data: Change | None
    ) -> tuple[ReportedClaim, ...]:
        """Claims beside a trial whose data somebody else named than who states the claims: other data compare nothing.

        `data` is who named them, and what they are called.
        """
        if data is None or not claims:
            return claims
        _, document, _ = self._said(row, column)
        theirs = _data_of(document, column)
        if data.origin.document is document or theirs in (None, data.value):
            return claims
        return tuple(
            msgspec.structs.replace(claim, comparable=claim.comparable or f"reported on {theirs}") for claim in claims
        )

    def of_line(self, line: str, column: StudyColumn, unit: str | None) -> tuple[ReportedClaim, ...]:
        """The claims of a cell that a line of several rows has once."""
        said, document, place = self.apart.get((column.name, line), (None, column.document, column.place))
        return () if said is None else self._typed(said, column, unit, document, place)

    def _typed(
        self, said: Any, column: StudyColumn, unit: str | None, document: Document, place: Place
    ) -> tuple[ReportedClaim, ...]:
        claims = []
        for number, one in enumerate(said if isinstance(said, list) else [said]):
            spot = (*place, number) if isinstance(said, list) else place
            claim = typed(document, spot, {"printed": one} if isinstance(one, str) else one, ReportedClaim)
            printed_by = claim.printed_by or self.printed_by.get(column.name)
            comparable = claim.comparable or self.comparable
            claims.append(msgspec.structs.replace(claim, printed_by=printed_by, comparable=comparable))
            try:
                _check(claim.printed, column.name, unit)
            except UserError as problem:
                raise document.error((*spot, "printed") if isinstance(one, dict) else spot, str(problem)) from problem
        return tuple(claims)


def check_copied(row: PlannedRow, printed: str, *place: str) -> None:
    """Raise UserError, at a place inside a row, where what a claim was copied from is no number."""
    try:
        numbers = parse(printed)
    except UserError as problem:
        raise row.error(str(problem), *place) from problem
    if not numbers:
        raise row.error(f"{printed!r} is no number that a claim could be copied from", *place)


def _check(printed: str, column: str, unit: str | None) -> None:
    """Raise UserError for text that is no number, or one of something else than the column holds."""
    for number in parse(printed):
        if not in_unit(number, unit):
            raise UserError(f"{printed!r} is in {number.unit}, and {column} is in {unit or 'no unit'}")


def leaves(nested: dict[str, Any], place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Claims by row, whose id may be spread over nested keys: {R/16: {none: {light1: …}}}."""
    for key, value in nested.items():
        if isinstance(value, dict) and "printed" not in value:
            yield from leaves(value, (*place, key))
        else:
            yield ":".join((*place, key)), (*place, key), value


def _data_of(document: Document, column: StudyColumn) -> str | None:
    """The name of the data that a document's own numbers are of: its column's, else its base's; None: it says none."""
    of_column = next((change.value for change in column.changes if change.path == ("data", "name")), None)
    base = document.value.get("base") if isinstance(document.value, dict) else None
    said = of_column or (base.get("data") if isinstance(base, dict) else None)
    name = said.get("name") if isinstance(said, dict) else said
    return name if isinstance(name, str) else None
