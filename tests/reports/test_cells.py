"""Every state of a cell, from records that the tests write into a store."""

import math

import pytest
from scipy import stats

from reports.table import Cell

TWO = """
design: {one_factor: {model.pos_embed: [none, rope]}}
columns: [params, top1]
seeds: 3
"""

CLAIMED = """
columns: [params, flops, top1]
seeds: 3
design:
  rows:
    - id: learned
      reported: {params: 58.2k, flops: 0.99M, top1: 93.5}
    - id: none
      model.pos_embed: none
      reported: {params: 57k, top1: {printed: 68.1, comparable: "image 16, measured at 8"}}
      explain: {params: {set: {model.patch: 4}, note: patches of 4}}
    - id: rope
      model.pos_embed: rope
      reported: {params: [50k, {printed: 57.3k, source: a README}], top1: –}
"""


def test_nothing_measured_is_pending_and_has_no_number(laboratory):
    lab = laboratory(TWO)
    work = lab.works("rope", "params")[0]
    assert lab.cell("rope", "params") == Cell(state="pending", unit="parameters", keys=(work.key,))


def test_a_number_is_the_mean_over_seeds_with_its_sample_deviation(laboratory):
    lab = laboratory(TWO)
    lab.measured("rope", "top1", 91.0, 93.0, 92.0)
    cell = lab.cell("rope", "top1")
    assert (cell.state, cell.value, cell.std, cell.n, cell.unit) == ("measured", 92.0, 1.0, 3, "%")
    assert cell.samples == (91.0, 93.0, 92.0)
    assert cell.keys == tuple(work.key for work in lab.works("rope", "top1"))
    assert cell.reason is None


def test_one_seed_has_no_deviation_and_is_never_bold(laboratory):
    lab = laboratory(TWO)
    for row in ("learned", "none", "rope"):
        lab.measured(row, "top1", 92.0)
    cell = lab.cell("rope", "top1")
    assert (cell.value, cell.std, cell.n, cell.bold, cell.difference) == (92.0, None, 1, False, None)
    assert cell.reason == "2 of 3 seeds pending"
    assert len(cell.keys) == 1


def test_a_count_has_neither_seeds_nor_deviation(laboratory):
    lab = laboratory(TWO)
    assert len(lab.works("rope", "params")) == 1
    lab.measured("rope", "params", 57322)
    cell = lab.cell("rope", "params")
    assert (cell.value, cell.std, cell.n, cell.bold) == (57322.0, None, None, False)


def test_fewer_seeds_say_why_and_take_no_part_in_comparisons(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "top1", 93.0, 94.0, 95.0)
    lab.measured("none", "top1", 60.0, 61.0, 62.5)
    lab.measured("rope", "top1", 99.0, 98.0)
    lab.failed(lab.works("rope", "top1")[2], kind="diverged", reason="loss is nan", step=310, value=7.3125)
    cell = lab.cell("rope", "top1")
    assert (cell.value, cell.n) == (98.5, 2)
    assert cell.reason == "1 of 3 seeds failed (diverged at step 310, last loss 7.312)"
    assert (cell.bold, cell.difference) == (False, None)
    assert lab.cell("learned", "top1").bold


@pytest.mark.parametrize(
    ("failure", "state", "reason"),
    [
        ({"kind": "crashed", "reason": "no kernel"}, "failed", "crashed: no kernel"),
        ({"kind": "out_of_memory", "reason": "batch 64"}, "failed", "out of memory: batch 64"),
        ({"kind": "timed_out", "reason": "after 60 s"}, "failed", "timed out: after 60 s"),
        ({"kind": "killed", "reason": "twice"}, "failed", "killed: twice"),
        ({"kind": "invalid", "reason": "no such argument"}, "failed", "cannot be built: no such argument"),
        ({"kind": "diverged", "reason": "nan", "step": 3}, "failed", "diverged at step 3"),
        ({"kind": "upstream", "reason": "its weights failed"}, "failed", "its weights failed"),
        ({"kind": "needs", "reason": "imagenet is not here"}, "needs", "imagenet is not here"),
    ],
)
def test_a_failure_of_all_seeds_is_its_state_and_reason(laboratory, failure, state, reason):
    lab = laboratory(TWO)
    for work in lab.works("rope", "top1"):
        lab.failed(work, **failure)
    cell = lab.cell("rope", "top1")
    assert (cell.state, cell.reason, cell.value) == (state, reason, None)


def test_a_failed_training_is_seen_in_the_measurement_that_was_never_tried(laboratory):
    lab = laboratory(TWO)
    for work in lab.works("rope", "top1"):
        lab.training_failed(work, kind="out_of_memory", reason="at batch 32")
    assert lab.cell("rope", "top1").reason == "out of memory: at batch 32"


def test_a_failure_beside_seeds_to_come_is_pending_still(laboratory):
    lab = laboratory(TWO)
    lab.failed(lab.works("rope", "top1")[0])
    assert lab.cell("rope", "top1").state == "pending"


def test_a_measurement_after_a_failure_stands(laboratory):
    lab = laboratory(TWO)
    lab.failed(lab.works("rope", "params")[0])
    lab.measured("rope", "params", 57322)
    assert lab.cell("rope", "params").value == 57322.0


