"""staged: for tests, a data set without images; its option `act` is what the measure `acting` does."""

from typing import NoReturn

from bench.data import Facts, Split
from bench.errors import Needs
from bench.trial import Frozen

VERSION = 1


class Options(Frozen):
    """What a measurement does instead of measuring."""

    act: str = "answer"


def facts(options: Options) -> Facts:
    """As digits."""
    return Facts(classes=10, channels=1, image=8)


def missing(options: Options) -> None:
    """Nothing has to be there."""


def load(options: Options, split: Split) -> NoReturn:
    """There are no images."""
    raise Needs("images, which staged has none of")
