"""A fault: one way in which a sweep can go wrong, on a site that is like this or like that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sweep import Result, Sweep

Provoke = Callable[[Sweep], Result]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to go wrong."""

    title: str
    provoke: Provoke
    most_starts: int = 2  # of one training, that the fault explains
    least_starts: int = 2  # of the training that it hit hardest, where it explains as many: else nothing was provoked
    site: Mapping[str, object] = field(default_factory=dict)  # what the cluster is like, where it matters
    epochs: int = 120
    design: str = ""  # more rows, as lines of the spec
    images: bool = False  # trained on files, which a loader's processes read


FAULTS: dict[str, Fault] = {}
"""By the name of the function that provokes it."""


def fault(title: str, **how: object) -> Callable[[Provoke], Provoke]:
    """Enter a fault by the name of its function."""

    def enter(provoke: Provoke) -> Provoke:
        FAULTS[provoke.__name__] = Fault(title=title, provoke=provoke, **how)  # type: ignore[arg-type]
        return provoke

    return enter


@fault("nothing happens", most_starts=1)
def undisturbed(sweep: Sweep) -> Result:
    sweep.send()
    return sweep.finish()
