"""The README is held to what the tool does: its commands parse, its spec plans, its tables are what is printed."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.grid import build
from ablations.schema import Design
from ablations.study import load
from vitab.commands import _parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every call of vitab in a block of commands or of a workflow."""
    lines = [line for language, text in BLOCKS if language in ("sh", "yaml", "") for line in text.splitlines()]
    found = [re.search(r"(?:^|\$ |run: |--wrap=')(vitab [^']+)", line) for line in lines]
    return [match[1].partition("  #")[0].strip() for match in found if match]


def yaml_of(name):
    """The spec that the README shows under a file's name."""
    (text,) = (text for language, text in BLOCKS if language == "yaml" and text.startswith(f"# {name}\n"))
    return text


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_is_one_that_there_is(command):
    words = shlex.split(command)[1:]
    assert _parser().parse_all(words).module.startswith("vitab.")


def test_the_readme_has_commands():
    assert {command.split()[1] for command in commands()} >= {"plan", "run", "table", "why", "check", "status"}


def test_the_readme_s_spec_plans(tmp_path):
    text = yaml_of("my_patch.yaml")
    spec = tmp_path / "my_patch.yaml"
    spec.write_text(text, encoding="utf-8")
    grid = build(load(str(spec)))
    assert [row.id for row in grid.rows] == ["base", "patch=2", "patch=8", "pos_embed=none", "pos_embed=rope"]
    spec.write_text(text.replace("model.patch", "model.pach"), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "vitab", "plan", "my_patch.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"```\n{ran.stderr}```" in README


def test_the_readme_s_spec_of_predictions_waits_for_them(tmp_path):
    spec = tmp_path / "mine.yaml"
    spec.write_text(yaml_of("mine.yaml"), encoding="utf-8")
    grid = build(load(str(spec)))
    needs = {column.name: cell.needs for _, column, cell in grid.cells()}
    assert len(grid.rows) == 7
    assert needs["ap_box"] == needs["ap75_mask"] == f"predictions of its own in {tmp_path}/results"
    assert needs["params"] == "a model of Cascade Mask R-CNN"


def test_every_design_that_the_readme_shows_plans(tmp_path):
    shown = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \| `(.+)` \|$", README, re.MULTILINE)
    examples = {kind: example for kinds, example in shown for kind in re.findall(r"\w+", kinds)}
    assert examples.keys() == set(Design.__struct_fields__)
    base = yaml_of("my_patch.yaml")
    spec = tmp_path / "shown.yaml"
    for kind in examples:
        beside = {"exclude": ["factorial"], "best_of": ["rows"]}.get(kind, [])
        design = ", ".join(f"{name}: {examples[name]}" for name in (*beside, kind))
        spec.write_text(re.sub(r"design:\n.*\n", f"design: {{{design}}}\n", base), encoding="utf-8")
        grid = build(load(str(spec)))
        assert len(grid.rows) >= 2
        assert all(cell.works or cell.candidates for _, _, cell in grid.cells())


def test_every_file_that_the_readme_names_is_there():
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    (tree,) = (text for _, text in BLOCKS if text.startswith("vitab/ "))
    folders, above = [], ""
    for line in tree.splitlines():
        name = line.split()[0]
        above = above if line.startswith(" ") else name
        folders.append(above + name if line.startswith(" ") else name)
    assert len(linked) > 8
    assert [name for name in (*linked, *folders) if not (ROOT / name).exists()] == []


def test_the_paper_s_table_is_counted_as_the_readme_prints_it(tmp_path):
    call = [sys.executable, "-m", "vitab", "run", "swin_imagenet", "--columns", "params,flops"]
    ran = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (shown,) = (text for _, text in BLOCKS if text.startswith("$ vitab run swin_imagenet"))
    printed = [line for line in ran.stdout.splitlines() if line and not line.startswith(("FLOPs: mult", "Source: "))]
    assert printed == [line for line in shown.splitlines()[1:] if line]

    again = subprocess.run([*call, "--as", "json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    cells = [(row["label"], row["cells"]["flops"]) for row in json.loads(again.stdout)["rows"]]
    assert len(cells) == 24
    for name, cell in cells:  # the EfficientNets' figures are those of another paper, which the table says
        if not name.startswith("EffNet"):
            reported = float(cell["claims"][0]["printed"].removesuffix("G")) * 1e9
            assert cell["value"] == pytest.approx(reported, rel=0.007), name
