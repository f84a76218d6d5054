"""Every form against a frozen file, and each against a reader of its own language."""

import csv
import html.parser
import io
import json
import subprocess
from pathlib import Path

import msgspec
import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.errors import UserError
from reports import markdown
from reports.latex import MATH, SPECIAL, document, escape
from reports.render import FORMS, render
from reports.table import Cell, ClaimCell, Column, Difference, Row, Table

FROZEN = Path(__file__).parent.parent / "data" / "tables"
ENDINGS = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json", "html": "html"}

CVPR = r"""\documentclass[10pt,twocolumn,letterpaper]{article}
\usepackage{booktabs,graphicx}
\usepackage[textwidth=6.875in,textheight=8.875in,columnsep=0.3125in]{geometry}
"""


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


def rows_of(text):
    """Cells as a Markdown reader sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows = []
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            inline = tokens[at + 1].children
            assert {child.type for child in inline} <= {"text", "strong_open", "strong_close"}
            rows[-1].append("".join(child.content for child in inline))
    return rows


def test_a_markdown_reader_sees_the_texts_as_they_are(difficult):
    rows = rows_of(render(difficult))
    body = [row for row in rows if row[0] in {row.label for row in difficult.rows}]
    assert [row[:2] for row in body] == [[row.label, row.fields["note"]] for row in difficult.rows]
    assert [row[2] for row in body] == ["−3.20 ± 0.50"] * 7
    assert [row[0] for row in rows if row[0].startswith("group ")] == [row.group for row in difficult.rows]


@given(st.text())
@example("a [link](https://example.org) and ![an image](x)")
@example("&amp; &#42; <b> ``x`` $a$ ~~b~~ __c__ *d* e_f_g \\| |")
def test_whatever_a_name_holds_a_markdown_reader_sees_it(text):
    table = f"| a | b |\n|---|---|\n| {markdown.escape(text)} | x |\n"
    assert rows_of(table)[1] == [" ".join(text.replace("\x00", "\ufffd").split()), "x"]


@given(st.text(min_size=1))
@example("# no heading")
@example("- no list")
@example("1. no list")
@example("> no quote")
@example("=====")
@example("[a]: no definition")
def test_a_note_is_a_paragraph_whatever_it_begins_with(text):
    said = " ".join(text.split())
    tokens = MarkdownIt("commonmark").enable("table").parse(f"before\n\n{markdown._paragraph(text)}\n")
    paragraphs = ["paragraph_open", "inline", "paragraph_close"]
    assert [token.type for token in tokens] == paragraphs * (2 if said else 1)
    if said:
        assert "".join(child.content for child in tokens[4].children) == said.replace("\x00", "\ufffd")


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


def test_json_keeps_its_contract(paper):
    said = json.loads(render(paper, "json"))
    assert (said["study"], said["format"]) == ("swin_imagenet", 1)
    assert said["columns"][0] == {"name": "params", "label": "params", "unit": "parameters", "better": "lower"}
    cells = said["rows"][0]["cells"]
    assert cells["params"] == {
        "state": "measured",
        "value": 28288354,
        "samples": [28288354],
        "unit": "parameters",
        "claims": [
            {"printed": "29M", "source": "ICCV 2021, Table 1", "verdict": "close", "deviation": -0.0074},
            {"printed": "28M", "source": "Swin repository, README", "verdict": "reproduced", "deviation": 0.0},
        ],
    }
    assert cells["throughput"] == {
        "state": "pending",
        "unit": "images/s",
        "claims": [{"printed": "755.2", "source": "ICCV 2021, Table 1", "verdict": "pending"}],
    }


def test_json_has_no_number_that_is_none(ablation):
    broken = msgspec.structs.replace(
        ablation,
        rows=(msgspec.structs.replace(ablation.rows[0], cells={"top1": Cell(state="measured", value=float("nan"))}),),
    )
    with pytest.raises(ValueError, match="NaN"):
        render(broken, "json")


def test_csv_is_read_back_with_full_precision(ablation, difficult):
    rows = list(csv.DictReader(io.StringIO(render(ablation, "csv"))))
    assert (rows[0]["params"], rows[0]["top1"], rows[0]["top1_std"]) == ("58234", "93.82", "1.03")
    assert (rows[2]["top1"], rows[2]["top1_state"]) == ("", "failed")
    assert [row["label"] for row in csv.DictReader(io.StringIO(render(difficult, "csv")))] == [
        row.label for row in difficult.rows
    ]


HOSTILE = (
    r"100 % & more_ #1 {x} \\input{/etc/passwd} ~ ^ $5$ %",
    "<script>alert('x')</script> <!-- & &amp; \"quoted\"",
    "± Δ → λ ≤ × ² ₂ – — … é ł ß µ",
    "שלום العربية 中文 🙂 ﬁ \u202eabc",
    "a | b || c \\| d `code` ``q'' -- --- [1] *",
    "\x1b[31mred\x07 tab\there line\nfeed",
    '=HYPERLINK("https://example.org") @x',
)


def everywhere(text):
    """A table in which every text that anyone may write is this one, whatever became of the cells."""
    claims = tuple(ClaimCell(printed="29M", source=text, verdict=word, note=text) for word in ("close", "deviates"))
    cells = {
        "number": Cell(state="measured", value=28.3e6, std=1.1e6, n=3, unit="parameters", bold=True, chosen=text),
        "several": Cell(state="measured", value=0.25, std=0.1, n=2, unit=text, reason=text),
        "failed": Cell(state="failed", reason=text, unit="parameters", claims=claims),
        "missing": Cell(state="needs", reason=text),
        "away": Cell(state="not_applicable"),
    }
    claimed = msgspec.structs.replace(cells["number"], claims=claims, difference=Difference(value=-1e6, half_width=2e5))
    columns = (
        Column(name="field", label=text, kind="field", heads=(text,)),
        Column(name="params", label=text, unit="parameters", heads=(text, text), show_difference=True),
        Column(name="other", label=text, unit=text, heads=(text, text)),
    )
    rows = tuple(
        Row(
            row=f"r{at}",
            label=text,
            group=text if at < 2 else f"{text} {at}",
            notes=(text,),
            fields={"field": text},
            cells={"params": claimed if at == 0 else cell, "other": cell},
        )
        for at, cell in enumerate(cells.values())
    )
    return Table(
        study="study",
        title=text,
        columns=columns,
        rows=rows,
        base="r0",
        stub=text,
        caption=text,
        notes=(text,),
        setting=text,
        source=text,
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_written_everywhere_a_markdown_reader_sees_rows_of_one_width(text):
    said = " ".join(text.split())
    rows = rows_of(render(everywhere(text)))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == 4 + 4 + 5  # heads of four tiers, four groups, five rows
    assert [row[1] for row in rows[-1:]] == [said]
    assert all(row[0].startswith(said) for row in rows if row[0])


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_written_everywhere_html_holds_it_as_text(text):
    reader = Reader()
    reader.feed(render(everywhere(text), "html"))
    assert reader.open == []
    assert reader.tags <= OURS
    assert text in reader.texts
    assert sum(text in said for said in reader.texts) >= 2 * 5 + 4


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_written_everywhere_csv_and_json_give_it_back(text):
    table = everywhere(text)
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"), newline="")))
    assert len(rows) == 5
    safe = f"'{text}" if text[0] in "=+-@" else text
    assert [row["label"] for row in rows] == [safe] * 5
    assert [row["other_reason"] for row in rows] == ["", safe, safe, safe, ""]
    said = json.loads(render(table, "json"))
    assert {row["label"] for row in said["rows"]} == {text}
    assert said["caption"] == text


def test_json_gives_every_cell_back_whole(ablation, paper, unmeasured, difficult):
    for table in (ablation, paper, unmeasured, difficult, everywhere("x")):
        said = json.loads(render(table, "json"))
        for row, read in zip(table.rows, said["rows"], strict=True):
            assert {name: msgspec.convert(cell, Cell) for name, cell in read["cells"].items()} == row.cells
            kept = {name: value for name, value in read.items() if name != "cells"}
            assert msgspec.convert(kept, Row) == msgspec.structs.replace(row, cells={})
        assert set(said) <= {
            "study",
            "format",
            "title",
            "setting",
            "source",
            "base",
            "columns",
            "rows",
            "caption",
            "notes",
        }


def test_csv_is_read_by_pandas_and_no_number_is_made_of_what_is_missing(ablation):
    frame = pandas.read_csv(io.StringIO(render(ablation, "csv")), index_col="row")
    assert frame.loc["learned", "params"] == 58234
    assert frame["top1"].notna().tolist() == [True, True, False, True, False]
    assert frame["top1_state"].tolist() == ["measured", "measured", "failed", "measured", "invalid"]
    assert frame.loc["none", "top1_difference"] == -26.3


@pytest.mark.parametrize("text", ["=1+1", "+ mixup", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx"])
def test_no_text_in_csv_is_a_formula(text):
    rows = (Row(row="r", label=text, group=text, fields={"f": text}, cells={"c": Cell(state="failed", reason=text)}),)
    columns = (Column(name="f", label="f", kind="field"), Column(name="c", label="c"))
    table = Table(study="s", title="t", columns=columns, rows=rows)
    head, cells = csv.reader(io.StringIO(render(table, "csv"), newline=""))
    said = "'" + text.replace("\r", "\n")
    assert dict(zip(head, cells, strict=True)) == dict.fromkeys(("label", "group", "f", "c_reason"), said) | {
        "row": "r",
        "c": "",
        "c_state": "failed",
    }


def test_a_negative_number_in_csv_is_one():
    cell = Cell(state="measured", value=-0.5)
    table = Table(
        study="s",
        title="t",
        columns=(Column(name="c", label="c"),),
        rows=(Row(row="-1", label="-1e3", cells={"c": cell}),),
    )
    assert render(table, "csv") == "row,label,c,c_state\n-1,-1e3,-0.5,measured\n"


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


def test_not_comparable_shows_both_numbers_and_why():
    claim = ClaimCell(printed="755.2", source="T", verdict="not_comparable", note="another device")
    rows, text = laid(Cell(state="measured", value=1000.0, unit="images/s", claims=(claim,)), unit="images/s")
    assert rows == [["755.2", "1000", "not comparable ¹"]]
    assert "¹ another device" in text


OURS = {
    "figure",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "strong",
    "sup",
    "figcaption",
    "p",
    "ol",
    "li",
}


class Reader(html.parser.HTMLParser):
    """Checks that what opens closes, and keeps the texts of cells."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.texts[-1] += data


