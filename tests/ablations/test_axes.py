"""What papers vary, each with its studies here or with the reason why there is none."""

from pathlib import Path

import pytest
import yaml

from ablations.grid import build
from ablations.study import load

ROOT = Path(__file__).parents[2]
AXES = yaml.safe_load((ROOT / "ablations/axes.yaml").read_text(encoding="utf-8"))
OF_THE_PAPERS = [
    "patch_size",
    "model_size",
    "number_of_heads",
    "positional_embedding_vit",
    "positional_embedding_swin",
    "window_shifting",
    "shift_implementation",
    "window_size",
    "attention_pattern",
    "hierarchy",
    "class_token_vs_gap",
    "hybrid_or_conv_stem",
    "training_data_size",
    "transfer_vs_scratch",
    "augmentation",
    "regularisation",
    "ema",
    "optimizer",
    "augreg_grid",
    "distillation",
    "distillation_token_and_readout",
    "teacher",
    "epochs",
    "input_resolution",
    "token_mixer",
    "local_attention_vs_convolution",
    "non_local_block_insertion",
    "self_supervised_objective",
    "detr_encoder_layers",
    "detr_positional_encoding",
    "detr_dc5",
    "detr_backbone",
    "detr_nms_and_decoder_depth",
    "deformable_attention",
    "box_attention",
    "detection_framework_and_backbone",
    "segmentation_decoder",
    "segmentation_pretraining",
    "test_time_scales",
    "space_time_attention",
    "activation",
    "norm_and_residual_placement",
    "attention_kernel_and_precision",
]


def test_every_axis_of_the_papers_is_there_once():
    assert list(AXES) == OF_THE_PAPERS
    assert len(set(OF_THE_PAPERS)) == 43


@pytest.mark.parametrize("axis", OF_THE_PAPERS)
def test_an_axis_has_a_study_or_a_reason(axis):
    said = AXES[axis]
    assert said.keys() <= {"studies", "tables", "missing"}
    assert ("studies" in said) != bool(said.get("missing", "").strip())
    for table in said.get("tables", []):
        assert (ROOT / f"reports/papers/{table}.yaml").is_file()
    for study in said.get("studies", []):
        assert (ROOT / f"ablations/specs/{study}.yaml").is_file()
        assert build(load(study)).trainings


def test_every_shipped_ablation_is_of_an_axis():
    named = {study for said in AXES.values() for study in said.get("studies", [])}
    assert named == {path.stem for path in (ROOT / "ablations/specs").glob("*.yaml")}
