"""Tables of which nothing is measured yet: when they print as the paper's, and what they say is missing."""

import pytest

from ablations.grid import build
from ablations.study import load
from bench.store import Snapshot
from reports.cells import fill
from reports.render import render
from reports.table import Cell, ClaimCell, Column, Row, Table
from reports.wanting import every, is_number, names_its_unit, nothing_but_reported, only_reported, reasons, why_nothing

COLUMNS = (
    Column(name="image", label="image", kind="field"),
    Column(name="top1", label="top-1", unit="%"),
    Column(name="time", label="time", unit="s"),
)


def cell(state="needs", printed="81.3", **said):
    claims = (ClaimCell(printed=printed, source="Table 1", verdict="pending"),) if printed is not None else ()
    return Cell(state=state, claims=claims, **said)


def table(*rows):
    """Rows of a top-1 and a time."""
    named = {str(at): dict(zip(("top1", "time"), cells, strict=True)) for at, cells in enumerate(rows)}
    found = tuple(Row(row=name, label=name, fields={"image": "224"}, cells=cells) for name, cells in named.items())
    return Table(study="s", title="t", columns=COLUMNS, rows=found)


def test_a_dash_is_no_number():
    said = [ClaimCell(printed=text, source="Table 1", verdict="pending") for text in ("81.3", "–", "-", " ", "n/a")]
    assert [is_number(claim) for claim in said] == [True, False, False, False, False]


def test_a_table_whose_cells_wait_for_different_things_is_the_paper_s_own():
    waiting = table(
        (cell(reason="ImageNet"), cell(printed="2 ms", reason="a GPU")),
        (cell(reason="JFT-300M"), cell(printed="3 ms", reason="a GPU")),
    )
    assert nothing_but_reported(waiting)
    assert why_nothing(waiting) == "All numbers as reported; not measured: ImageNet; JFT-300M; a GPU"
    assert render(waiting, "markdown").splitlines()[2:6] == [
        "| row | image | top-1 (%) | time |",
        "|:----|------:|----------:|-----:|",
        "| 0   |   224 |      81.3 | 2 ms |",
        "| 1   |   224 |      81.3 | 3 ms |",
    ]


@pytest.mark.parametrize("other", [cell("measured", value=81.2), cell("pending"), cell("failed", reason="diverged")])
def test_a_table_with_another_state_in_a_column_of_several_is_not(other):
    mixed = table((cell(reason="ImageNet"), cell(reason="a GPU")), (other, cell(reason="a GPU")))
    assert not nothing_but_reported(mixed)


def test_a_column_that_nobody_reported_is_no_paper_s():
    assert not nothing_but_reported(table((cell(reason="ImageNet"), cell(printed=None, reason="a GPU"))))
    assert not only_reported([cell(printed=None, reason="a GPU")])


def test_what_is_pending_alone_needs_nothing():
    waiting = table((cell("pending"), cell("pending", printed="2 ms")))
    assert (len(every(waiting)), reasons(every(waiting))) == (2, ["pending"])
    assert why_nothing(waiting) == "All numbers as reported; nothing is measured yet"


def test_what_is_pending_beside_what_needs_something_is_the_rest():
    waiting = table((cell(reason="ImageNet"), cell("pending", printed="2 ms")))
    assert why_nothing(waiting) == "All numbers as reported; not measured: ImageNet; the rest is not measured yet"


def test_a_head_says_a_unit_that_the_numbers_do_not():
    assert names_its_unit([cell(printed="2 ms"), cell(printed=None), cell(printed="1.5 s")])
    assert not names_its_unit([cell(printed="2 ms"), cell(printed="2")])


def test_milliseconds_are_said_where_they_stand():
    text = render(fill(build(load("swin_attention_speed")), Snapshot()), "markdown")
    assert "| method                   | attention in a stage |         |         |        | throughput " in text
    assert "|                          |                   S1 |      S2 |      S3 |     S4 |  T (img/s) " in text
    assert "Numbers are time of one attention, unless a head or a row says otherwise." in text


def test_a_label_that_holds_the_unit_need_not_repeat_it():
    text = render(fill(build(load("boxer_coco_segmentation")), Snapshot()), "markdown")
    assert "| AP | AP S | AP M | AP L | AP | AP S | AP M | AP L |" in " ".join(text.split())
