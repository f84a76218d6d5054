"""JSON documents of others: decoded, or one line that says where the file is broken."""

import json
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import Invalid


def decoded(path: Path) -> Any:
    """What a JSON file holds. Raises Invalid where there is none, or it is cut off."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise Invalid(f"{path}: {(problem.strerror or str(problem)).lower()}") from problem
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _by_the_standard_library(path, content)


def _by_the_standard_library(path: Path, content: bytes) -> Any:
    """It takes NaN, which many writers leave, so that the entry with it can be named; and it says where it stopped."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as problem:
        if not problem.doc.strip():
            raise Invalid(f"{path}: the file is empty") from problem
        cut = problem.pos >= len(problem.doc.rstrip()) or problem.msg.startswith("Unterminated")
        why = "the file is cut off" if cut else f"no JSON ({problem.msg.lower()})"
        raise Invalid(f"{path}: {why} at character {problem.pos:,} of {len(problem.doc):,}") from problem
    except UnicodeDecodeError as problem:
        raise Invalid(f"{path}: no JSON: byte {problem.start:,} is no text") from problem
    except RecursionError as problem:
        raise Invalid(f"{path}: no JSON that this can be: it is nested too deeply") from problem