def test_html_is_well_formed_and_shows_texts_as_they_are(difficult):
    reader = Reader()
    reader.feed(render(difficult, "html"))
    assert reader.open == []
    assert reader.tags <= OURS
    assert {row.label for row in difficult.rows} | {row.group for row in difficult.rows} <= set(reader.texts)


def test_latex_escapes_what_is_special():
    assert escape("100 % of {a} \\ $5 & #1_x ~^") == (
        r"100 \% of \{a\} \textbackslash{} \$5 \& \#1\_x \textasciitilde{}\textasciicircum{}"
    )
    assert escape("224² ± 3 – a—b → é Łµ") == (r"224\textsuperscript{2} $\pm$ 3 -- a---b $\rightarrow$ \'{e} \L{}$\mu$")
    assert escape('held back ("minival") and "so"') == "held back (``minival'') and ``so''"
    assert escape("RegNetY-4G, -0.7 -- x") == r"RegNetY-4G, $-$0.7 -{}- x"
    assert escape("中") == r"[U+4E2D]\allowbreak{}"


@given(st.text())
def test_latex_never_sees_an_open_brace_or_a_character_that_it_does_not_know(text):
    escaped = escape(text)
    assert escaped.isascii()
    bare = escaped.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert bare.replace(r"\$", "").count("$") % 2 == 0


