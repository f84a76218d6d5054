"""The shipped tables of papers beside one another: none has lost a number, and what the papers themselves say holds.

Relations that are checked are the papers' own: a number that stands in two tables, a column of differences, a mean.
"""

import math
import subprocess
from functools import cache
from pathlib import Path

import pytest

from ablations.grid import build
from ablations.printed import parse
from ablations.study import load
from bench.store import Snapshot
from reports.cells import fill
from reports.latex import document
from reports.render import FORMS, render

CLAIMS = {  # cells with a number, as the papers print them
    "attention_bleu": 33,
    "attention_layer_complexity": 0,
    "attention_variations": 51,
    "attention_worked_example": 6,
    "augreg_heatmap": 135,
    "augreg_transfer": 93,
    "boxer3d_waymo": 18,
    "boxer_coco_detection": 66,
    "boxer_coco_segmentation": 29,
    "dataset_sizes": 6,
    "deformable_detr_repo": 80,
    "deit_ablation": 26,
    "deit_distillation": 24,
    "deit_finetune_resolution": 4,
    "detr_ablation_encoder": 32,
    "detr_ablation_loss": 6,
    "detr_ablation_posenc": 10,
    "detr_coco": 90,
    "detr_panoptic": 36,
    "dino_imagenet": 98,
    "lrnet50": 6,
    "mlp_mixer": 48,
    "setr_ade20k": 26,
    "setr_cityscapes": 11,
    "swin_ablation_shift_pos": 35,
    "swin_ade20k": 61,
    "swin_attention_accuracy": 12,
    "swin_attention_speed": 42,
    "swin_coco_backbones": 63,
    "swin_coco_frameworks": 48,
    "swin_coco_system": 46,
    "swin_imagenet": 94,
    "swin_input_size": 24,
    "swin_variants": 6,  # what the other columns say is what the models are
    "vit_posemb": 8,
    "vit_pretrain_size": 84,
    "vit_sota_jft_i21k": 35,
    "vit_sota_v1": 27,
    "vit_variants": 15,
}

WORDS = {  # cells without a number, or whose number is the model's: ticks, orders, epochs, layers
    "attention_layer_complexity": 12,
    "boxer3d_waymo": 5,
    "deformable_detr_repo": 10,
    "deit_ablation": 143,
    "detr_ablation_loss": 9,
    "detr_ablation_posenc": 15,
    "swin_variants": 19,
}


@cache
def table(name):
    return fill(build(load(name)), Snapshot())


def value(text):
    """What a number stands for; the mean where ± follows."""
    return parse(text)[0].value


def numbers(name):
    """Row → column → the number that the table itself prints."""
    return {
        row.row: {column: value(cell.claims[0].printed) for column, cell in row.cells.items() if cell.claims}
        for row in table(name).rows
    }


def same_as_printed(precise, coarse):
    """Whether a number that is printed with more digits rounds to the other; halves may go either way."""
    decimals = len(f"{coarse:g}".partition(".")[2])
    return abs(precise - coarse) <= 0.5 * 10**-decimals + 1e-9


TABLES = sorted(path.stem for path in (Path(__file__).parent.parent / "data" / "papers").glob("*.yaml"))


@pytest.mark.parametrize("name", TABLES)
def test_no_table_has_lost_a_number(name):
    assert sum(map(len, numbers(name).values())) == CLAIMS[name]


@pytest.mark.parametrize("name", WORDS)
def test_no_table_has_lost_a_word(name):
    assert sum(text != "" for row in table(name).rows for text in row.fields.values()) == WORDS[name]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_prints_in_every_form(name):
    printed = {form: render(table(name), form) for form in FORMS}
    assert all(row.label in printed["markdown"] for row in table(name).rows)
    assert "[U+" not in printed["latex"]  # a letter that LaTeX does not know


