"""Whatever is in a file, it is a study or one line of what is wrong with it, and that within seconds."""

import re
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations import shipped
from ablations.grid import build
from ablations.study import load
from bench.errors import UserError

SECONDS = 5.0  # of CPU that the slowest may take: a study of a hundred rows takes a tenth of one
PYTHON = re.compile(r"\b(Traceback|msgspec|NoneType|dict|tuple)\b|<class| object at |Expected `")

SPECS = {name: path.read_text(encoding="utf-8") for name, path in shipped.names().items()}
SMALL = [name for name, text in SPECS.items() if len(text) < 4000]
EVERYTHING = """\
study: s
base: {model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}, data: digits, train: {recipe: tiny}}
seeds: 2
columns: [params, {top1: {label: t, model.image: 16}}, {px: {field: model.image}}, {year: {fact: year}}]
design:
  rows:
    - id: a
      model.depth: 2
      facts: {year: 1}
      notes: [n]
      reported: {top1: 81.3}
      explain: {params: {note: n, set: {model.depth: 3}}}
    - {id: b, train: {from: {row: a, seed: same}}, distill: {teacher: {row: base}}}
    - {id: c, repeats: a, group: g}
    - {id: d, weights: timm:vit_tiny_patch16_224, hidden: true}
  one_factor: {model.patch: [1, {id: four, value: 4, set: {model.heads: 4}}]}
  leave_one_out: {model.qkv_bias: false}
  ladder: [{id: wide, model.dim: 32}]
  zip: {train.epochs: [9, 10], train.batch: [8, 16]}
  exclude: [{train.epochs: 9}]
settings: {large: {base: {model.image: 16}, seeds: 5, columns: [flops], needs: {flops: n}}}
needs: {params: n}
reported: {top1: {b: 80}}
labels: {model.patch: patch}
"""

quickly = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def planned_or_refused(content):
    """Plan what a file of this content says; whatever goes wrong is one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_bytes(content)
        begin = time.process_time()
        try:
            build(load(str(path)))
        except UserError as problem:
            said = str(problem).replace(folder, "")
            assert said == said.strip() != ""
            assert said.isprintable(), said  # and so one line
            assert not PYTHON.search(said), said
        assert time.process_time() - begin < SECONDS


@quickly
@given(st.binary(max_size=200))
def test_any_bytes(content):
    planned_or_refused(content)


@quickly
@given(st.text(alphabet="abstudy: -[]{}&*!|>%@'\"\n\t#?,0123456789.~<\\eE\u2028\x85é", max_size=80))
def test_any_text_of_the_signs_that_mean_something(text):
    planned_or_refused(text.encode())


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "vit", "none", "base", "a", "digits", "tiny", "top1", "x.pt", "resnet18", "a\nb", "model.patch", "9" * 30]
    )
)
sections = st.sampled_from(["model", "model.patch", "data", "train", "train.from", "weights", "seeds", "top1", "x"])
kinds = st.sampled_from(["rows", "one_factor", "factorial", "zip", "best_of", "exclude", "columns", "reported"])
keys = sections | kinds | st.sampled_from(["row", "id", "set", "value", "name", "by", "over", "hidden"])
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@pytest.mark.parametrize(
    "key", ["base", "design", "columns", "settings", "reported", "layout", "seeds", "needs", "labels"]
)
@settings(quickly, max_examples=40)
@given(data=st.data())
def test_any_value_of_a_key(key, data):
    said = {"study": "s", "base": {"model": {"name": "vit", "image": 32}}, "columns": ["params"]}
    said[key] = data.draw(anything)
    planned_or_refused(msgspec.json.encode(said))  # JSON is YAML


@pytest.mark.parametrize("name", [*SMALL, "everything"])
@settings(quickly, max_examples=60)
@given(data=st.data())
def test_a_good_spec_with_some_of_it_changed(name, data):
    text = SPECS.get(name, EVERYTHING)
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, min(begin + 12, len(text))))
        words = text.replace(",", " ").split()
        put = data.draw(st.sampled_from(words) | st.text(alphabet="ab01.:,-[]{}'\" \n", max_size=6))
        text = text[:begin] + put + text[end:]
    planned_or_refused(text.encode())


@pytest.mark.parametrize("name", ["everything", *SMALL])
@settings(quickly, max_examples=60)
@given(data=st.data())
def test_a_good_spec_with_values_exchanged(name, data):
    parts = re.split(r"([\w.+-]+)", SPECS.get(name, EVERYTHING))
    for _ in range(data.draw(st.integers(1, 2))):
        one, other = (2 * data.draw(st.integers(0, len(parts) // 2 - 1)) + 1 for _ in range(2))
        parts[one] = parts[other]
    planned_or_refused("".join(parts).encode())


def test_the_good_specs_are_good(tmp_path):
    for name, text in {**SPECS, "everything": EVERYTHING}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        assert build(load(str(tmp_path / f"{name}.yaml"))).rows


@pytest.mark.parametrize(
    "text",
    [
        "factorial: {" + ", ".join(f"f{n}: [{{id: a, set: {{}}}}, {{id: b, set: {{}}}}]" for n in range(40)) + "}",
        "one_factor: {train.lr: [0.1]}, best_of: {by: top1, over: {"
        + ", ".join(f"f{n}: [{{id: a, set: {{}}}}, {{id: b, set: {{}}}}]" for n in range(40))
        + "}}",
    ],
    ids=["factorial", "best_of"],
)
def test_a_design_of_more_rows_than_there_is_time_is_refused(refused, text):
    begin = time.process_time()
    assert "1,099,511,627,776" in (said := refused(f"design: {{{text}}}")) or "2,199,023,255,552" in said
    assert time.process_time() - begin < SECONDS


def test_seeds_without_end_are_refused_at_once(refused):
    many = ", ".join(map(str, range(100_000)))
    assert refused(f"seeds: [{many}]") == "s.yaml:7:1: 100,000 seeds; at most 1,000"
