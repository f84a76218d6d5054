"""`vitab import`: numbers that were measured elsewhere become records that say so.

A file holds one number a line or an item: `row`, `column` and `value`, and, where there is one, its `seed` and `unit`.
"""

import argparse
import csv
import getpass
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablations.columns import called
from ablations.grid import Grid
from ablations.source import read
from bench import machine
from bench.errors import UserError, unknown
from bench.record import LARGEST, Quantity, Record
from bench.store import Store, now
from bench.trial import Input, Model, Trial
from reports import imported
from reports.cells import fill
from vitab.works import selections

COLUMNS = ("row", "column", "value", "seed", "unit")
NEEDED = COLUMNS[:3]


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a file, and where it stands there."""

    row: str
    column: str
    value: float
    seed: int | None
    unit: str | None
    where: str  # file:line
    line: int


def main(options: argparse.Namespace) -> int:
    """Read all of the file, then write all of its records. Raises UserError, with file and line."""
    (one,) = selections(options, [options.study])
    grid, store = one.grid, Store(options.store)
    try:
        content = options.file.read_bytes()
    except OSError as problem:
        raise UserError(f"{options.file}: {(problem.strerror or str(problem)).lower()}") from problem
    sha256 = hashlib.sha256(content).hexdigest()
    known = {"file": options.file.name, "sha256": sha256}
    records: dict[str, Record] = {}
    for number in _numbers(options.file, content):
        record = _record(grid, number, known)
        if record.key in records:
            raise UserError(f"{number.where}: {_called(record)} stands twice")
        records[record.key] = record
    if not records:
        raise UserError(f"{options.file}: no number in it")
    _say_what_stays(grid, store, list(records.values()))
    for record in records.values():
        store.append(record)
    count = f"{len(records):,} number{'s' if len(records) > 1 else ''}"
    sys.stderr.write(f"{count} of {options.file} imported as {one.name}\n")
    return 0


def _numbers(path: Path, content: bytes) -> Iterator[Number]:
    """The numbers of a csv or JSON file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UserError(f"{path}: not a text file (byte {problem.start + 1} is no UTF-8)") from problem
    if path.suffix == ".json":
        yield from _of_json(path)
        return
    lines = csv.reader(text.splitlines(), strict=True)
    head: list[str] | None = None
    try:
        for words in lines:
            where = f"{path}:{lines.line_num}"
            if head is None:
                head = _head([word.strip() for word in words], where)
            elif len(words) not in (0, len(head)):
                raise UserError(f"{where}: {len(words)} fields under {len(head)} heads")
            elif words:
                said = {name: word.strip() for name, word in zip(head, words, strict=True) if word.strip()}
                yield _number(said, where, lines.line_num)
    except csv.Error as problem:
        raise UserError(f"{path}:{lines.line_num}: {problem}") from problem


def _of_json(path: Path) -> Iterator[Number]:
    """The items of a JSON file's list."""
    document = read(path)
    if not isinstance(document.value, list):
        raise document.error((), "must be a list of {row, column, value}")
    for place, item in enumerate(document.value):
        where = document.where((place,))
        if not isinstance(item, dict):
            raise UserError(f"{where}: must be {{row, column, value}}")
        _head(list(item), where)
        said = {name: str(value) for name, value in item.items() if value is not None}
        yield _number(said, where, int(where.rsplit(":", 2)[1]))


def _head(names: list[str], where: str) -> list[str]:
    for name in names:
        if name not in COLUMNS:
            raise UserError(f"{where}: {unknown('column of numbers', name, COLUMNS)}")
    if lacking := [name for name in NEEDED if name not in names]:
        raise UserError(f"{where}: no {', '.join(lacking)}; a file of numbers has {', '.join(COLUMNS)}")
    return names


def _number(said: dict[str, str], where: str, line: int) -> Number:
    for name in NEEDED:
        if name not in said:
            raise UserError(f"{where}: no {name}")
    try:
        value = float(said["value"])
    except ValueError as problem:
        raise UserError(f"{where}: value {said['value']!r} is no number") from problem
    if not abs(value) <= LARGEST:
        raise UserError(f"{where}: value {said['value']!r} is no number that can be shown")
    seed = said.get("seed")
    if seed is not None and not seed.isdecimal():
        raise UserError(f"{where}: seed {seed!r} is no whole number")
    return Number(
        row=said["row"],
        column=said["column"],
        value=value,
        seed=None if seed is None else int(seed),
        unit=said.get("unit"),
        where=where,
        line=line,
    )


def _record(grid: Grid, number: Number, known: dict[str, str]) -> Record:
    """A number as a record of the cell that it names. Raises UserError where there is no such cell."""
    try:
        row = grid.row(number.row)
        columns = [column for column in called(grid.columns, number.column) if column.name in row.cells]
        if len(columns) != 1:
            names = [column.name for column in columns] or [one.name for one in grid.columns if one.quantity]
            raise UserError(unknown("column", number.column, names))
        cell, name = row.cells[columns[0].name], columns[0].name
        if number.unit is not None and number.unit != cell.unit:
            raise UserError(f"unit {number.unit!r}; {name} is in {cell.unit!r}")
        key = imported.key(grid, row.id, name, seed=number.seed)
    except UserError as problem:
        raise UserError(f"{number.where}: {problem}") from problem
    works = [work for work in cell.works if number.seed in (None, work.trial.seed)]
    unknown_trial = Trial(model=Model(name=f"imported:{row.id}"), input=Input(image=None), seed=number.seed)
    better = columns[0].quantity.better if columns[0].quantity is not None else None
    return Record(
        key=key,
        measure=imported.MEASURE,
        version=imported.FORMAT,
        attempt=f"{known['sha256'][:12]}:{number.line}",
        time=now(),
        trial=works[0].trial if works else unknown_trial,
        quantities={cell.quantity: Quantity(samples=(number.value,), unit=cell.unit or "", better=better)},
        bound={**known, "line": number.line, "seed": number.seed, "row": row.id, "column": name},
        environment={"user": _user(), "host": machine.host()},
    )


def _say_what_stays(grid: Grid, store: Store, records: list[Record]) -> None:
    """A line for each cell that has a number of ours, which stays, and one for what was imported before."""
    snapshot = store.read()
    cells = {row.row: row.cells for row in fill(grid, snapshot).rows}
    for row, column in dict.fromkeys((record.bound["row"], record.bound["column"]) for record in records):
        if cells[row][column].state == "measured":
            sys.stderr.write(f"{column} of row {row!r} is measured here: tables go on showing that\n")
    again = sum(record.key in snapshot.records for record in records)
    if again:
        sys.stderr.write(f"{again} of them were imported before: the later ones stand\n")


def _called(record: Record) -> str:
    seed = record.bound["seed"]
    return f"{record.bound['column']} of row {record.bound['row']!r}" + ("" if seed is None else f", seed {seed},")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return "somebody"
