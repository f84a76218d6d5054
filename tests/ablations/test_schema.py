"""The JSON Schema for editors: valid by its own standard, and of the planner's opinion about shipped specs."""

import jsonschema
import msgspec
import pytest
import yaml

from ablations import shipped
from ablations.schema import json_schema
from ablations.source import read
from vitab.__main__ import main


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def messages(validator, text):
    """What an editor would underline."""
    return [(list(error.absolute_path), error.validator) for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_command_prints_the_schema(capsys):
    assert main(["schema"]) == 0
    printed = msgspec.json.decode(capsys.readouterr().out)
    assert printed == msgspec.json.decode(msgspec.json.encode(json_schema()))
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_spec_is_valid_as_we_read_it_and_as_an_editor_does(validator, name):
    path = shipped.names()[name]
    assert [error.message for error in validator.iter_errors(read(path).value)] == []
    assert messages(validator, path.read_text(encoding="utf-8")) == []


GOOD = """\
study: s
base: {model: {name: vit, image: 8}}
seeds: [1, 2]
columns: [params, {top1: {label: accuracy, model.image: 16}}, {px: {field: model.image}}]
design:
  rows: [{id: a, model.depth: 2, reported: {top1: 81.3}}]
  one_factor: {model.patch: [1, {id: two, value: 2, set: {model.dim: 32}}]}
  ladder: [{model.depth: 3}]
  best_of: {by: top1, over: {train.lr: [0.1, 0.01]}}
settings: {large: {base: {model.image: 16}, seeds: 5, columns: [flops, {top1: {}}], resources: {gpus: 1}}}
"""


def test_a_spec_of_every_shape_is_valid(validator):
    assert messages(validator, GOOD) == []


@pytest.mark.parametrize(
    ("right", "wrong", "underlined"),
    [
        ("study: s", "study: S", (["study"], "pattern")),
        ("study: s", 'study: "s\\n"', (["study"], "pattern")),
        ("seeds: [1, 2]", "seeds: 0", (["seeds"], "anyOf")),
        ("seeds: [1, 2]", "sedes: 0", ([], "additionalProperties")),
        ("[params, {top1", "[3, {top1", (["columns", 0], "anyOf")),
        ("label: accuracy", "label: 3", (["columns", 1], "anyOf")),
        ("rows: [{id: a, ", "rows: [{", (["design", "rows", 0], "required")),
        ("one_factor: {", "one_facto: {", (["design"], "additionalProperties")),
        ("by: top1, ", "", (["design", "best_of"], "anyOf")),
        ("seeds: 5, ", "seeds: null, ", (["settings", "large", "seeds"], "anyOf")),
    ],
)
def test_a_mistake_is_underlined_where_it_is(validator, right, wrong, underlined):
    assert GOOD.count(right) == 1
    assert messages(validator, GOOD.replace(right, wrong)) == [underlined]


def test_every_key_that_a_mapping_may_have_is_offered():
    definitions = json_schema()["$defs"]
    assert {"Design", "RowHead", "ColumnHead", "Setting", "Explanation", "BestOf"} <= definitions.keys()
    assert definitions["StudySpec"]["additionalProperties"] is False
    assert definitions["RowHead"]["additionalProperties"] is True  # fields of the trial
