"""What a measure is given besides its trial: where the weights lie, where to put what it keeps, what to bind."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(kw_only=True)
class Subject:
    """One trial at hand in a worker. A measure reads the paths and adds to `bound` and `artifacts`."""

    store: Path  # the store's folder
    weights_folder: Path | None = None  # store/weights/KEY, complete, where the trial has weights from this store
    device: str = "cpu"  # "cpu" or "cuda": chosen by the worker from trial.execution and its slot
    bound: dict[str, Any] = field(default_factory=dict)  # name → fact known only now
    artifacts: dict[str, str] = field(default_factory=dict)  # name → path relative to the store
