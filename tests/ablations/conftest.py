"""Specs written on the spot: what they plan, or the one line that is said of them."""

from pathlib import Path
from textwrap import dedent

import pytest

from ablations.grid import build
from ablations.study import load
from bench.errors import UserError

BASE = """\
study: s
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: digits
  train: {recipe: tiny}
"""


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A function that plans a spec: five lines of a small ViT on digits, the columns, and what the test adds."""
    monkeypatch.chdir(tmp_path)

    def plan(text="", *, base=BASE, columns="[params, top1]", **options):
        Path("s.yaml").write_text(base + (f"columns: {columns}\n" if columns else "") + dedent(text))
        return build(load("./s.yaml", **options))

    return plan


@pytest.fixture
def refused(planned):
    """A function that plans a spec which cannot be, and returns what is said."""

    def refuse(text="", **options):
        with pytest.raises(UserError) as raised:
            planned(text, **options)
        return str(raised.value)

    return refuse
