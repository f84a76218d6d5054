"""`vitab table`: the table from what the store holds now."""

import argparse
import sys
from pathlib import Path

from bench import lease
from bench.errors import UserError
from bench.files import publish
from bench.store import Snapshot, Store
from reports.cells import fill
from reports.render import render
from vitab import journal
from vitab.streams import is_stream
from vitab.works import Selection, selections


def main(options: argparse.Namespace) -> int:
    """Print the table, or write it to a file."""
    (one,) = selections(options, [options.study])
    store = Store(options.store)
    snapshot = store.read()
    for problem in snapshot.problems:
        sys.stderr.write(f"{store.path.name}: {problem}\n")
    _other_variations(one, store, snapshot)
    table = fill(one.grid, snapshot, running=frozenset(lease.running(store)), columns=one.columns)
    text = render(table, options.form, reported_only=options.reported).rstrip()
    if options.out is None:
        print(text)
        return 0
    write(options.out, text)
    return 0


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all; what is no regular file (a device, a pipe) is written to. Raises UserError."""
    if path.is_dir():
        raise UserError(f"{path}: is a directory")
    content = (text if text.endswith("\n") else text + "\n").encode()
    try:
        if is_stream(path):
            with path.open("ab") as stream:
                stream.write(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path.resolve(), content)  # a link stays one: the file that it names is replaced
    except OSError as problem:
        raise UserError(f"{path}: {(problem.strerror or str(problem)).lower()}") from problem


def _other_variations(one: Selection, store: Store, snapshot: Snapshot) -> None:
    """One line where nothing of this variation has a record and another one was run."""
    keys = {work.key for _, _, cell in one.grid.cells(columns=one.columns) for work in cell.works}
    if not keys or keys & snapshot.records.keys():
        return
    study = one.grid.study
    others = {
        f"with {call.options}" if call.options else "as its spec says"
        for call in journal.calls(store)
        if call.name == study.name and (call.setting, call.sets) != (study.setting, one.sets)
    }
    if others:
        sys.stderr.write(f"nothing of this is measured; {study.name} was run {' and '.join(sorted(others))}\n")
