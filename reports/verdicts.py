"""Verdicts: what a claim and a measurement say together. The only place where these words are decided.

Counts        reproduced (prints as printed) > explained (a second computation prints as printed) > close (within 1 % of
              the interval's nearer end) > deviates
Accuracies    weights given: reproduced where they print as printed; else the difference is held against the noise of
              the seeds and of the finite test set: within_noise > explained > deviates
Hardware      throughput, time, memory: another device is another number, so not_comparable; ratios compare elsewhere
Anything      whose protocol differs is not_comparable; what has no number is pending or failed
"""

import math
import sys

from ablations.printed import Printed
from bench.trial import Frozen
from reports.claims import Claim
from reports.scale import alone
from reports.significance import binomial_std, summary, two_sided_t
from reports.table import ClaimCell, State, Verdict

CLOSE = 0.01  # of the interval's nearer end
ORDER: tuple[Verdict, ...] = ("reproduced", "within_noise", "explained", "close", "deviates", "not_comparable")

HARDWARE = {"images/s", "s", "bytes", "FLOP/s"}
PERCENT = {"%", "points", "AP"}

WITHOUT_NUMBER: dict[State, Verdict] = {
    "pending": "pending",
    "running": "pending",
    "needs": "pending",
    "failed": "failed",
    "invalid": "failed",
    "conflict": "failed",
    "not_applicable": "not_comparable",
    "imported": "not_comparable",
}


class Measured(Frozen):
    """What our side of a comparison knows."""

    unit: str
    state: State = "measured"
    samples: tuple[float, ...] = ()  # one a seed; one alone where seeds have no influence
    seeded: bool = False  # the samples come from trainings: their spread is noise
    images: int | None = None  # in the test set, of which this is a share; None: unknown, and its noise is left out
    std_over_images: float | None = None  # what another test set of as many images would change, where it is no share
    second: float | None = None  # what the claim's explanation computes; None: not computed yet
    differs: str | None = None  # how our protocol differs from the claim's: "image 224, reported at 384"


def verdict(claim: Claim, measured: Measured) -> ClaimCell:
    """The verdict on one claim: the best over the numbers that it prints (`88.4/88.5*`)."""
    said: list[tuple[Verdict, float | None, str | None]]
    if not claim.numbers:
        said = [("not_comparable", None, None)]
    elif measured.state != "measured":
        said = [(WITHOUT_NUMBER[measured.state], None, None)]
    elif measured.differs is not None:
        said = [("not_comparable", None, measured.differs)]
    elif measured.unit in HARDWARE:
        said = [("not_comparable", None, "another device or another software: only ratios compare")]
    else:
        second = claim.copied if claim.copied is not None else measured.second
        compare = _accuracy if measured.unit in PERCENT else _count
        said = [compare(number, measured, second) for number in claim.numbers]
    word, deviation, why = min(said, key=lambda one: ORDER.index(one[0]) if one[0] in ORDER else -1)
    return ClaimCell(
        printed=claim.printed,
        source=str(claim.source),
        verdict=word,
        deviation=deviation,
        note=_note(claim, measured, word, why),
    )


def deviation(number: Printed, value: float) -> float | None:
    """How far a value is outside a printed interval, relative to the nearer end; 0 inside.

    None where that end is 0, or begins right beside it (`> 0`): nothing is a share of nothing.
    """
    if number.holds(value):
        return 0.0
    end = number.nearest_end(value)
    return (value - end) / abs(end) if abs(end) > sys.float_info.min else None


def noise_of_difference(number: Printed, measured: Measured) -> float | None:
    """Half width, in points, of what noise alone does to (measured − printed) in 95 % of the cases; None: unknown.

    A reported number without its own spread is taken as one run with our spread, and one run of ours as one with
    theirs. The finite test set enters once: both
    are scored on the same images and are right about mostly the same ones, which leaves less than one binomial variance
    of the difference. The degrees of freedom are Welch and Satterthwaite's (Biometrics, 1946).
    """
    ours = summary(measured.samples)
    finite = (
        binomial_std(ours.mean, measured.images) ** 2 if measured.images else (measured.std_over_images or 0.0) ** 2
    )
    if not measured.seeded:
        theirs = number.std**2 if number.std is not None else 0.0
        return two_sided_t(math.inf) * math.sqrt(finite + theirs) if finite + theirs else None
    if ours.std is None:
        return None if number.std is None else two_sided_t(math.inf) * math.sqrt(2 * number.std**2 + finite)
    seeds = ours.std**2 * (1 / ours.n + (1 if number.std is None else 0))
    total = seeds + finite + (number.std**2 if number.std is not None else 0.0)
    freedom = (ours.n - 1) * (total / seeds) ** 2 if seeds else math.inf
    return two_sided_t(freedom) * math.sqrt(total)


def _count(number: Printed, measured: Measured, second: float | None) -> tuple[Verdict, float | None, str | None]:
    """Counts have no noise."""
    off = deviation(number, measured.samples[0])
    if number.holds(measured.samples[0]):
        return "reproduced", off, None
    if second is not None and number.holds(second):
        return "explained", off, None
    return ("close" if off is not None and abs(off) <= CLOSE else "deviates"), off, None


def _accuracy(number: Printed, measured: Measured, second: float | None) -> tuple[Verdict, float | None, str | None]:
    """The difference against the noise; the printed digits count as part of it."""
    mean = summary(measured.samples).mean
    off = deviation(number, mean)
    inside = number.holds(mean)
    if inside and not measured.seeded:
        return "reproduced", off, None
    noise = noise_of_difference(number, measured)
    beyond = 0.0 if inside else mean - number.nearest_end(mean)
    if inside or (noise is not None and abs(beyond) <= noise):
        return "within_noise", off, None
    if second is not None and number.holds(second):
        return "explained", off, None
    if noise is None:
        return "not_comparable", off, "one value of unknown noise"
    sign = "+" if beyond > 0 else "−"
    return "deviates", off, f"{sign}{abs(beyond):.2f} points, noise explains ±{noise:.2f} (95 %)"


def _note(claim: Claim, measured: Measured, word: Verdict, why: str | None) -> str | None:
    """What stands beside the verdict: the explanation with its number, the reason, the claim's own note."""
    notes = [claim.note, why]
    if claim.explain is not None and word in ("explained", "close", "deviates"):
        if claim.explain.copied is not None:
            notes.insert(0, f"{claim.explain.note}: {claim.explain.copied}")
        elif measured.second is not None:
            notes.insert(0, f"{claim.explain.note}: {alone(measured.second, measured.unit)}")
    return "; ".join(note for note in notes if note) or None
