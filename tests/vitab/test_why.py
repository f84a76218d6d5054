"""`vitab why`: where a number comes from, or why there is none."""

import re

import numpy as np
import pytest
from scipy import stats


def test_a_count_is_told_to_the_last_one_with_its_claim_and_its_record(finished, call):
    said = call("why", "small.yaml", "4", "params")
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0] == "small · 4 · params: 3,850 parameters"
    assert lines[1] == "reported 5k (Patches, Table 1) means [4.5k, 5.5k): deviates, −14.44 %"
    assert lines[2].startswith("3,850 parameters · params v1 on vit @ 8 (timm ")
    assert "the key is made of measure, version, model, input:" in lines
    fields = dict(line.split() for line in lines if line.startswith("  "))
    assert fields == {
        "measure": "params",
        "version": "1",
        "model.name": "vit",
        "model.version": "1",
        "model.knobs.patch": "4",
        "model.knobs.dim": "16",
        "model.knobs.depth": "1",
        "model.knobs.heads": "2",
        "model.knobs.mlp_ratio": "4",
        "model.knobs.qkv_bias": "True",
        "model.knobs.pos_embed": "learned",
        "model.knobs.pool": "token",
        "input.image": "8",
        "input.channels": "1",
        "input.classes": "10",
    }


def test_an_accuracy_is_told_seed_by_seed(finished, call):
    lines = call("why", "small.yaml", "4", "top1").out.splitlines()
    assert lines[0].endswith(" over 2 seeds")
    assert [line.partition(":")[0] for line in lines[1:3]] == ["seed 0", "seed 1"]
    assert "found when measured: images 445" in lines
    assert any(line.startswith("the key of seed 0 is made of ") for line in lines)
    assert "  train.epochs            1" in lines


def test_what_is_not_measured_names_the_nearest_record_and_what_differs(finished, call):
    lines = call("why", "small.yaml", "4", "top1", "--set", "train.lr=0.01").out.splitlines()
    assert lines[0] == "small · 4 · top-1: pending"
    assert lines[1].startswith("seed 0: no record ")
    assert lines[1].endswith(", before train.lr 0.003 → 0.01")


def test_printed_numbers_are_told_as_the_interval_that_they_stand_for(here, call):
    lines = call("why", "swin_imagenet", "a_swint", "throughput").out.splitlines()
    assert "reported 755.2 (ICCV 2021, Table 1) means [755.15, 755.25): pending" in lines
    lines = call("why", "swin_imagenet", "a_swint", "flops").out.splitlines()
    assert "reported 4.5G (ICCV 2021, Table 1) means [4.45G, 4.55G): pending" in lines
    lines = call("why", "swin_imagenet", "a_swint", "top1").out.splitlines()
    assert "reported 81.3 (ICCV 2021, Table 1) means [81.25%, 81.35%): pending" in lines


def test_a_label_that_several_rows_share_lists_their_ids(here, call):
    said = call("why", "swin_imagenet", "Swin-B", "params")
    assert (said.code, said.out) == (2, "")
    assert said.err == "4 rows are labelled 'Swin-B': a_swinb224, a_swinb384, b_swinb224, b_swinb384\n"


def test_an_accuracy_is_told_image_by_image_beside_the_base_row(finished, call):
    lines = [line for line in call("why", "small.yaml", "4", "top1").out.splitlines() if "image by image" in line]
    assert [line.partition(",")[0] for line in lines] == ["seed 0", "seed 1"]
    accuracies = {}
    for record in finished.read().records.values():
        if record.measure == "top1" and record.trial.seed == 0:
            accuracies[record.trial.model.knobs["patch"]] = record.quantities["top1"].samples[0]
    both, ours, theirs, neither = (int(number) for number in re.findall(r" on (\d+)", lines[0]))
    assert both + ours + theirs + neither == 445
    assert (both + ours) / 445 == pytest.approx(accuracies[4] / 100)
    assert (both + theirs) / 445 == pytest.approx(accuracies[2] / 100)
    p = stats.binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    assert lines[0].endswith(f"(exact McNemar test: p = {p:.2g})")
    assert "image by image" not in call("why", "small.yaml", "2", "top1").out  # the base row itself
    assert "image by image" not in call("why", "small.yaml", "4", "params").out


def test_predictions_that_are_gone_damaged_or_of_other_images_are_not_compared(finished, call):
    first, second = (
        finished.path / record.artifacts["predictions"]
        for record in sorted(finished.read().records.values(), key=lambda record: record.trial.seed or 0)
        if record.measure == "top1" and record.trial.model.knobs["patch"] == 4
    )
    whole = first.read_bytes()
    for content in (b"no zip", b"", whole[:200], whole[:-30], whole[:100] + bytes(50) + whole[150:]):
        first.write_bytes(content)
        assert call("why", "small.yaml", "4", "top1").out.count("image by image") == 1
    with np.load(second) as kept:
        arrays = dict(kept)
    order = np.argsort(arrays["labels"])
    np.savez(second, **{name: value[order] for name, value in arrays.items()})
    said = call("why", "small.yaml", "4", "top1")
    assert (said.code, said.err) == (0, "")
    told = [line for line in said.out.splitlines() if "image by image" in line]
    assert told == ["seed 1, image by image beside 2: not the same images"]
    second.unlink()
    assert "image by image" not in call("why", "small.yaml", "4", "top1").out
