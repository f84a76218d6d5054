"""What lectures state in numbers, computed again: every statement that a formula, a count or a table decides."""

import pytest

from ablations import shipped
from ablations.grid import build
from ablations.printed import parse
from ablations.study import load
from bench.store import Store
from reports.cells import fill
from vitab.__main__ import main

STATEMENTS = 67
DECIDED = 45  # and of five more a part
NOTHING_DECIDES = 17  # these wait for data, weights, hardware, or nobody can say

COMPUTED = {  # by hand, or from the papers; what is no whole number, as it rounds
    "mlp_500_hidden": {"inputs": 196608, "params": 98304500, "classes": 98805500},
    "pairs_global_vs_window": {"global": 65536, "local": 4096, "ratio": 16},
    "swin_linear_complexity": {"msa": 2003828736, "wmsa": 145108992},
    "bleu_28_4": {"bleu": 28.4, "margin": 2.04},
    "bleu_enfr_41_0": {"": 41.8},
    "sqrt_dk_8": {"": 8},
    "softmax_example": {"first": 0.8808, "second": 0.1192},
    "boxer_2ap_all_metrics": {"ap": 2.4, "ap50": 0.4, "ap75": 2.9, "ap_s": 2.4, "ap_m": 2.6, "ap_l": 2.6},
    "boxer_2ap_segmentation": {
        **{"ap": 2.4, "ap_s": 2.9, "ap_m": 2.4, "ap_l": 1.5},
        **{"ap_mask": 1.0, "ap_mask_s": 0.4, "ap_mask_m": 1.5, "ap_mask_l": 2.4},
    },
    "boxer3d_vs_vanilla": {
        **{"vehicle_ddetr": 4.3, "pedestrian_ddetr": 15.7},
        **{"vehicle_pvrcnn": -1.5, "pedestrian_rsn": -3.9},
    },
    "swin_small_gain_claims": {"t": 1.5, "b384": 1.4, "b22k": 1.7, "b38422k": 1.9},
    "setr_swin_ade_margin": {"miou": 53.5, "setr": 3.2, "s": 5.3},
    "pixels_256": {"pixels": 65536, "pairs": 4294967296},
    "rnn_vs_attention": {"512": 1, "64": 0.125},
    "self_attention_quadratic": {"growth": 16},
    "vit_h_cost": {"bit_over_vit_h": 3.96, "noisy_over_vit_h": 4.92, "bit_over_vit_l": 14.56},
    "dataset_1_3m_14m_303m": {"imagenet_images": 1281167, "jft_300m_images": 303000000, "imagenet_21k_classes": 21000},
    "pixels_224_tokens": {
        **{"tokens": 50176, "elements": 2517630976, "gib": 9.38},
        **{"patch16_tokens": 196, "patch16_elements": 38416},
    },
    "patch_vector_768": {"vector": 768, "proj": 590592, "base": 768, "large": 1024, "huge": 1280, "huge_vector": 588},
    "vit_sincos_statement": {"": 1},
    "mlp_formula_bias": {"": 768},
    "heads_compute_independent": {"params": 1050624, "params_difference": 0, "flops_difference": 0},
    "transformer_d512": {"params": 44140544, "embedded": 63084544},
    "vit_huge_632m": {"layers": 32, "params": 632045800},
    "dino_on_par": {"linear": 80.1, "linear_cnn": 79.8, "supervised": 79.3, "knn": 78.3, "knn_cnn": 73.9},
    "mixer_slightly_worse": {"l16": 1.15, "h14": 0.61, "l16_throughput": 3.28, "h14_throughput": 2.67},
    "detr_ap_profile": {"ap": 0, "ap_s": -6.1, "ap_l": 7.7},
    "setr_margin": {"ade": 4.68, "cityscapes": -0.26},
    "pixel_R4": {"elements": 268435456, "gib": 768, "gb": 824.6},
    "patch4_attention_matrix": {"tokens": 3136, "elements": 9834496, "windows": 153664, "ratio": 64},
    "window_total_size": {"left": 4096, "right": 0},
    "swin_m7": {
        "swin_t_1": 7,
        "swin_t_4": 7,
        "swin_b_384_1": 12,
        "swin_b_384_4": 12,
        "v2_8": 8,
        "v2_16": 16,
        "v2_24": 24,
    },
    "shift_block_alternation": {"1": 3, "2": 3, "3": 3, "4": 0, "first": 0},
    "relative_bias_params": {"head": 169, "matrix": 2401, "all": 23322},
    "swin_stage_shapes": {
        **{"1_channels": 96, "2_channels": 192, "3_channels": 384, "4_channels": 768},
        **{"1_side": 56, "2_side": 28, "3_side": 14, "4_side": 7},
    },
    "vit_isotropic": {
        **{"resnet_1_channels": 64, "resnet_1_side": 56, "resnet_2_channels": 128, "resnet_2_side": 28},
        **{"resnet_3_channels": 256, "resnet_3_side": 14, "vit_0_channels": 768, "vit_0_side": 14},
        **{"vit_11_channels": 768, "vit_11_side": 14},
    },
    "patch_size_model_size": {
        **{"tokens_32": 49, "tokens_16": 196, "tokens_14": 256, "tokens_8": 784},
        **{"flops_b_32": "4.409G", "flops_b_16": "17.564G", "flops_b_8": "78.148G"},
        **{"flops_s_32": "1.143G", "flops_s_16": "4.599G", "flops_s_8": "22.406G"},
        **{"params_b_32": "88.22M", "params_b_16": "86.57M", "params_b_8": "86.58M"},
    },
    "tpu_days_2_5k_9_9k": {"ratio": 3.96},
    "lrnet_marginal": {"": 0.4},
    "resnet50_flops": {"params": 25557032, "flops": "4.089G"},
    "imagenet_1_2m": {"images": 1281167},
    "vit_over_600m": {"": "632.05M"},
    "gelu_formula": {"": 0.841345},
    "vit_small_b": {"hidden": 384, "mlp": 1536, "layers": 12, "heads": 6, "params": "22.88M"},
    "hybrid_gap_vanishes": {
        **{"flops_r26_s_32": "3.464G", "flops_s_32": "1.143G", "flops_s_16": "4.599G"},
        **{"flops_r50_l_32": "19.413G", "flops_l_16": "61.555G", "small": 0.12, "large": 0.4},
    },
    "tnt_81_3": {
        **{"gain": 1.5, "flops": "5.217G", "deit_flops": "4.599G", "flops_ratio": 1.134},
        **{"params": 23768584, "deit_params": 22050664},
    },
    "zero_init_head": {"params": 769000, "weights": 768000},
    "detr_transformer_part": {"share": 0.565},
}

