"""Text that a terminal shows and does not obey.

A failure's reason is what some library raised, a title what somebody wrote: neither may move the cursor, ring the bell
or turn the reading direction around. What is no printable character is dropped; ends of lines and tabs become spaces.
"""

import re
from typing import Any
from unicodedata import category

import msgspec

from bench.trial import Frozen
from reports.table import Table

NAMES = {"row", "name", "base", "state", "verdict", "keys"}
"""Fields by which parts of a table are found again: they stay as they are."""

_ESCAPED = re.compile(r"\\[bfnrtu]")


def plain(text: str) -> str:
    """One line of printable text."""
    if text.isprintable():
        return text
    return "".join(map(_letter, text)).strip()


def plain_lines(text: str) -> str:
    """Printable text in its lines."""
    return "\n".join(line if line.isprintable() else "".join(map(_letter, line)) for line in text.split("\n"))


def plain_table(table: Table) -> Table:
    """A table whose texts are printable."""
    text = msgspec.json.encode(table).decode()
    if text.isprintable() and not _ESCAPED.search(text):  # nearly always, and known a hundred times faster
        return table
    cleaned: Table = _plain(table)
    return cleaned


def _letter(letter: str) -> str:
    if letter.isprintable() or category(letter) == "Zs":  # spaces of any width
        return letter
    return " " if letter.isspace() else ""


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Frozen):
        fields = [name for name in value.__struct_fields__ if name not in NAMES]
        return msgspec.structs.replace(value, **{name: _plain(getattr(value, name)) for name in fields})
    return value