@pytest.mark.latex
def test_every_table_compiles_on_a_page_of_its_own(tmp_path):
    pages = [
        render(table(name), "latex").replace("[t]\n", "[tp]\n", 1) + "\\clearpage"
        for name in (*TABLES, "lecture_statements")
    ]
    (tmp_path / "tables.tex").write_text(document(*pages), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "tables.tex"]
    for _ in range(3):  # a table over pages finds its widths in the runs before
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        log = ran.stdout.decode("utf-8", "replace")
        assert ran.returncode == 0, log[-2000:]
    assert [line for line in log.splitlines() if line.startswith("Overfull")] == []
    assert sum(page.count(r"\begin{longtable}") for page in pages) == 1  # no page holds the statements of lectures


def test_a_quantity_has_one_unit_and_one_better_end_in_all_tables():
    known = {}
    for name in TABLES:
        for column in table(name).columns:
            if column.kind == "quantity" and column.quantity is not None:
                known.setdefault(column.quantity, {}).setdefault((column.unit, column.better), []).append(name)
    assert {quantity: said for quantity, said in known.items() if len(said) > 1} == {}


def test_every_table_has_a_title_of_one_line_that_is_its_own():
    titles = [load(name).spec.title for name in TABLES]
    assert all(title and len(title) <= 110 for title in titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", ["detr_ablation_posenc", "detr_ablation_loss"])
def test_detr_s_differences_are_those_of_its_aps(name):
    rows = list(numbers(name).values())
    assert [round(row["ap_box"] - rows[-1]["ap_box"], 1) for row in rows] == [row["difference"] for row in rows]


def test_detr_s_panoptic_quality_is_the_mean_over_80_things_and_53_stuff_classes():
    for row in numbers("detr_panoptic").values():
        assert abs((80 * row["pq_things"] + 53 * row["pq_stuff"]) / 133 - row["pq"]) < 0.1  # three rounded numbers


def test_detr_s_encoder_layers_have_the_parameters_of_their_definition():
    channels, hidden = 256, 2048
    attention = 4 * (channels * channels + channels)
    mlp = 2 * channels * hidden + hidden + channels
    layer = attention + mlp + 2 * 2 * channels  # two layer norms
    rows = numbers("detr_ablation_encoder")
    for name, row in rows.items():
        apart = row["params"] - rows["layers_0"]["params"]
        assert abs(apart - int(name.removeprefix("layers_")) * layer) < 0.1e6


def test_swin_gains_what_the_paper_says_over_resnet_50():
    rows = numbers("swin_coco_frameworks")
    gains = [
        round(rows[f"{detector}_swint"]["ap_box"] - rows[f"{detector}_r50"]["ap_box"], 1)
        for detector in ("cascade", "atss", "reppointsv2", "sparsercnn")
    ]
    assert gains == [4.2, 3.7, 3.5, 3.4]


def test_swin_s_tables_agree_where_they_print_the_same_thing():
    frameworks, backbones = numbers("swin_coco_frameworks"), numbers("swin_coco_backbones")
    for one, other in (("cascade_r50", "r50"), ("cascade_swint", "swint")):
        assert frameworks[one].items() <= backbones[other].items()
    shifted = numbers("swin_ablation_shift_pos")["shifted"]
    assert numbers("swin_attention_accuracy")["shifted"] == shifted
    assert (backbones["swint"]["ap_box"], backbones["swint"]["ap_mask"]) == (shifted["ap_box"], shifted["ap_mask"])
    assert numbers("swin_ade20k")["upernet_swint"]["miou"] == shifted["miou"]
    sizes, imagenet = numbers("swin_input_size"), numbers("swin_imagenet")
    speed = numbers("swin_attention_speed")["shifted_cyclic"]
    for letter, row in (("t", "a_swint"), ("s", "a_swins"), ("b", "a_swinb224")):
        assert sizes["r224"][f"{letter}_throughput"] == imagenet[row]["throughput"]
        assert same_as_printed(imagenet[row]["throughput"], speed[f"throughput_{letter}"])
    assert (sizes["r384"]["b_top1"], sizes["r384"]["b_throughput"]) == (84.5, 84.7)
    variants = numbers("swin_variants")
    for variant, row in (("swin_t", "a_swint"), ("swin_s", "a_swins"), ("swin_b", "a_swinb224")):
        assert variants[variant].items() <= imagenet[row].items()


def test_deit_s_tables_agree_about_deit_b():
    ablation, distillation = numbers("deit_ablation")["none"], numbers("deit_distillation")["none"]
    sizes, imagenet = numbers("deit_finetune_resolution"), numbers("swin_imagenet")
    found = [
        (ablation["top1_224"], ablation["top1_384"]),
        (distillation["b_224"], distillation["b_384"]),
        (sizes["r224"]["top1"], sizes["r384"]["top1"]),
        (imagenet["a_deitb224"]["top1"], imagenet["a_deitb384"]["top1"]),
    ]
    assert found == [(81.8, 83.1)] * 4


def test_deit_s_ablations_change_what_their_labels_say():
    first, *others = table("deit_ablation").rows
    changed = {row.row: {name for name in row.fields if row.fields[name] != first.fields[name]} for row in others}
    assert changed == {
        "opt_pre_sgd": {"pretraining"},
        "opt_ft_sgd": {"finetuning"},
        "aug_no_ra": {"rand_augment"},
        "aug_autoaug": {"rand_augment", "auto_augment"},
        "aug_no_mixup": {"mixup"},
        "aug_no_cutmix": {"cutmix"},
        "aug_no_mixup_cutmix": {"mixup", "cutmix"},
        "reg_no_erasing": {"erasing"},
        "reg_no_stochdepth": {"drop_path"},
        "reg_no_repaug": {"repeated"},
        "reg_dropout": {"dropout"},
        "reg_ema": {"ema"},
    }


def test_vit_s_numbers_are_the_ones_that_others_quote():
    vit, augreg = numbers("vit_pretrain_size"), numbers("augreg_transfer")
    for column, row in (("vit_b16", "b16"), ("vit_b32", "b32"), ("vit_l16", "l16")):
        assert vit["jft_imagenet"][column] == augreg[row]["jft_300m"]
    for column, row in (("vit_b16", "a_vitb16"), ("vit_l16", "a_vitl16")):
        assert same_as_printed(vit["i1k_imagenet"][column], numbers("swin_imagenet")[row]["top1"])


def test_vit_s_first_version_has_the_later_one_s_costs_and_other_accuracies():
    first, later = numbers("vit_sota_v1"), numbers("vit_sota_jft_i21k")
    pairs = {"vit_h14": "vit_h14_jft", "vit_l16": "vit_l16_jft", "bit_l": "bit_l", "noisy_student": "noisy_student"}
    for old, new in pairs.items():
        assert first["tpu_days"][old] == later["tpu_core_days"][new]
        assert (first["imagenet"][old] == later["imagenet"][new]) == (old in ("bit_l", "noisy_student"))


def test_boxer_s_detector_is_the_same_in_both_tables():
    boxes = numbers("boxer_coco_segmentation")["boxer2d_3x"]
    of_detection = numbers("boxer_coco_detection")["boxer2d_r101_3x"]
    names = ("ap_box", "ap_box_small", "ap_box_medium", "ap_box_large")
    assert [boxes[name] for name in names] == [of_detection[name] for name in names]


def test_deformable_detr_quotes_detr_as_detr_prints_itself():
    quoted, own = numbers("deformable_detr_repo"), numbers("detr_coco")
    for one, other in (("faster_rcnn", "frcnn_fpn_plus"), ("detr", "detr"), ("detr_dc5", "detr_dc5")):
        assert {name: quoted[one][name] for name in quoted[one] if name not in ("gpu_hours", "throughput")} == {
            name: own[other][name] for name in own[other] if name not in ("ap50_box", "ap75_box", "throughput")
        }


def test_the_worked_example_of_attention_follows_from_its_scores():
    rows = numbers("attention_worked_example")
    scaled = {word: score / math.sqrt(64) for word, score in rows["score"].items()}
    assert rows["scaled"] == scaled
    whole = sum(math.exp(score) for score in scaled.values())
    assert rows["softmax"] == {word: round(math.exp(score) / whole, 2) for word, score in scaled.items()}