WITHOUT_A_VALUE = {"permutation_equivariance", "posenc_formula"}  # nothing but rounding is left
FALSE = {
    "bleu_enfr_41_0",
    "boxer_2ap_all_metrics_ap50",
    "boxer_2ap_segmentation_ap_l",
    "boxer_2ap_segmentation_ap_mask",
    "boxer_2ap_segmentation_ap_mask_m",
    "boxer_2ap_segmentation_ap_mask_s",
    "detr_ap_profile_ap_s",
    "mlp_formula_bias",
    "patch_size_model_size_bigger",
    "patch_vector_768_huge_vector",
    "pixels_256_pairs",
    "pixels_256_pixels",
    "relative_bias_params_head",
    "resnet50_flops_flops",
    "shift_block_alternation_4",
    "swin_m7_swin_b_384_1",
    "swin_m7_swin_b_384_4",
    "vit_sincos_statement",
}
NEARLY = {"detr_ap_profile_ap_l", "resnet50_flops_params"}  # 7.7 for 7.8, 25.56M for 25.5M
EXPECTED = {
    f"{name}_{part}" if part else name: value for name, said in COMPUTED.items() for part, value in said.items()
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lectures") / "runs"
    assert main(["run", "lecture_statements", "--on", "debug", "--store", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(store):
    table = fill(build(load("lecture_statements")), Store(store).read())
    return {row.row: row for row in table.rows}


def _statement(row):
    """A statement is the longest of the names that a row's id begins with."""
    return max(
        (name for name in (*COMPUTED, *WITHOUT_A_VALUE) if f"{row}_".startswith(f"{name}_")), key=len, default=None
    )


def test_every_statement_is_there_and_those_that_can_be_decided_are(rows):
    groups = {}
    for row in rows.values():
        groups.setdefault(row.group, []).append(row)
    assert len(groups) == STATEMENTS
    measured = {group for group, mine in groups.items() if any(row.cells["value"].value is not None for row in mine)}
    assert len(measured) == DECIDED + 5
    assert len({_statement(row.row) for group in measured for row in groups[group]} - {None}) == DECIDED + 5
    rest = [row.cells["value"] for group, mine in groups.items() if group not in measured for row in mine]
    assert len(groups) - len(measured) == NOTHING_DECIDES
    assert all(cell.state == "needs" and cell.reason for cell in rest)


@pytest.mark.parametrize("row", EXPECTED)
def test_a_statement_has_the_value_that_it_has(rows, row):
    value, found = EXPECTED[row], rows[row].cells["value"].value
    assert found == value if isinstance(value, int) else parse(str(value))[0].holds(found)


def test_the_false_ones_deviate_and_the_others_are_reproduced(rows):
    verdicts = {
        row.row: {claim.verdict for claim in row.cells["value"].claims}
        for row in rows.values()
        if row.cells["value"].claims and row.cells["value"].value is not None
    }
    assert {row for row, said in verdicts.items() if said == {"deviates"}} == FALSE
    assert {row for row, said in verdicts.items() if said == {"close"}} == NEARLY
    assert {row for row, said in verdicts.items() if said == {"reproduced"}} == verdicts.keys() - FALSE - NEARLY


def test_only_rounding_is_left_of_what_is_no_difference(rows):
    assert rows["permutation_equivariance_none"].cells["value"].value < 1e-5
    assert rows["permutation_equivariance_learned"].cells["value"].value > 1e-3
    assert rows["posenc_formula"].cells["value"].value < 1e-15
    assert rows["swin_linear_complexity_growth"].cells["value"].value == pytest.approx(4, abs=0.01)


def test_a_false_statement_shows_both_figures(store, capsys):
    assert main(["check", "lecture_statements", "--store", str(store)]) == 1
    said = capsys.readouterr().out
    assert "lecture_statements pixels_256_pixels value: 65,536 against 62500 (" in said
    assert "lecture_statements boxer_2ap_all_metrics_ap50 value: 0.4 against ≥2 (" in said
    assert said.count(": deviates") == len(FALSE)


def test_a_wrong_digit_in_a_copy_is_pointed_at(store, tmp_path, capsys):
    text = shipped.find("lecture_statements").read_text(encoding="utf-8")
    wrong = tmp_path / "lecture_statements.yaml"
    wrong.write_text(text.replace('reported: {value: "50176"}', 'reported: {value: "50716"}'), encoding="utf-8")
    assert main(["check", str(wrong), "--store", str(store)]) == 1
    assert "lecture_statements pixels_224_tokens_tokens value: 50,176 against 50716 (" in capsys.readouterr().out


def test_a_corrected_table_asks_for_a_new_value(monkeypatch):
    from ablations import quoting, sections

    def keys():
        sections.model.cache_clear()
        table = build(load("lecture_statements"))
        return {row.id: [work.key for work in row.cells["value"].works] for row in table.rows}

    before, real = keys(), quoting._cells
    spot = ("boxer2d_r101_3x", "ap50_box")
    monkeypatch.setattr(
        quoting, "_cells", lambda table: real(table) | ({spot: "70.5"} if table == "boxer_coco_detection" else {})
    )
    after = keys()
    sections.model.cache_clear()
    assert {row for row in before if before[row] != after[row]} == {"boxer_2ap_all_metrics_ap50"}