def test_work_in_progress_is_running_also_where_its_training_runs(laboratory):
    lab = laboratory(TWO)
    work = lab.works("rope", "top1")[0]
    assert lab.cell("rope", "top1", running=[work.key]).state == "running"
    assert lab.cell("rope", "top1", running=work.after).state == "running"


def test_values_of_one_key_that_disagree_are_no_number(laboratory):
    lab = laboratory(TWO)
    lab.measured("rope", "params", 57322, bound={"timm": None, "gpu": "A"})
    lab.measured("rope", "params", 57323, bound={"timm": None, "gpu": "B"})
    cell = lab.cell("rope", "params")
    assert (cell.state, cell.value) == ("conflict", None)
    assert cell.reason == "measured as 57322 and 57323; what differs: gpu"


def test_what_another_version_of_a_library_counted_is_stale_and_no_conflict(laboratory):
    lab = laboratory(TWO)
    lab.measured("rope", "params", 11, bound={"timm": "0.0.1"})
    assert lab.cell("rope", "params").state == "pending"
    lab.measured("rope", "params", 57322)
    assert (lab.cell("rope", "params").state, lab.cell("rope", "params").value) == ("measured", 57322.0)


def test_a_quantity_that_its_measure_does_not_give_is_not_applicable(laboratory):
    lab = laboratory("columns: [top5]\nseeds: 1\n")
    lab.write(lab.works("base", "top5")[0], {"top1": 93.0})
    cell = lab.cell("base", "top5")
    assert (cell.state, cell.reason) == ("not_applicable", "top1 gives no top5 for 10 classes")


def test_a_row_that_breaks_a_rule_is_invalid_and_stays(laboratory):
    lab = laboratory("design: {one_factor: {model.patch: [2, 3]}}\ncolumns: [params]\ninvalid: keep\n")
    cell = lab.cell("3", "params")
    assert cell.state == "invalid"
    assert "3" in cell.reason
    assert "patch" in cell.reason


def test_a_column_that_needs_what_is_not_here_says_so(laboratory):
    lab = laboratory("columns: [params, top1]\nneeds: {top1: a week of eight GPUs}\n")
    assert lab.cell("base", "top1") == Cell(state="needs", unit="%", reason="a week of eight GPUs")


def test_bold_is_the_best_and_what_is_not_told_apart_from_it(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "top1", 93.0, 94.0, 92.5)
    lab.measured("none", "top1", 60.0, 61.0, 62.5)
    lab.measured("rope", "top1", 93.1, 93.8, 92.6)
    assert [lab.cell(row, "top1").bold for row in ("learned", "none", "rope")] == [True, False, True]
    assert "Bold: the best mean" in lab.table().caption


def test_the_difference_to_the_base_row_is_paired_by_seed(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "top1", 93.0, 94.0, 92.5)
    lab.measured("none", "top1", 60.0, 61.0, 62.5)
    table = lab.table()
    assert table.base == "learned"
    assert [column.show_difference for column in table.columns] == [False, True]
    difference = lab.cell("none", "top1").difference
    engine = stats.ttest_rel([60.0, 61.0, 62.5], [93.0, 94.0, 92.5]).confidence_interval(0.95)
    assert difference.value == pytest.approx((60.0 + 61.0 + 62.5 - 93.0 - 94.0 - 92.5) / 3)
    assert difference.value - difference.half_width == pytest.approx(engine.low)
    assert lab.cell("learned", "top1").difference is None


def test_a_base_row_that_misses_a_seed_gives_no_difference(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "top1", 93.0, 94.0)
    lab.measured("none", "top1", 60.0, 61.0, 62.5)
    lab.measured("rope", "top1", 93.0, 94.0, 92.5)
    assert lab.cell("none", "top1").difference is None
    assert not any(column.show_difference for column in lab.table().columns)


def test_counts_are_reproduced_explained_or_deviate(laboratory):
    lab = laboratory(CLAIMED)
    lab.measured("learned", "params", 58_234)
    lab.measured("none", "params", 58_000)
    lab.measured("rope", "params", 57_322)
    (learned,) = lab.cell("learned", "params").claims
    assert (learned.verdict, learned.deviation, learned.source) == ("reproduced", 0.0, "the spec")
    (none,) = lab.cell("none", "params").claims
    assert (none.verdict, none.note) == ("close", None)  # 57.5k is the nearer end; nothing explains it yet
    explanation = lab.grid.row("none").cells["params"].explanation
    lab.write(explanation.works[0], {"params": 56_832})
    (none,) = lab.cell("none", "params").claims
    assert (none.verdict, none.note) == ("explained", "patches of 4: 56.8k")
    first, second = lab.cell("rope", "params").claims
    assert (first.printed, first.verdict, first.deviation) == ("50k", "deviates", pytest.approx(57_322 / 50_500 - 1))
    assert (second.printed, second.verdict, second.source) == ("57.3k", "reproduced", "a README")


