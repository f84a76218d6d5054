"""Commands: programs of the user's own, which his own configuration names and a spec only calls.

    # ~/.config/vitab/commands.yaml, or $VITAB_COMMANDS
    my_trainer: [python, ~/trainer/train.py, "{arguments}", --seed, "{seed}", --out, "{quantities}"]

A list of arguments, never a line of shell; nobody else may write the file. In braces stand places that are filled:

    {arguments}     --NAME=VALUE for each argument that the spec gives
    {command.NAME}  one of them
    {seed}          the trial's
    {trial}         the path of a JSON file that says all of the trial
    {quantities}    the path where the program writes what it measured
    {checkpoints}   a folder of this trial's own, kept until it is done and after
    {resume}        true where an earlier attempt has left something in that folder, else false

A text of a spec always stays within one argument, and never becomes an option of its own.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bench import trust
from bench.errors import Invalid, Needs, UserError, unknown
from bench.trial import Command

PLACES = ("arguments", "seed", "trial", "quantities", "checkpoints", "resume")

MOST_BYTES = 1 << 20
"""Of a file that is read for a command's digest: what is larger is no program that somebody writes."""

_PLACE = re.compile(r"\{([a-z]+(?:\.[^{}]+)?)\}")
_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def file() -> Path:
    """`$VITAB_COMMANDS`, by default `~/.config/vitab/commands.yaml`."""
    configured = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.environ.get("VITAB_COMMANDS") or f"{configured}/vitab/commands.yaml").expanduser()


def registered(name: str) -> list[str]:
    """The words of a command, as the user's file lists them.

    Raises Needs where it does not, UserError where it is wrong or others may change it.
    """
    path = file()
    try:
        found = path.resolve(strict=True)
        trust.check(found, "its commands are run")
        known = msgspec.convert(yaml.safe_load(found.read_text(encoding="utf-8")) or {}, dict[str, list[str]])
    except FileNotFoundError as problem:
        raise Needs(f"the command {name!r}, registered in {path}") from problem
    except OSError as problem:
        raise UserError(f"{path}: {(problem.strerror or str(problem)).lower()}") from problem
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as problem:
        raise UserError(
            f"{path}: {' '.join(str(problem).split())}; NAME: [PROGRAM, ARGUMENT, …], all texts"
        ) from problem
    if name not in known:
        raise Needs(f"{unknown('command', name, known)} ({path})")
    if not known[name] or _PLACE.search(known[name][0]):
        raise UserError(f"{path}: the command {name!r} must begin with its program, which no spec chooses")
    return [str(Path(word).expanduser()) if word.startswith("~/") else word for word in known[name]]


def filled(words: Iterable[str], command: Command, places: Mapping[str, str]) -> list[str]:
    """The words of a command with their places filled. Raises Invalid for an argument that would go nowhere."""
    words = list(words)
    asked = {place for word in words for place in _PLACE.findall(word)}
    given = {f"command.{name}": _text(value) for name, value in command.arguments.items()}
    known = {*PLACES, *given}
    for place in sorted(asked):
        if place.partition(".")[0] not in (*PLACES, "command"):
            raise Invalid(f"{command.name}: {unknown('place', f'{{{place}}}', (f'{{{one}}}' for one in known))}")
        if place not in known:
            raise Invalid(f"{command.name} wants {place}, which the trial does not say")
    if not asked & {"arguments", "trial"} and (lost := sorted(given.keys() - asked)):
        raise Invalid(f"{command.name} takes no argument {lost[0].partition('.')[2]!r}: no place of it in {file()}")
    return [argument for word in words for argument in _filled(word, words, command, {**places, **given})]


def digest(words: Iterable[str]) -> str:
    """A digest of a command: its words, and what is in the texts that they name. Another program is another digest."""
    found = hashlib.sha256()
    for word in words:
        found.update(f"{len(word)} {word}".encode())
        path = Path(word)
        if path.is_absolute() and path.is_file() and path.stat().st_size <= MOST_BYTES:
            content = path.read_bytes()
            if b"\0" not in content:  # an interpreter differs from node to node, and is none of the user's writing
                found.update(hashlib.sha256(content).digest())
    return found.hexdigest()


def _filled(word: str, words: list[str], command: Command, places: Mapping[str, str]) -> list[str]:
    """One word with its places filled: one argument, or those of the spec."""
    if word == "{arguments}":
        return [_option(name, value, words, command) for name, value in command.arguments.items()]
    argument = _PLACE.sub(lambda place: places[place[1]], word)
    if "\0" in argument:
        raise Invalid(f"{command.name}: {argument!r} holds a zero byte, which no program can be told")
    if word.startswith("{command.") and argument.startswith("-") and not _is_number(argument):
        raise Invalid(f"{command.name}: {argument!r} would be an option; write --NAME={word} in {file()}")
    return [argument]


def _option(name: str, value: Any, words: list[str], command: Command) -> str:
    if not _OPTION.fullmatch(name):
        raise Invalid(f"{command.name}: {name!r} is no name of an option: letters, digits and _ . -")
    if any(word.partition("=")[0] == f"--{name}" for word in words):
        raise Invalid(f"{command.name}: --{name} is set in {file()}, and not for a spec to say")
    return f"--{name}={_text(value)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
