"""The shipped tables of papers, cell by cell, against copies of what the papers print that nothing else was made from.

A copy is YAML in which everything is text: `columns`, then `rows` in the paper's order, each its label and its cells;
`{group: …}` stands where the paper has a heading, `–` where it prints no number.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ablations import shipped
from ablations.grid import build
from ablations.printed import parse
from ablations.study import load
from bench.store import Snapshot
from reports.cells import fill
from reports.layout import grid
from reports.render import render

COPIES = {path.stem: path for path in sorted((Path(__file__).parent.parent / "data" / "papers").glob("*.yaml"))}

ELSEWHERE = {  # what others than the paper print, beside its own
    ("swin_imagenet", "a_swint", "params"): [("28M", "github.com/microsoft/Swin-Transformer README")],
    ("swin_imagenet", "a_swinb384", "flops"): [("47.1G", "github.com/microsoft/Swin-Transformer README")],
}


def copy(name):
    return yaml.load(COPIES[name].read_text(encoding="utf-8"), yaml.BaseLoader)  # text, and nothing else


def unmeasured(name):
    return fill(build(load(name)), Snapshot())


def printed(table):
    """Rows of a table as its source prints them, headings of groups between them."""
    laid = grid(table, reported_only=True)
    found = []
    for group, *entries in zip(laid.groups, *(strip.entries for strip in laid.strips), strict=True):
        found += [] if group is None else [{"group": group}]
        found.append([entry.text for entry in entries])
    return found


def test_every_shipped_table_of_a_paper_has_a_copy():
    reporting = {name for name in shipped.names() if load(name).spec.paper is not None}
    assert reporting == set(COPIES)


@pytest.mark.parametrize("name", COPIES)
def test_a_shipped_table_says_what_its_paper_prints(name):
    assert printed(unmeasured(name)) == copy(name)["rows"]


@pytest.mark.parametrize("name", COPIES)
def test_a_shipped_table_has_the_columns_of_its_paper(name):
    columns = [column.name for column in unmeasured(name).columns]
    spread = [column.split(":") for column in columns]  # quantity:regularization:augmentation
    columns = ["_".join(parts[1:]) or parts[0] for parts in spread]
    assert columns == copy(name)["columns"]


@pytest.mark.parametrize("name", COPIES)
def test_what_others_print_stands_beside_the_paper_and_names_its_source(name):
    table = unmeasured(name)
    usual = {claim.source for row in table.rows for cell in row.cells.values() for claim in cell.claims[:1]}
    assert len(usual) == 1
    others = {
        (name, row.row, column): [(claim.printed, claim.source) for claim in cell.claims if claim.source not in usual]
        for row in table.rows
        for column, cell in row.cells.items()
        if any(claim.source not in usual for claim in cell.claims)
    }
    assert others == {spot: said for spot, said in ELSEWHERE.items() if spot[0] == name}


@pytest.mark.parametrize("name", COPIES)
def test_a_shipped_table_names_the_paper_it_is_from(name):
    paper = load(name).spec.paper
    source = unmeasured(name).source
    assert source.startswith(paper.title)
    assert f"arXiv:{paper.arxiv}" in source
    assert paper.table in source
    assert f"arXiv:{paper.arxiv}" in COPIES[name].read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("name", COPIES)
def test_every_printed_number_is_read(name):
    texts = [text for row in copy(name)["rows"] if isinstance(row, list) for text in row[1:] if "²" not in text]
    assert all(parse(text) or text == "–" for text in texts)


LIGHT = """
import sys
from unittest.mock import patch

from ablations import shipped
from vitab.__main__ import main

with patch.dict(sys.modules, dict.fromkeys(("torch", "torchvision", "timm"))):  # none of them can be imported
    codes = {main(["list"]), *(main(["table", name]) for name in shipped.names("tables"))}
sys.exit(codes != {0})
"""


def test_an_install_without_torch_and_timm_prints_every_shipped_table(tmp_path):
    ran = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in COPIES:
        assert render(unmeasured(name)) in ran.stdout


def test_a_wrong_digit_in_a_spec_is_seen(tmp_path):
    text = shipped.find("swin_imagenet").read_text(encoding="utf-8")
    wrong = tmp_path / "swin_imagenet.yaml"
    wrong.write_text(text.replace("{params: 21M, flops: 4.0G", "{params: 12M, flops: 4.0G"), encoding="utf-8")
    rows = printed(fill(build(load(str(wrong))), Snapshot()))
    differing = [row for row, right in zip(rows, copy("swin_imagenet")["rows"], strict=True) if row != right]
    assert differing == [["RegNetY-4G", "224²", "12M", "4.0G", "1156.7", "80.0"]]
