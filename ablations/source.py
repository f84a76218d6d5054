"""YAML as data, with the place of everything: file:line:column for every key and item.

YAML 1.2's core rules: `on` and `no` are text, `1e-3` is a number, `010` is refused rather than read as eight. What a
spec has no use for is an error: duplicate keys, anchors and aliases, merge keys, tags. Under `reported:` everything
stays text, because `4.50` and `4.5` are two printed numbers.
"""

import re
from collections.abc import Hashable
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

_QUOTED = ("'", '"', "|", ">")
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+\Z")
_PREFIXED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """One file: plain data, and where each part of it stands."""

    name: str  # as the user wrote it, for messages
    value: Any
    marks: dict[Place, tuple[int, int]] = field(repr=False)  # line and column, from 1, of a key or a list's item

    def where(self, place: Place) -> str:
        """file:line:column of a place, or of the nearest one that holds it."""
        while place and place not in self.marks:
            place = place[:-1]
        line, column = self.marks.get(place, (1, 1))
        return f"{self.name}:{line}:{column}"

    def error(self, place: Place, message: str) -> UserError:
        """One line that says where."""
        return UserError(f"{self.where(place)}: {message}")


def read(path: Path, *, name: str | None = None) -> Document:
    """A YAML file. Raises UserError, one line, for whatever keeps it from being data."""
    name = name or str(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{name}: larger than {LARGEST_BYTES // 1_000_000} MB; no spec is")
        data = path.read_bytes()
    except OSError as problem:
        raise UserError(f"{name}: {(problem.strerror or str(problem)).lower()}") from problem
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise UserError(f"{name}: not a text file (byte {problem.start + 1} is no UTF-8)") from problem
    return parse(text, name=name)


def parse(text: str, *, name: str) -> Document:
    """YAML text as a document."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as problem:
        raise UserError(_syntax(problem, text, name)) from problem
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        raise UserError(f"{name}: empty")
    document = Document(name, None, {})
    value = _Builder(document).build(node, (), text_only=False)
    return Document(name, value, document.marks)


def scalar(text: str) -> Any:
    """One plain scalar by the core rules, or a flow list or mapping: what stands behind `--set FIELD=`."""
    return parse(text, name="--set").value if text.strip() else None


def _syntax(problem: yaml.YAMLError, text: str, name: str) -> str:
    """One line for what the parser says over several."""
    if isinstance(problem, yaml.reader.ReaderError):
        return f"{name}: not a text file (at character {problem.position})"
    if not isinstance(problem, yaml.MarkedYAMLError):
        return f"{name}: {str(problem).splitlines()[0]}"
    mark = problem.problem_mark or problem.context_mark
    place = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
    said = " ".join(part for part in (problem.context, problem.problem) if part)
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        said = "a tab: indent with spaces"
    return f"{name}{place}: YAML: {said}"


class _Builder:
    """Plain data from parser nodes, writing marks as it goes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[int] = set()

    def build(self, node: yaml.Node, place: Place, *, text_only: bool) -> Any:
        self.document.marks.setdefault(place, _position(node))
        if id(node) in self.seen:
            raise self.document.error(place, "an alias: anchors are not allowed in a spec; write it again")
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._plain(node, place, "map")
            return self._mapping(node, place, text_only=text_only)
        if isinstance(node, yaml.SequenceNode):
            self._plain(node, place, "seq")
            return [
                self.build(item, (*place, number), text_only=text_only) for number, item in enumerate(node.value)
            ]
        return self._scalar(node, place, text_only=text_only)

    def _mapping(self, node: yaml.MappingNode, place: Place, *, text_only: bool) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            spot = _position(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._at(spot, "a key must be text")
            key: Hashable = key_node.value
            if key == "<<" and key_node.style not in _QUOTED:
                raise self._at(spot, "a merge key '<<' is not allowed; `extends:` takes another spec")
            if not key_node.tag.startswith("tag:yaml.org,2002:"):
                raise self._at(spot, f"the tag {key_node.tag!r} is not allowed in a spec")
            if key in built:
                line, _ = self.document.marks[(*place, str(key))]
                raise self._at(spot, f"key {key!r} stands twice; first in line {line}")
            inner = (*place, str(key))
            self.document.marks[inner] = spot
            built[str(key)] = self.build(value_node, inner, text_only=text_only or key == TEXT_ONLY)
        return built

    def _scalar(self, node: yaml.Node, place: Place, *, text_only: bool) -> Any:
        text = node.value
        self._plain(node, place, "null", "bool", "int", "float", "str", "timestamp", "value", "merge")
        if node.style in _QUOTED or (text_only and text not in _NULL):
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _LEADING_ZERO.match(text):
            raise self.document.error(place, f"{text} starts with a zero: write {text.lstrip('0') or 0}, or quote it")
        if _INTEGER.match(text):
            return int(text)
        if _PREFIXED.match(text):
            return int(text, 0)
        if _NOT_FINITE.match(text):
            raise self.document.error(place, f"{text} is no value of a spec: numbers must be finite")
        if not _FLOAT.match(text):
            return text
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise self.document.error(place, f"{text} is larger than any number here")
        return number

    def _plain(self, node: yaml.Node, place: Place, *kinds: str) -> None:
        if node.tag not in {f"tag:yaml.org,2002:{kind}" for kind in kinds} | {"!"}:
            raise self.document.error(place, f"the tag {node.tag!r} is not allowed in a spec")

    def _at(self, spot: tuple[int, int], message: str) -> UserError:
        return UserError(f"{self.document.name}:{spot[0]}:{spot[1]}: {message}")


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
