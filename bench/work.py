"""Work: one key to be computed once, and the trial that it takes. What a planner lists and a worker eats."""

from bench.trial import Frozen, Trial


class Work(Frozen):
    """One training or one measurement. Its key is its identity: equal keys are the same work."""

    key: str  # weights key of a training, record key of a measurement
    measure: str  # a file of bench/measures, or "train"
    version: int  # of that measure
    trial: Trial
    weights_key: str | None = None  # the weights in the store that it measures or makes
    after: tuple[str, ...] = ()  # weights keys that must be in the store first
    label: str = ""  # for people: study/row:seed
    timeout_s: float | None = None
    replaces: tuple[str, ...] = ()  # attempts the planner knew of that do not serve: a record of any other answers it
