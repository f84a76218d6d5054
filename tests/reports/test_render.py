"""Every form against a frozen file, and what a table says of its cells."""

from pathlib import Path

import msgspec
import pytest

from bench.errors import UserError
from reports.render import FORMS, render
from reports.table import Cell, ClaimCell, Column, Row, Table

FROZEN = Path(__file__).parent.parent / "data" / "tables"
ENDINGS = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json", "html": "html"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["ablation", "paper", "unmeasured", "difficult"])
def test_a_table_is_printed_as_frozen(name, form, request):
    table = request.getfixturevalue(name)
    assert render(table, form) == (FROZEN / f"{name}.{ENDINGS[form]}").read_text(encoding="utf-8")


def test_an_unknown_form_is_one_line():
    with pytest.raises(UserError, match="no form 'latx'; nearest: 'latex'"):
        render(Table(study="s", title="t", columns=(), rows=()), "latx")


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_or_columns_is_still_one(form):
    assert "\n" in render(Table(study="s", title="t", columns=(), rows=()), form)


def test_a_typical_table_fits_a_terminal(paper, ablation):
    assert max(len(line) for line in render(ablation).splitlines() if line.startswith("|")) <= 100
    counts = msgspec.structs.replace(paper, columns=paper.columns[:3])
    assert max(len(line) for line in render(counts).splitlines() if line.startswith("|")) <= 120


def test_a_quantity_without_any_number_gives_its_reason_once(paper):
    text = render(paper)
    assert text.count("imagenet is not here") == 1
    assert "not measured: pending" in text
    assert " needs" not in text


def test_every_cell_without_a_number_shows_its_state(ablation):
    states = {"failed": "why", "invalid": "why", "needs": "why", "running": None, "pending": None, "conflict": "why"}
    column = ablation.columns[2]
    for state, reason in states.items():
        rows = [ablation.rows[0]]
        cells = {"top1": Cell(state=state, reason=reason)}
        rows.append(msgspec.structs.replace(ablation.rows[1], cells=cells))
        text = render(msgspec.structs.replace(ablation, columns=(column,), rows=tuple(rows)))
        line = next(line for line in text.splitlines() if line.startswith("| none"))
        assert line.split("|")[2].split()[0] == state
        assert ("¹ why" in text) == (reason is not None)


def test_equal_reasons_share_a_footnote_numbered_as_they_are_met(ablation):
    text = render(ablation)
    assert text.count("diverged at step 310") == 1
    footnotes = [line[0] for line in text.splitlines() if line[:1] in "¹²³⁴⁵" and line]
    assert footnotes == ["¹", "²", "³", "⁴"]


def test_what_was_reported_alone_shows_nothing_of_ours(paper):
    text = render(paper, reported_only=True)
    assert "| Swin-T         |  224² |  29M ¹ |   4.5G |              755.2 |      81.3 |" in text
    assert "\n¹ 28M: Swin repository, README\n" in text
    assert "28.29M" not in text
    assert "306.63M" not in text  # what explains a claim is ours, too
    assert "reproduced" not in text


def laid(*cells, unit="%", **facts):
    """One column of cells in Markdown: the texts of its rows, and what stands below."""
    rows = tuple(Row(row=f"r{at}", label=f"r{at}", cells={"c": cell}) for at, cell in enumerate(cells))
    column = Column(name="c", label="c", unit=unit, better="higher", **facts)
    text = render(Table(study="s", title="t", columns=(column,), rows=rows))
    lines = [line for line in text.splitlines() if line.startswith("| r")]
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines[1:]], text


def test_a_column_of_several_units_shows_each_with_its_number():
    percent = Cell(state="measured", value=88.55, std=0.04, n=3, unit="%")
    days = Cell(state="measured", value=2500.0, unit="TPUv3-days")
    rows, text = laid(percent, days)
    assert rows == [["88.55% ± 0.04%"], ["2500 TPUv3-days"]]
    assert " c (n=3) |" in text
    assert "(%" not in text


def test_one_of_fewer_seeds_says_so_and_has_no_deviation():
    three = Cell(state="measured", value=92.0, std=1.0, n=3, unit="%")
    one = Cell(state="measured", value=91.0, n=1, unit="%")
    rows, text = laid(three, three, one)
    assert rows == [["92.0 ± 1.0"], ["92.0 ± 1.0"], ["91.0 ¹"]]
    assert "\n¹ n = 1\n" in text


def test_what_others_claim_is_a_footnote_with_its_verdict():
    claims = (
        ClaimCell(printed="29M", source="Table 1", verdict="close"),
        ClaimCell(printed="28M", source="README", verdict="reproduced"),
    )
    cell = Cell(state="measured", value=28.29e6, unit="parameters", claims=claims)
    other = Cell(state="measured", value=50e6, unit="parameters", claims=(claims[0],))
    rows, text = laid(cell, other, unit="parameters")
    assert rows[0] == ["29M ¹", "28.29M", "close"]
    assert "\n¹ 28M: README: reproduced\n" in text
    assert "c: 1 reproduced, 2 close" in text


def test_a_failed_cell_is_counted_beside_the_verdicts():
    failed = Cell(state="failed", reason="why", claims=(ClaimCell(printed="1M", source="T", verdict="failed"),))
    fine = Cell(state="measured", value=1e6, claims=(ClaimCell(printed="1M", source="T", verdict="reproduced"),))
    assert "c: 1 reproduced, 1 failed" in laid(fine, failed, unit="parameters")[1]


def test_where_nothing_is_comparable_why_stands_once_and_no_verdict_does():
    claim = ClaimCell(printed="755.2", source="T", verdict="not_comparable", note="another device")
    noted = ClaimCell(printed="4.3*", source="T", verdict="not_comparable", note="*: diverged; another device")
    cells = [Cell(state="measured", value=1000.0, unit="images/s", claims=(one,)) for one in (claim, noted)]
    rows, text = laid(*cells, unit="images/s")
    assert rows == [["755.2", "1000"], ["4.3* ²", "1000"]]
    assert "\n¹ not comparable: another device\n² *: diverged\n" in f"{text}\n"


def test_what_is_not_comparable_beside_what_is_says_so_in_its_row():
    claim = ClaimCell(printed="81.3", source="T", verdict="not_comparable", note="other images")
    near = ClaimCell(printed="81.3", source="T", verdict="close")
    cells = [Cell(state="measured", value=81.0, n=1, unit="%", claims=(one,)) for one in (claim, near)]
    rows, text = laid(*cells)
    assert rows == [["81.3", "81.00", "not comparable ¹"], ["81.3", "81.00", "close"]]
    assert "¹ other images" in text
