"""What a table says around its numbers: sentences, whole."""

import pytest

from ablations.schema import Paper
from reports.captions import claim_source, source
from reports.render import render
from reports.significance import EXPLANATION

SEEDED = """
question: Does a model need to know where its patches are?
design: {one_factor: {model.pos_embed: [none, rope]}}
columns: [params, flops, top1]
seeds: 3
notes: [Trained on a laptop.]
"""
DATA = "Data: digits, accuracy on held-out images at 8 px."
COUNTED = "FLOPs: multiply-adds of one forward pass over one image, each counted as one."
NOISE = "±: sample standard deviation over 3 seeds."
DIFFERENCE = "Δ: mean difference to the base row, paired by seed, ± half of its 95 % interval (t distribution)."
BOLD = (
    f"{EXPLANATION.capitalize().replace('tukey hsd', 'Tukey HSD')}; seed noise only, all rows see the same test images."
)
QUESTION = "Does a model need to know where its patches are?"


def test_before_anything_is_measured_the_caption_says_nothing_of_noise(laboratory):
    assert laboratory(SEEDED).table().caption == f"{QUESTION} {DATA} {COUNTED}"


def test_with_one_seed_nothing_is_said_of_noise(laboratory):
    lab = laboratory(SEEDED)
    lab.measured("rope", "top1", 92.0)
    assert lab.table().caption == f"{QUESTION} {DATA} {COUNTED}"
    assert lab.table().notes == ("Trained on a laptop.",)


def test_two_seeds_have_a_deviation_and_nothing_bold(laboratory):
    lab = laboratory(SEEDED)
    lab.measured("rope", "top1", 92.0, 93.0)
    assert lab.table().caption == f"{QUESTION} {DATA} {NOISE.replace('3', '2')} {COUNTED}"


@pytest.mark.parametrize(("values", "said"), [([92.0], "One seed"), ([92.0, 93.0], "Two seeds")])
def test_rows_of_one_or_two_seeds_support_no_claim(laboratory, values, said):
    lab = laboratory(SEEDED)
    for row in ("learned", "rope"):
        lab.measured(row, "top1", *values)
    assert f"{said} a row: no difference between rows supports a claim." in lab.table().caption
    lab.measured("rope", "top1", 92.0, 93.0, 92.5)
    assert "supports a claim" not in lab.table().caption


def test_the_caption_counts_seeds_as_the_heads_do(laboratory):
    lab = laboratory(SEEDED)
    lab.measured("learned", "top1", 93.0, 94.0, 92.5)
    lab.measured("none", "top1", 60.0, 61.0)
    lab.measured("rope", "top1", 93.1, 93.8)
    assert NOISE.replace("3", "2") in lab.table().caption
    assert "top-1 (%, n=2)" in render(lab.table())


def test_where_most_rows_have_one_seed_the_caption_still_says_what_a_deviation_is(laboratory):
    lab = laboratory(SEEDED)
    lab.measured("learned", "top1", 93.0)
    lab.measured("none", "top1", 60.0)
    lab.measured("rope", "top1", 93.1, 93.8)
    assert "±: sample standard deviation over a row's seeds." in lab.table().caption


def test_all_seeds_of_all_rows_say_what_every_sign_means(laboratory):
    lab = laboratory(SEEDED)
    lab.measured("learned", "top1", 93.0, 94.0, 92.5)
    lab.measured("none", "top1", 60.0, 61.0, 62.5)
    lab.measured("rope", "top1", 93.1, 93.8, 92.6)
    table = lab.table()
    assert table.caption == f"{QUESTION} {DATA} {NOISE} {DIFFERENCE} {BOLD} {COUNTED}"
    detectable, own = table.notes
    assert own == "Trained on a laptop."
    assert detectable.startswith("top-1: a difference of 4.6")
    assert detectable.endswith(" points would be seen in 80 % of such tables")


