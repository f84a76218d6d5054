"""Markdown: a pipe table as GitHub shows it, which is read as it is in a terminal.

A head that spans columns stands over the first of them; what it spans is named in a second line of heads.
"""

import re

from tabulate import tabulate

from reports.layout import Entry, Grid, grid
from reports.table import Table

SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(table: Table, *, reported_only: bool = False) -> str:
    """The table under its title, then notes and footnotes."""
    laid = grid(table, reported_only=reported_only)
    parts = [f"{escape(laid.study)} · {escape(laid.title)}", _table(laid), *(_paragraph(note) for note in laid.notes)]
    footnotes = [f"{_marks((number,))} {escape(text)}" for number, text in enumerate(laid.footnotes, 1)]
    return "\n\n".join([*parts, *(["\n".join(footnotes)] if footnotes else [])]) + "\n"


def escape(text: str, *, bold: bool = False) -> str:
    """Text that Markdown shows as it is: no column, code, tag, entity, link, emphasis or formula begins in it.

    In `bold` text no single asterisk may stand either: it would pair with those around.
    """
    text = re.sub(r"([\\|`]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<=\])[(\[:])", r"\\\1", " ".join(text.split()))
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", text)  # inside a word an underscore is one
    for sign in "*$~":
        if text.count(sign) > 1 or (bold and sign == "*"):  # one alone opens nothing
            text = text.replace(sign, "\\" + sign)
    return text


def _paragraph(text: str) -> str:
    """Text at the beginning of a line, where also headings, lists, quotes, rules and definitions begin."""
    return re.sub(r"^(\d+(?=[.)])|(?=[>+\-=*_~\[:])|(?=#{1,6}(?:\s|$)))", r"\1\\", escape(text))


def _table(laid: Grid) -> str:
    """Heads, rows, and the headings of groups as rows of one cell: the others are empty by GitHub's rules."""
    depth = max(len(strip.path) for strip in laid.strips)
    heads = [list(column) for column in zip(*(_heads(laid, at, depth) for at in range(len(laid.strips))), strict=True)]
    rows = [[_entry(laid, entry) for entry in row] for row in zip(*(s.entries for s in laid.strips), strict=True)]
    aligned = [strip.align for strip in laid.strips]
    # told that a row is the head, tabulate makes each column two wider than it need be
    lines = tabulate([*heads, *rows], tablefmt="pipe", disable_numparse=True, colalign=aligned).splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    first = len(lines) - len(rows)
    made = lines[:first]
    for line, group in zip(lines[first:], laid.groups, strict=True):
        made += [f"| **{escape(group, bold=True)}** |"] if group is not None else []
        made.append(line)
    return "\n".join(made)


def _heads(laid: Grid, at: int, depth: int) -> list[str]:
    """One strip's heads from top to bottom; a head shared with the strip before stands over that one only."""
    path = laid.strips[at].path
    before = laid.strips[at - 1].path if at else ()
    shared = 0
    while shared < len(path) - 1 and path[: shared + 1] == before[: shared + 1] and shared < len(before) - 1:
        shared += 1
    texts = ["" if tier < shared else escape(text) for tier, text in enumerate(path)]
    marks = laid.marks(laid.strips[at].footnotes)
    if marks:
        texts[-1] += f" {_marks(marks)}"
    return texts + [""] * (depth - len(path))


def _entry(laid: Grid, entry: Entry) -> str:
    spread = f" ± {entry.spread}" if entry.spread is not None else ""
    text = escape(f"{entry.text}{spread}{entry.tail}", bold=entry.bold)
    marks = laid.marks(entry.footnotes)
    return (f"**{text}**" if entry.bold else text) + (f" {_marks(marks)}" if marks else "")


def _marks(numbers: tuple[int, ...]) -> str:
    return " ".join(str(number).translate(SUPERSCRIPT) for number in numbers)
