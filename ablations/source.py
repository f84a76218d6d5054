"""YAML as data, with the place of everything: file:line:column for every key and item.

YAML 1.2's core rules: `on` and `no` are text, `1e-3` is a number, `010` is refused rather than read as eight. What a
spec has no use for is an error: duplicate keys, anchors and aliases, merge keys, tags. Under `reported:` everything
stays text, because `4.50` and `4.5` are two printed numbers.

Read from the parser's events, not from its nodes: nodes forget anchors and tags, and composing them overflows the C
stack on a file of a hundred thousand brackets.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError

Place = tuple[str | int, ...]
"""A path inside a document: keys of mappings and indices of lists."""

TEXT_ONLY = "reported"
"""Below a key of this name every scalar stays as it is written."""

LARGEST_BYTES = 4_000_000
DEEPEST = 50  # mappings and lists inside each other
LARGEST_INTEGER = 2**63 - 1  # what JSON readers and the keys' encoding can hold

_NULL = ("", "~", "null", "Null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_PLAINLY = {
    "mapping values are not allowed": "a ':' where no key can stand; mend the indent, or quote text that holds ': '",
    "did not find expected key": "this fits nothing above; mend the indent, the brackets or the quotes",
    "did not find expected '-' indicator": "this fits nothing above; a '-' is missing, or the indent is wrong",
    "did not find expected node content": "a value or a closing bracket is missing here",
    "did not find expected ',' or": "a ',' or a closing bracket is missing here",
    "could not find expected ':'": "a key without ':'",
    "found unexpected end of stream": "a quote that is never closed",
    "cannot start any token": "no value can begin with this character; quote it",
}
"""What the parser says, and what it means to those who do not write parsers."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """One file: plain data, and where each part of it stands."""

    name: str  # as the user wrote it, for messages
    value: Any
    marks: dict[Place, tuple[int, int]] = field(repr=False)  # line and column, from 1, of a key or a list's item
    folder: Path = Path()  # paths in the file are relative to it

    def where(self, place: Place) -> str:
        """file:line:column of a place, or of the nearest one that holds it."""
        line, column = self.position(place)
        return f"{self.name}:{line}:{column}"

    def position(self, place: Place) -> tuple[int, int]:
        """Line and column of a place, or of the nearest one that holds it."""
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place, (1, 1))

    def error(self, place: Place, message: str) -> UserError:
        """One line that says where."""
        return UserError(f"{self.where(place)}: {message}")


def read(path: Path, *, name: str | None = None) -> Document:
    """A YAML file. Raises UserError, one line, for whatever keeps it from being data."""
    name = name or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as problem:
        raise UserError(f"{name}: {(problem.strerror or str(problem)).lower()}") from problem
    if len(data) > LARGEST_BYTES:
        raise UserError(f"{name}: larger than {LARGEST_BYTES // 1_000_000} MB; no spec is")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise UserError(f"{name}: not a text file (byte {problem.start + 1} is no UTF-8)") from problem
    return parse(text, name=name, folder=path.parent)


def parse(text: str, *, name: str, folder: Path = Path()) -> Document:
    """YAML text as a document. Raises UserError."""
    loader = None
    try:
        loader = _Loader(text)
        value, marks = _Reader(loader, name).document()
        return Document(name, value, marks, folder)
    except yaml.reader.ReaderError as problem:
        raise UserError(
            f"{name}: not a text file (character {problem.position + 1} is a control character)"
        ) from problem
    except yaml.MarkedYAMLError as problem:
        raise UserError(_syntax(problem, text, name)) from problem
    finally:
        if loader is not None:
            loader.dispose()


def scalar(text: str, *, name: str) -> Any:
    """One value as it would stand behind a key: what `--set FIELD=` holds. Nothing at all is null."""
    if not text.strip():
        return None
    try:
        return parse(text, name="").value
    except UserError as problem:  # no file and so no place: what stands behind it is what is wrong
        raise UserError(f"{name}: {str(problem).partition(': ')[2]}") from problem


def _syntax(problem: yaml.MarkedYAMLError, text: str, name: str) -> str:
    """One line for what the parser says over several."""
    scanned = problem.context and problem.context.startswith(("while scanning a quoted", "while scanning a simple"))
    mark = problem.context_mark if scanned else problem.problem_mark or problem.context_mark
    assert mark is not None
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    said = str(problem.problem)
    if "\t" in indent or line[mark.column : mark.column + 1] == "\t":
        said = "a tab; indent with spaces"
    else:
        said = next((plainly for part, plainly in _PLAINLY.items() if part in said), said)
    return f"{name}:{mark.line + 1}:{mark.column + 1}: YAML: {said}"


class _Reader:
    """Plain data from parser events, writing marks as it goes."""

    def __init__(self, loader: Any, name: str) -> None:
        self.loader = loader
        self.name = name
        self.marks: dict[Place, tuple[int, int]] = {}

    def document(self) -> tuple[Any, dict[Place, tuple[int, int]]]:
        """The data, and where each part of it stands."""
        self.loader.get_event()  # the stream's start
        if isinstance(self.loader.get_event(), yaml.StreamEndEvent):
            raise UserError(f"{self.name}: empty")
        value = self.build(self.loader.get_event(), (), text_only=False)
        self.loader.get_event()  # the document's end
        after = self.loader.get_event()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.error(after, "a second document; a spec is one")
        return value, self.marks

    def build(self, event: yaml.Event, place: Place, *, text_only: bool) -> Any:
        self.marks.setdefault(place, _position(event))
        self.refuse(event)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, text_only=text_only)
        if len(place) >= DEEPEST:
            raise self.error(event, f"more than {DEEPEST} mappings and lists inside each other")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(place, text_only=text_only)
        items: list[Any] = []
        while not isinstance(item := self.loader.get_event(), yaml.SequenceEndEvent):
            items.append(self.build(item, (*place, len(items)), text_only=text_only))
        return items

    def mapping(self, place: Place, *, text_only: bool) -> dict[str, Any]:
        built: dict[str, Any] = {}
        while not isinstance(key_event := self.loader.get_event(), yaml.MappingEndEvent):
            self.refuse(key_event)
            if not isinstance(key_event, yaml.ScalarEvent):
                raise self.error(key_event, "a key must be text")
            key = str(key_event.value)
            inner = (*place, key)
            if key == "<<" and _plain(key_event):
                raise self.error(key_event, "a merge key '<<' is not allowed; `extends:` takes another spec")
            if key in built:
                raise self.error(key_event, f"key {key!r} stands twice; first in line {self.marks[inner][0]}")
            self.marks[inner] = _position(key_event)
            built[key] = self.build(self.loader.get_event(), inner, text_only=text_only or key == TEXT_ONLY)
        return built

    def scalar(self, event: yaml.ScalarEvent, *, text_only: bool) -> Any:
        text = event.value
        if not _plain(event) or (text_only and text not in _NULL):
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _LEADING_ZERO.fullmatch(text) and len(text) < 30:
            raise self.error(event, f"{text} starts with a zero; write {int(text)}, or quote it")
        if _INTEGER.fullmatch(text) or _PREFIXED.fullmatch(text):
            return self.integer(event)
        if _NOT_FINITE.fullmatch(text):
            raise self.error(event, f"{text} is no value of a spec; numbers must be finite")
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise self.error(event, f"{text} is larger than any number here")
        return number

    def integer(self, event: yaml.ScalarEvent) -> int:
        too_long = len(event.value) > len("-0o777777777777777777777")  # the longest way to write 64 bits
        number = None if too_long else int(event.value, 0 if _PREFIXED.fullmatch(event.value) else 10)
        if number is None or abs(number) > LARGEST_INTEGER:
            raise self.error(event, f"{_shortened(event.value)} is larger than any number here")
        return number

    def refuse(self, event: Any) -> None:
        """Raise UserError for what YAML can and a spec need not."""
        if isinstance(event, yaml.AliasEvent):
            raise self.error(event, f"an alias *{event.anchor} is not allowed in a spec; write it again")
        if event.anchor is not None:
            raise self.error(event, f"an anchor &{event.anchor} is not allowed in a spec; write it again")
        if event.tag is not None:
            raise self.error(event, f"a tag {event.tag!r} is not allowed in a spec")

    def error(self, event: Any, message: str) -> UserError:
        line, column = _position(event)
        return UserError(f"{self.name}:{line}:{column}: {message}")


def _plain(event: yaml.ScalarEvent) -> bool:
    """Whether a scalar is written without quotes, and not as a block."""
    return bool(event.implicit[0])


def _position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _shortened(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:20]}… ({len(text)} digits)"
