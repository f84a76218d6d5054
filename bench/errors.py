"""What can go wrong because of what somebody asked for.

`UserError` is the one exception that `main` turns into a line and exit code 2:

    UserError            where (file:line:column), what is wrong, what is allowed, the nearest match
    ├── Invalid          a trial that breaks a rule of its model, data or recipe; its row can be kept, with the reason
    └── Needs            data, weights or hardware that this machine does not have

    Diverged             a training whose loss has exploded: a result, not a mistake of the user's
    Interrupted          the worker was asked to go: no result at all
"""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Bad input: one line, lower case, that says what is wrong and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else " " for letter in message))


class Invalid(UserError):
    """A trial that cannot be: the reason names the rule and what it allows."""


class Needs(UserError):
    """Data, weights or hardware that is not here: the reason says which, and how it is had."""


class Diverged(Exception):
    """A training whose loss became infinite or no number, or ended far above that of a model that says nothing."""

    def __init__(self, step: int, value: float | None) -> None:
        super().__init__(f"the loss diverged at step {step}")
        self.step = step
        self.value = value  # the last finite loss; None: it never was


class Interrupted(BaseException):
    """Leave without a record. No `except Exception` on the way keeps it."""


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that looks most like `name`, or None when nothing comes close."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown(kind: str, name: object, allowed: Iterable[str], *, most: int = 12) -> str:
    """One line for a name that does not exist: the nearest one where there is one, else what is allowed."""
    choices = sorted(allowed)
    if not choices:
        return f"no {kind} {str(name)!r}; there is none here"
    match = nearest(str(name), choices)
    if match is not None:
        return f"no {kind} {str(name)!r}; nearest: {match!r}"
    return f"no {kind} {str(name)!r}; allowed: {few(choices, most)}"


def few(names: Sequence[str], most: int = 12) -> str:
    """Names for a line: all of them, or some and how many there are."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
