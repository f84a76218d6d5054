"""A record: what happened when one measure ran once. One line of JSON, never changed afterwards.

Format 1 (a reader skips lines whose `format` it does not know, and says so):
    {"event": "start", "format": 1, "key", "measure", "attempt", "time", "host", "pid"}
    {"event": "end",   "format": 1, "key", "measure", "version", "attempt", "time", "seconds", "trial",
     "quantities" | "failure", "bound", "environment", "artifacts"}
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from bench.trial import Frozen, Trial

FORMAT = 1

TRAIN = "train"
"""The measure name of a training's own record: its key is the weights key."""

STD_OVER_IMAGES = "std_over_images"
"""Bound by measures whose quantities are no shares of images: quantity → standard deviation over test sets of as many
images, by the bootstrap."""

LARGEST = 1e100
"""No sample is beyond this, nor below its negative: sums of squares of such numbers are numbers still."""

Sample = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]


class Quantity(Frozen):
    """One measured quantity: raw samples, summarised only in reports."""

    samples: Annotated[tuple[Sample, ...], Meta(min_length=1)]  # in the order measured
    unit: str  # base units: "parameters", "multiply-adds", "%", "images/s", "bytes", "s"
    better: Literal["higher", "lower"] | None  # None: neither (a number of layers)


FailureKind = Literal[
    "crashed", "out_of_memory", "diverged", "timed_out", "killed", "malformed", "invalid", "needs", "upstream"
]


class Failure(Frozen):
    """A typed failure. `reason` is one line that a reader of the table understands."""

    kind: FailureKind
    reason: str
    step: int | None = None  # diverged: at which step
    value: float | None = None  # diverged: the last finite value of the loss
    traceback: str | None = None  # crashed: where it was raised (bench/crashes.py)


class Failed(Exception):
    """A failure that has its type already: another process of the same work found it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Start(Frozen, tag_field="event", tag="start"):
    """A measurement began. More starts than ends say that something was in flight when its process went."""

    key: str
    measure: str
    attempt: str
    time: str  # ISO 8601, UTC
    host: str
    pid: int
    format: int = FORMAT


class Record(Frozen, tag_field="event", tag="end"):
    """A measurement ended, in quantities or in a typed failure."""

    key: str
    measure: str
    version: int
    attempt: str
    time: str  # ISO 8601, UTC, at the end
    trial: Trial
    seconds: Annotated[float, Meta(ge=0, le=LARGEST)] | None = None  # None: whoever worked on it cannot say any more
    quantities: dict[str, Quantity] = {}
    failure: Failure | None = None
    # Known only at run time. Compared when read (bench/here.py): `weights`, the sha256 of those that were measured, and
    # `data`, the fingerprint of the split that was evaluated; versions of libraries where the measure asks for it.
    bound: dict[str, Any] = {}
    environment: dict[str, Any] = {}  # bench.machine.environment()
    artifacts: dict[str, str] = {}  # name: path inside the store
    format: int = FORMAT