def test_where_all_rows_are_bold_the_note_says_that_no_difference_is_seen(laboratory):
    lab = laboratory(SEEDED)
    for row in ("learned", "none", "rope"):
        lab.measured(row, "top1", 93.0, 94.0, 92.5)
    assert lab.table().notes[0] == "top-1: no difference between the rows is seen"  # equal samples have no noise
    lab = laboratory(SEEDED)
    for row, values in {"learned": (93, 94, 92.5), "none": (92.5, 93, 94), "rope": (94, 92.5, 93)}.items():
        lab.measured(row, "top1", *values)
    said = lab.table().notes[0]
    assert said.startswith("top-1: no difference between the rows is seen; a difference of ")
    assert said.endswith(" points would be seen in 80 % of such tables")


def test_a_row_that_its_own_noise_leaves_open_is_named(laboratory):
    lab = laboratory(SEEDED.replace("[none, rope]", "[none, rope, sincos2d]"))
    values = {"learned": (93, 93.4, 93.1), "none": (92.9, 93.3, 93.2), "rope": (93.2, 93.1, 92.9)}
    for row, numbers in (values | {"sincos2d": (90, 10, 40)}).items():
        lab.measured(row, "top1", *numbers)
    assert [row.cells["top1"].bold for row in lab.table().rows] == [True, True, True, False]
    said = lab.table().notes[0]
    assert said.startswith("top-1: no difference between the rows is seen; a difference of 0.")
    assert said.endswith(" of such tables; undecided, by noise far above the others': sincos2d")
    assert "undecided" not in lab.table(rows=["learned", "none"]).notes[0]


def test_rows_that_are_evaluated_otherwise_are_said_to_be(laboratory):
    lab = laboratory("design: {one_factor: {model.image: [16]}}\ncolumns: [top1]\n")
    assert lab.table().caption == "Data: digits, accuracy on held-out images at 8 px and 16 px."


def test_what_is_detected_or_segmented_is_scored_at_the_images_own_size(laboratory):
    trial = "{task: segment, model: {name: lraspp, image: 64}, data: generated_ade20k, train: {recipe: dense}}"
    lab = laboratory("columns: [miou]\n", head=f"study: s\nbase: {trial}\n")
    said = "Data: generated_ade20k, scored on held-out images at their own size, seen at 64 px."
    assert lab.table().caption == said


def test_predictions_that_lie_in_files_name_their_data(laboratory, tmp_path):
    (tmp_path / "said.json").write_text("[]")
    base = f"study: s\nbase: {{task: score, data: generated_coco, predictions: {tmp_path}/said.json}}\n"
    assert laboratory("columns: [ap_box]\n", head=base).table().caption == (
        "Data: generated_coco, predictions scored as they lie in files."
    )


def test_many_sizes_are_counted(laboratory):
    lab = laboratory("design: {one_factor: {model.image: [16, 24, 32]}}\ncolumns: [top1]\n")
    assert lab.table().caption == "Data: digits, accuracy on held-out images at 4 different sizes."


def test_a_table_of_best_levels_names_its_data(laboratory):
    lab = laboratory(
        "design: {rows: [{id: plain}], best_of: {by: top1, over: {train.lr: [0.001, 0.01]}}}\ncolumns: [top1]\n"
    )
    assert lab.table().caption == DATA


def test_many_columns_of_one_quantity_are_named_once(laboratory):
    sizes = ", ".join(f"{{at{size}: {{quantity: top1, model.image: {size}}}}}" for size in (8, 16, 24, 32))
    lab = laboratory(f"columns: [{sizes}]\n")
    assert lab.table().caption.startswith("Numbers are top-1 in percent. ")
    others = laboratory(f"columns: [params, {sizes}]\n").table().caption
    assert others.startswith("Numbers are top-1 in percent, unless a head or a row says otherwise. ")


PAPER = Paper(title="Swin", authors="Liu et al.", venue="ICCV", year=2021, arxiv="2103.14030", table="Table 1")


def test_a_paper_is_cited_in_one_line():
    assert source(PAPER) == "Swin, ICCV 2021, Table 1, arXiv:2103.14030"
    assert source(None) is None


@pytest.mark.parametrize(("paper", "said"), [(PAPER, "ICCV 2021, Table 1"), (None, "the spec")])
def test_a_claim_without_a_source_of_its_own_has_the_tables(paper, said):
    assert str(claim_source(paper)) == said
