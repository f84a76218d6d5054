"""What machines read from us is frozen: tests/data/contracts/COMMAND.json, with what changes from run to run replaced.

A test that fails here says that somebody's script would break. Where the change is meant, raise the command's FORMAT,
write it into CHANGELOG.md, and take the new file from the assertion's left side.
"""

import re
from pathlib import Path

import msgspec
import pytest

FROZEN = Path(__file__).parents[1] / "data" / "contracts"

COMMANDS = {
    "plan": ["plan", "small.yaml", "--json"],
    "plan_unmeasured": ["plan", "small.yaml", "--json", "--store", "nowhere"],
    "status": ["status", "--json"],
    "check": ["check", "small.yaml", "--json"],
    "check_against": ["check", "small.yaml", "--json", "--against", "runs"],
    "table": ["table", "small.yaml", "--as", "json"],
    "table_unmeasured": ["table", "small.yaml", "--as", "json", "--store", "nowhere"],
    "list": ["list", "recipes", "--json"],
}

MEASURED = {"samples", "value", "std", "half_width", "measured", "deviation", "note"}
"""Keys whose values come from a training: of accuracies only the kind is frozen."""

KEY = re.compile(r"\b[0-9a-f]{20}\b")


def _frozen(value, path=()):
    """A value with a training's numbers, the clock's and paths replaced by the name of their kind."""
    if isinstance(value, dict):
        path = (*path, value.get("column"))
        return {name: _frozen(inner, (*path, name)) for name, inner in value.items()}
    if path[-1] in ("sent", "command") or ("top1" in path and path[-1] in MEASURED and value is not None):
        return f"<{'list' if isinstance(value, list) else 'number' if isinstance(value, int | float) else 'text'}>"
    if isinstance(value, list):
        return [_frozen(inner, path) for inner in value]
    return value


def _pretty(value):
    """As text, in which records' keys are numbered in the order of their appearance."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
    numbers = {key: number for number, key in enumerate(dict.fromkeys(KEY.findall(text)), 1)}
    return KEY.sub(lambda match: f"<key {numbers[match[0]]}>", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_says_to_machines_is_what_it_always_said(finished, call, name):
    said = call(*COMMANDS[name])
    assert said.err == ""
    assert _pretty(_frozen(said.json)) == (FROZEN / f"{name}.json").read_text()


def test_doctor_says_facts_to_machines(finished, call):
    said = call("doctor", "--json").json
    assert said["format"] == 1
    assert {tuple(fact) for fact in said["facts"]} == {("name", "found", "needed_for")}
    names = [fact["name"] for fact in said["facts"]]
    assert names[:4] == ["host", "python", "cpu", "gpu"]
    assert {"torch", "timm", "fvcore", "pdflatex", "sbatch", "data digits"} < set(names)
    assert said["facts"][-1] == {"name": "store", "found": "runs, 12 records", "needed_for": ""}


def test_count_says_one_object_a_line_to_machines(command):
    said = command("count", "vit_base_patch16_224", "torchvision:vit_b_16", "--json")
    lines = [msgspec.json.decode(line) for line in said.out.splitlines()]
    assert [list(line) for line in lines] == [["model", "image", "convention", "params", "flops", "state"]] * 2
    assert [line["model"] for line in lines] == ["timm:vit_base_patch16_224", "torchvision:vit_b_16"]
    assert [line["params"] for line in lines] == [86_567_656] * 2  # as timm's and torchvision's own pages say
    assert all(17.5e9 < line["flops"] < 17.6e9 for line in lines)  # 17.6 G on torchvision's page
    assert [(line["image"], line["convention"], line["state"]) for line in lines] == [(224, "macs", "measured")] * 2


@pytest.mark.parametrize("kind", ["studies", "tables", "measures", "models", "data", "recipes", "knobs"])
def test_every_list_has_a_name_and_a_line_about_it(call, kind):
    said = call("list", kind, "--json").json
    assert (said["format"], said["kind"]) == (1, kind)
    assert {tuple(item) for item in said["items"]} == {("name", "about")}
    assert all(item["about"] for item in said["items"])
    plain = call("list", kind).out.splitlines()
    assert [line.split()[0] for line in plain] == [item["name"] for item in said["items"]]


def test_every_system_has_its_state_for_machines_and_a_line_for_people(call):
    said = call("list", "systems", "--json").json
    assert (said["format"], said["kind"]) == (1, "systems")
    fields = ("name", "about", "models", "fields", "measures", "data", "studies", "missing", "state")
    assert {tuple(item) for item in said["items"]} == {fields}
    assert {item["state"] for item in said["items"]} == {"measurable", "reported", "missing"}
    lines = call("list", "systems").out.splitlines()
    assert len(lines) == len(said["items"]) == 103
    assert all(line.startswith(item["name"]) for line, item in zip(lines, said["items"], strict=True))
    assert any(line.split("  ")[-1] == "missing: a model of it (transformers: BertModel)" for line in lines)
    assert sum("missing: missing" in line for line in lines) == 0


def test_the_schema_of_specs_is_json_schema_that_knows_every_key(call):
    schema = call("schema").json
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    spec = schema["$defs"]["StudySpec"]
    assert {"study", "base", "design", "columns", "seeds", "settings", "extends", "reported"} < set(spec["properties"])
    assert spec["required"] == ["study"]
    assert re.fullmatch(spec["properties"]["study"]["pattern"], "small")
