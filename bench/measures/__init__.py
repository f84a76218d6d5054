"""Measures by name: one file each, found by it. The interface; everything at module level is torch-free:

    '''NAME: what comes out, in which unit, by whose definition.'''
    VERSION: int
    DEPENDS_ON: tuple[str, ...]                  fields of Trial that the value depends on; "weights": the weights key
    PRODUCES: dict[str, tuple[str, str | None]]  quantity → (unit, "higher" | "lower" | None)
    LABELS: dict[str, str]                       optional: what tables call a quantity, where that is not its name
    CONVENTION: str                              optional: one line under every table, what was counted
    MODELS: tuple[str, ...]                      optional: the only models that it is of, by name
    DATA: tuple[str, ...]                        optional: the only data sets that it is of
    TASKS: tuple[str, ...]                       optional: the only tasks that it is of; others are measured otherwise
    REMEASURE_IF_CHANGED: tuple[str, ...]        optional: libraries whose new version asks for a repeat
    def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]

A measure raises `Invalid` for what cannot be measured, and whatever else happens becomes a typed failure in the worker.
"""
