"""A measure that does what a test tells it, added as other packages add theirs: by an entry point."""

from pathlib import Path

import pytest

from bench import registry

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture
def acting(monkeypatch):
    """The measure `acting` is known, here and in processes started from here."""
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
    yield "acting"
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
