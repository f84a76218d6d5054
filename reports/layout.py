"""From a table to a grid of texts: the same words, scales and footnotes in every form that people read.

A quantity that somebody reported takes three columns (reported, counted or measured, verdict), or two where nothing
that was reported compares with what is measured here, which a footnote then says; where none of its cells has a number
yet, only what is reported stands there, with one footnote that says why. What the table's own source prints stands in
the cell, what others print in a footnote. A cell without a number shows its state. Footnotes are numbered as a reader
meets them, and equal ones share their number.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

from bench.trial import Frozen
from reports.scale import COUNTED, Scale, scale, show
from reports.table import Cell, ClaimCell, Column, Table, Verdict
from reports.wanting import (
    cells_of,
    every,
    is_number,
    names_its_unit,
    nothing_but_reported,
    only_reported,
    reasons,
    why_nothing,
)

NONE = "–"  # there is nothing to show here, and that is known
DIGITS = "0123456789"  # behind a unit they make a label of it: AP50
MANY = 4  # columns of one quantity: the caption names it and its unit (reports/captions.py), their heads do not
COMPARED: tuple[Verdict, ...] = ("reproduced", "close", "explained", "within_noise", "deviates")
WORDS: tuple[Verdict, ...] = (*COMPARED, "not_comparable", "failed", "pending")


class Entry(Frozen):
    """What stands in one place, with its footnotes."""

    text: str
    spread: str | None = None  # behind ±
    tail: str = ""  # behind both
    number: bool = False  # text and spread are numbers of ours
    bold: bool = False
    footnotes: tuple[str, ...] = ()


class Strip(Frozen):
    """One printed column: spanning heads (outermost first), then its own label; one entry a row."""

    path: tuple[str, ...]
    align: Literal["left", "right"]
    entries: tuple[Entry, ...]
    footnotes: tuple[str, ...] = ()  # on its label


class Grid(Frozen):
    """A table as texts. The first strip holds the rows' labels; `groups[i]` is the heading that begins at row i."""

    study: str
    title: str
    strips: tuple[Strip, ...]
    groups: tuple[str | None, ...]
    notes: tuple[str, ...]  # the caption first
    footnotes: tuple[str, ...]

    def marks(self, texts: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of some footnotes."""
        return tuple(self.footnotes.index(text) + 1 for text in texts)


def grid(table: Table, *, reported_only: bool = False) -> Grid:
    """The texts of a table; `reported_only`: what was reported, as it is printed there, and nothing of ours."""
    as_printed = reported_only or nothing_but_reported(table)
    labels = tuple(Entry(text=row.label, footnotes=row.notes) for row in table.rows)
    strips = [Strip(path=(table.stub,), align="left", entries=labels)]
    for column in table.columns:
        strips += _field(table, column) if column.kind == "field" else _quantity(table, column, as_printed)
    groups = [row.group for row in table.rows]
    caption = table.caption.removeprefix(table.title).lstrip(" .")  # a question may be both
    source = table.source or _usual_source(table)
    notes = [caption, *table.notes, f"Source: {source}" if source else ""]
    if as_printed and not reported_only:
        notes.append(why_nothing(table))
    if not as_printed:
        notes.append(verdicts_line(table))
    return Grid(
        study=table.study,
        title=table.title,
        strips=tuple(strips),
        groups=tuple(own if own != above else None for own, above in zip(groups, [None, *groups], strict=False)),
        notes=tuple(note for note in notes if note),
        footnotes=_in_reading_order(strips),
    )


def verdicts_line(table: Table) -> str:
    """`params: 20 reproduced, 3 close, 1 failed · FLOPs: …`: the columns of which something was compared, or failed."""
    counts = []
    for column in table.columns:
        said = Counter(claim.verdict for cell in cells_of(table, column) for claim in cell.claims if is_number(claim))
        if any(said[word] for word in (*COMPARED, "failed")):
            words = ", ".join(f"{said[word]} {word.replace('_', ' ')}" for word in WORDS if said[word])
            counts.append(f"{column.label}: {words}")
    return " · ".join(counts)


def usual_seeds(cells: Iterable[Cell]) -> int | None:
    """Seeds behind most of a column's numbers, which its head names; a cell with others says so itself."""
    return next((n for n, _ in Counter(cell.n for cell in cells if cell.n is not None).most_common(1)), None)


def _usual_source(table: Table) -> str | None:
    """Where most of the claims stand."""
    sources = Counter(claim.source for cell in every(table) for claim in cell.claims).most_common(1)
    return sources[0][0] if sources else None


def _own(cell: Cell, source: str | None) -> list[ClaimCell]:
    """The claims that stand in a cell itself: those of the table's source; all, where it prints none there."""
    return [claim for claim in cell.claims if claim.source == source] or list(cell.claims)


def _field(table: Table, column: Column) -> list[Strip]:
    """What the rows set; numbers to the right. Pixels a side are those of a square: 224², as papers write it."""
    texts = [row.fields.get(column.name) or NONE for row in table.rows]
    if column.unit == "px":
        texts = [f"{text}²" if text.isdigit() else text for text in texts]
    numeric = all(text[:1].isdigit() or text == NONE for text in texts)
    entries = tuple(Entry(text=text) for text in texts)
    return [Strip(path=(*column.heads, column.label), align="right" if numeric else "left", entries=entries)]


def _quantity(table: Table, column: Column, as_printed: bool) -> list[Strip]:
    """What was reported, what we have, and what they say together, as far as there is any of it."""
    cells, source = cells_of(table, column), _usual_source(table)
    claimed, why = any(cell.claims for cell in cells), reasons(cells)
    scales = _scales(column, cells)
    own = scales[column.unit]
    n = usual_seeds(cells)
    alone = as_printed or only_reported(cells)
    known = _unit_is_known(table, column, own) or (alone and names_its_unit(cells))
    path = (*column.heads, _label(column, None if known else own.unit, n))
    printed = tuple(_reported(cell, source, alone=alone) for cell in cells)
    reported = Strip(path=path, align="right", entries=printed)
    if as_printed:
        return [reported] if claimed else []
    if only_reported(cells):
        return [_under(reported, "reported", f"not measured: {why[0]}")]
    empty = all(cell.value is None for cell in cells)
    same = why[0] if empty and len(why) == 1 and any(cell.reason for cell in cells) else None
    ours = tuple(_ours(cell, _scale_of(cell, column, scales), n, told=same) for cell in cells)
    strips = [Strip(path=path, align="right", entries=ours, footnotes=(same,) if same else ())]
    if claimed:
        strips = _beside(
            reported, _under(strips[0], "counted" if column.unit in COUNTED else "measured"), cells, source
        )
    return [*strips, _differences(table, column, own)] if column.show_difference and table.base else strips


def _beside(reported: Strip, ours: Strip, cells: list[Cell], source: str | None) -> list[Strip]:
    """What was reported, what we have, and the verdicts; where nothing compares, why stands once, on the head."""
    apart = _never_comparable(cells, source)
    if all(cell.value is None for cell in cells):
        return [_under(reported, "reported"), ours]
    if apart is None:
        words = tuple(_verdict(cell, source) for cell in cells)
        verdicts = Strip(path=(*reported.path, "verdict"), align="left", entries=words)
        return [_under(reported, "reported"), ours, verdicts]
    entries = []
    for entry, cell in zip(reported.entries, cells, strict=True):
        notes = [claim.note.removesuffix(f"; {apart}") for claim in _own(cell, source) if claim.note]
        entries.append(msgspec.structs.replace(entry, footnotes=(*entry.footnotes, *(n for n in notes if n != apart))))
    noted = msgspec.structs.replace(reported, entries=tuple(entries))
    return [_under(noted, "reported", f"not comparable: {apart}"), ours]


def _never_comparable(cells: list[Cell], source: str | None) -> str | None:
    """Why no claim of a column compares with what is measured here; None where one does, or nothing says why."""
    claims = [claim for cell in cells if cell.value is not None for claim in _own(cell, source) if is_number(claim)]
    if any(claim.verdict != "not_comparable" for claim in claims):
        return None
    reasons_given = Counter(claim.note for claim in claims if claim.note).most_common(1)
    return reasons_given[0][0] if reasons_given else None


def _under(strip: Strip, label: str, *footnotes: str) -> Strip:
    """A strip whose label becomes a head that it shares with its neighbours."""
    path = (*strip.path, label)
    return Strip(path=path, align=strip.align, entries=strip.entries, footnotes=(*strip.footnotes, *footnotes))


def _scales(column: Column, cells: list[Cell]) -> dict[str | None, Scale]:
    """A scale a unit. Where the cells of a column are of several, each number brings its own along."""
    units = dict.fromkeys([column.unit, *(_unit(cell, column) for cell in cells)])
    scales = {}
    for unit in units:
        mine = [cell for cell in cells if cell.value is not None and _unit(cell, column) == unit]
        own = scale(unit, [cell.value for cell in mine if cell.value is not None], [cell.std or 0 for cell in mine])
        if len(units) > 1 and own.unit is not None:
            gap = "" if own.unit == "%" else " "
            own = msgspec.structs.replace(own, unit=None, suffix=f"{gap}{own.unit}")
        scales[unit] = own
    return scales


def _unit(cell: Cell, column: Column) -> str | None:
    return column.unit if cell.unit is None else cell.unit


def _scale_of(cell: Cell, column: Column, scales: dict[str | None, Scale]) -> Scale:
    """The scale of a cell: that of its unit in the column, or its own where it is a bare number."""
    unit = _unit(cell, column)
    return scale(unit, [cell.value]) if unit == "" and cell.value is not None else scales[unit]


def _unit_is_known(table: Table, column: Column, own: Scale) -> bool:
    """Whether the head need not say the unit: the label does, or the caption does for many columns of one quantity."""
    alike = sum(other.quantity == column.quantity for other in table.columns if other.kind == "quantity")
    told = column.quantity is not None and alike >= MANY and own.unit == column.unit
    words = " ".join((*column.heads, column.label)).split()
    return told or any((own.unit or "").lower() == word.lower() or own.unit == word.rstrip(DIGITS) for word in words)


def _label(column: Column, unit: str | None, n: int | None) -> str:
    """A column's label with what holds for all of its numbers: the unit, the number of seeds."""
    inside = [text for text in (unit, f"n={n}" if n is not None and n > 1 else None) if text]
    return f"{column.label} ({', '.join(inside)})" if inside else column.label


def _reported(cell: Cell, source: str | None, *, alone: bool) -> Entry:
    """What was printed; a footnote on what stands in another place. `alone`: nothing of ours stands beside it."""
    own = _own(cell, source)
    footnotes = []
    for claim in cell.claims:
        verdict = "" if alone or cell.value is None else f": {claim.verdict.replace('_', ' ')}"
        ours = cell.value is not None and (alone or claim in own)  # a note that holds our number, or is the verdict's
        note = None if ours else claim.note
        if claim.source != source:
            footnotes.append(f"{claim.printed}: {claim.source}{'' if claim in own else verdict}")
        if note is not None and (claim in own or note not in [other.note for other in own]):
            footnotes.append(note)
    text = " / ".join(claim.printed if is_number(claim) else NONE for claim in own)
    return Entry(text=text or NONE, footnotes=tuple(footnotes))


def _ours(cell: Cell, own: Scale, n: int | None, *, told: str | None) -> Entry:
    """Our number, or the state that stands for it; `told` is a reason that stands on the head already."""
    if cell.value is None:
        text = NONE if cell.state == "not_applicable" else cell.state
        return Entry(text=text, footnotes=(cell.reason,) if cell.reason and cell.reason != told else ())
    odd = ": ".join(text for text in (cell.state if cell.state != "measured" else None, cell.reason) if text)
    fewer = f"n = {cell.n}" if cell.n is not None and cell.n != n and not cell.reason else ""
    return Entry(
        text=show(cell.value, own),
        spread=show(cell.std, own) if cell.std is not None else None,
        tail=f" ({cell.chosen})" if cell.chosen is not None else "",
        number=True,
        bold=cell.bold,
        footnotes=tuple(text for text in (odd, fewer) if text),
    )


def _verdict(cell: Cell, source: str | None) -> Entry:
    """One word for each claim; how far off where nothing else says it."""
    claims = [claim for claim in _own(cell, source) if is_number(claim)]
    if cell.value is None or not claims:
        return Entry(text=NONE)
    words = []
    for claim in claims:
        word = claim.verdict.replace("_", " ")
        if claim.verdict == "deviates" and claim.deviation is not None and claim.note is None:
            word += f" {100 * claim.deviation:+.1f} %".replace("-", "−")
        words.append(word)
    return Entry(text=" / ".join(words), footnotes=tuple(dict.fromkeys(claim.note for claim in claims if claim.note)))


def _differences(table: Table, column: Column, own: Scale) -> Strip:
    """Differences to the base row."""
    entries = []
    for cell in cells_of(table, column):
        apart = cell.difference
        if apart is None:
            entries.append(Entry(text=NONE))
            continue
        half = show(apart.half_width, own) if apart.half_width is not None else None
        entries.append(Entry(text=show(apart.value, own, signed=True), spread=half, number=True))
    base = next((row.label for row in table.rows if row.row == table.base), str(table.base))
    return Strip(path=(*column.heads, f"Δ vs {base}"), align="right", entries=tuple(entries))


def _in_reading_order(strips: list[Strip]) -> tuple[str, ...]:
    """Every footnote once: those of the heads, then row by row."""
    heads = [text for strip in strips for text in strip.footnotes]
    rows = zip(*(strip.entries for strip in strips), strict=True)
    return tuple(dict.fromkeys([*heads, *(text for row in rows for entry in row for text in entry.footnotes)]))
