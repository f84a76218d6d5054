"""What a store says of works, and which level of a nuisance axis it lets a table choose."""

from bench.record import Failure
from reports.answers import choose, failure_text

BEST = """
columns: [top1]
seeds: 2
design:
  rows: [{id: plain}]
  best_of: {by: top1, over: {train.lr: [0.001, 0.01, 0.1]}}
"""


def choosing(lab):
    return lab.grid.row("plain").cells["top1"]


def select(lab, *means):
    for candidate, mean in zip(choosing(lab).candidates, means, strict=True):
        for work in candidate.selection:
            if mean is None:
                lab.failed(work, kind="diverged", reason="nan", step=7)
            else:
                lab.write(work, {"top1": mean})


def test_the_best_on_the_selection_split_is_reported_on_the_other(laboratory):
    lab = laboratory(BEST)
    assert lab.cell("plain", "top1").state == "pending"
    select(lab, 90.0, 95.0, 80.0)
    chosen = choosing(lab).candidates[1]
    assert lab.cell("plain", "top1").state == "pending"
    for work, value in zip(chosen.works, (91.0, 92.0), strict=True):
        lab.write(work, {"top1": value})
    cell = lab.cell("plain", "top1")
    assert (cell.value, cell.chosen, cell.n, cell.reason) == (91.5, chosen.label, 2, None)
    assert "0.01" in chosen.label


def test_no_level_is_chosen_while_one_is_to_be_measured(laboratory):
    lab = laboratory(BEST)
    for candidate in choosing(lab).candidates[:2]:
        for work in candidate.selection:
            lab.write(work, {"top1": 90.0})
    assert choose(choosing(lab).candidates, "top1", lab.store.read()) is None
    assert lab.cell("plain", "top1").state == "pending"


def test_a_level_that_failed_was_no_choice_and_the_cell_says_so(laboratory):
    lab = laboratory(BEST)
    select(lab, 90.0, None, 80.0)
    chosen, failed, _ = choosing(lab).candidates
    for work in chosen.works:
        lab.write(work, {"top1": 91.0})
    cell = lab.cell("plain", "top1")
    assert (cell.value, cell.chosen) == (91.0, chosen.label)
    assert cell.reason == f"{failed.label} failed on the selection split and was no choice (diverged at step 7)"


def test_where_every_level_failed_the_cell_failed(laboratory):
    lab = laboratory(BEST)
    select(lab, None, None, None)
    cell = lab.cell("plain", "top1")
    assert (cell.state, cell.reason) == ("failed", "every level failed on the selection split: diverged at step 7")


def test_a_level_that_only_lacks_something_keeps_the_choice_open(laboratory):
    lab = laboratory(BEST)
    first, lacking, third = choosing(lab).candidates
    for candidate, mean in ((first, 90.0), (third, 80.0)):
        for work in candidate.selection:
            lab.write(work, {"top1": mean})
    for work in lacking.selection:
        lab.failed(work, kind="needs", reason="imagenet is not here")
    assert choose(choosing(lab).candidates, "top1", lab.store.read()) is None
    cell = lab.cell("plain", "top1")
    assert (cell.state, cell.value, cell.chosen, cell.reason) == ("needs", None, None, "imagenet is not here")


def test_a_failure_without_a_loss_says_the_step_alone():
    assert failure_text(Failure(kind="diverged", reason="nan", step=3)) == "diverged at step 3"