def test_a_second_computation_that_does_not_print_the_claim_explains_nothing(laboratory):
    lab = laboratory(CLAIMED)
    lab.measured("none", "params", 60_000)
    lab.write(lab.grid.row("none").cells["params"].explanation.works[0], {"params": 55_000})
    (claim,) = lab.cell("none", "params").claims
    assert (claim.verdict, claim.note) == ("deviates", "patches of 4: 55.0k")


def test_what_is_not_comparable_gets_no_verdict_though_its_number_is_the_same(laboratory):
    lab = laboratory(CLAIMED)
    lab.measured("none", "top1", 68.1, 68.1, 68.1)
    (claim,) = lab.cell("none", "top1").claims
    assert (claim.verdict, claim.deviation, claim.note) == ("not_comparable", None, "image 16, measured at 8")


def test_accuracies_of_trainings_are_held_against_the_noise_of_seeds(laboratory):
    lab = laboratory(CLAIMED)
    lab.measured("learned", "top1", 93.0, 94.0, 92.5)
    (claim,) = lab.cell("learned", "top1").claims
    assert claim.verdict == "within_noise"
    lab = laboratory(CLAIMED.replace("top1: 93.5", "top1: 80.0"))
    (claim,) = lab.cell("learned", "top1").claims
    assert claim.verdict == "deviates"
    ours, half = 0.763763, 4.302653 * 0.763763 * math.sqrt(1 + 1 / 3)
    assert stats.tstd([93.0, 94.0, 92.5]) == pytest.approx(ours, rel=1e-5)
    assert claim.note == f"+{93.1667 - 80.05:.2f} points, noise explains ±{half:.2f} (95 %)"


def test_one_seed_against_a_claim_it_does_not_print_is_not_compared(laboratory):
    lab = laboratory(CLAIMED)
    lab.measured("learned", "top1", 90.0)
    (claim,) = lab.cell("learned", "top1").claims
    assert (claim.verdict, claim.note) == ("not_comparable", "one value of unknown noise")


def test_claims_without_a_number_of_ours_are_pending_or_failed(laboratory):
    lab = laboratory(CLAIMED)
    assert [claim.verdict for claim in lab.cell("learned", "top1").claims] == ["pending"]
    for work in lab.works("learned", "top1"):
        lab.failed(work)
    assert [claim.verdict for claim in lab.cell("learned", "top1").claims] == ["failed"]
    assert [claim.verdict for claim in lab.cell("rope", "top1").claims] == ["not_comparable"]  # the dash


@pytest.mark.parametrize(
    ("printed", "count", "verdict"),
    [
        ("58.2k", 58_249, "reproduced"),
        ("58.2k", 58_250, "close"),
        ("58.20k", 58_249, "close"),  # a zero that is printed is a digit: [58.195k, 58.205k)
        ("58.20k", 58_204, "reproduced"),
        ("58,200", 58_200, "reproduced"),
        ("58,200", 58_201, "close"),
        ("58k", 58_499, "reproduced"),
        ("0.06M", 58_234, "reproduced"),
        ("0.060M", 58_234, "deviates"),
    ],
)
def test_a_printed_count_is_an_interval_of_its_last_digit(laboratory, printed, count, verdict):
    lab = laboratory(f"columns: [params]\ndesign: {{rows: [{{id: one, reported: {{params: '{printed}'}}}}]}}\n")
    lab.measured("one", "params", count)
    assert [claim.verdict for claim in lab.cell("one", "params").claims] == [verdict]


def test_every_row_stays_whatever_became_of_it(laboratory):
    lab = laboratory(TWO)
    for work in (*lab.works("rope", "top1"), *lab.works("rope", "params")):
        lab.failed(work)
    rows = {row.row: row.cells["top1"].state for row in lab.table().rows}
    assert rows == {"learned": "pending", "none": "pending", "rope": "failed"}


def test_a_part_of_a_table_keeps_fields_and_the_named(laboratory):
    lab = laboratory(
        "design: {one_factor: {model.patch: [2, 4]}}\ncolumns: [{size: {field: model.image}}, params, flops]\n"
    )
    table = lab.table(columns=["flops"], rows=["4"])
    assert [column.name for column in table.columns] == ["size", "flops"]
    assert [(row.row, list(row.cells)) for row in table.rows] == [("4", ["flops"])]
    assert table.columns[0].unit == "px"


def test_what_stands_around_a_part_of_a_table_is_of_that_part(laboratory):
    lab = laboratory(TWO)
    for row, values in {"learned": (93.0, 94.0, 92.5), "none": (60.0, 61.0, 62.5), "rope": (93.1, 93.8, 92.6)}.items():
        lab.measured(row, "top1", *values)
    counts = lab.table(columns=["params"])
    assert (counts.caption, counts.notes) == ("", ())
    whole, part = lab.table(), lab.table(rows=["learned", "none"])
    assert part.notes == whole.notes  # the noise of all rows
    assert [row.cells["top1"].bold for row in part.rows] == [True, False]
    assert "FLOPs" not in laboratory(TWO.replace("params", "flops, params")).table(columns=["params"]).caption
    assert "FLOPs" in laboratory(TWO.replace("params", "flops, params")).table(columns=["flops"]).caption
