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

SWIN = "github.com/microsoft/Swin-Transformer README"

ELSEWHERE = {  # what others than the table print, beside its own
    ("attention_bleu", "transformer_big", "bleu_enfr"): [("41.0", "NeurIPS 2017, section 6.1")],
    ("dataset_sizes", "imagenet_21k", "classes"): [("22K", "Swin (ICCV 2021)")],
    ("dataset_sizes", "imagenet_21k", "images"): [
        ("13M", "How to train your ViT? (TMLR 2022)"),
        ("14.2M", "Swin (ICCV 2021)"),
    ],
    ("detr_ablation_encoder", "layers_6", "throughput"): [("28", "ECCV 2020, Table 1")],
    ("detr_coco", "detr", "throughput"): [("23", "ECCV 2020, Table 2")],
    ("lrnet50", "resnet50", "flops"): [("4.1G", "Axial-DeepLab (Wang et al., ECCV 2020)")],
    ("setr_ade20k", "setr_pup_ss", "miou"): [("48.62", "github.com/fudan-zvg/SETR README")],
    ("swin_ade20k", "upernet_swinb", "miou"): [("51.66", SWIN)],
    ("swin_ade20k", "upernet_swins", "miou"): [("49.47", SWIN)],
    ("swin_ade20k", "upernet_swint", "miou"): [("45.81", SWIN)],
    ("swin_coco_backbones", "swins", "ap_box"): [("51.9", SWIN)],
    ("swin_coco_backbones", "swins", "ap_mask"): [("45.0", SWIN)],
    ("swin_coco_backbones", "swint", "ap_box"): [("50.4", SWIN)],
    ("swin_coco_frameworks", "cascade_swint", "ap_box"): [("50.4", SWIN)],
    ("swin_imagenet", "a_swinb384", "flops"): [("47.1G", SWIN)],
    ("swin_imagenet", "a_swint", "params"): [("28M", SWIN)],
    ("swin_input_size", "r224", "b_top1"): [("83.5", "ICCV 2021, Table 1")],
    ("vit_sota_jft_i21k", "tpu_core_days", "vit_h14_jft"): [("2.30k", "MLP-Mixer (NeurIPS 2021), Table 2")],
    ("vit_sota_jft_i21k", "tpu_core_days", "vit_l16_i21k"): [("0.18k", "MLP-Mixer (NeurIPS 2021), Table 2")],
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
    papers = {name: load(name).spec.paper for name in shipped.names("tables")}
    reporting = {name for name, paper in papers.items() if paper is not None and paper.table is not None}
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
    assert len(usual) <= 1  # none where a table prints no numbers
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
    rows = [row[1:] for row in copy(name)["rows"] if isinstance(row, list)]
    numbers = [at for at, column in enumerate(unmeasured(name).columns) if column.kind == "quantity"]
    assert all(parse(row[at]) or row[at] == "–" for row in rows for at in numbers)


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