@pytest.mark.latex
@pytest.mark.parametrize("page", ["neurips", "cvpr"])
def test_latex_compiles_and_nothing_runs_over_the_margin(page, paper, ablation, unmeasured, difficult, tmp_path):
    full = [render(table, "latex") for table in (paper, ablation, unmeasured, difficult)]
    full.append(render(msgspec.structs.replace(paper, study="counts", columns=paper.columns[:3]), "latex"))
    full.append(render(msgspec.structs.replace(paper, study="printed"), "latex", reported_only=True))
    full += [
        render(msgspec.structs.replace(everywhere(text), study=f"h{at}"), "latex") for at, text in enumerate(HOSTILE)
    ]
    letters = " ".join([*SPECIAL, *MATH, *(chr(code) for code in range(0x20, 0x250)), "₂ ⁹ 中 🙂 ﬁ"])
    text = document(*full, rf"{{\raggedright {escape(letters)}\par}}", **({"preamble": CVPR} if page == "cvpr" else {}))
    (tmp_path / "table.tex").write_text(text, encoding="utf-8")
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    log = ran.stdout.decode("utf-8", "replace")
    assert ran.returncode == 0, log[-2000:]
    assert [line for line in log.splitlines() if line.startswith("Overfull")] == []
    assert (tmp_path / "table.pdf").stat().st_size > 10_000
