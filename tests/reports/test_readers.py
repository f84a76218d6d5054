"""Whatever a table says, a reader of each form's own language takes in as text: Markdown, HTML, CSV, JSON, LaTeX."""

import csv
import html.parser
import io
import json
import subprocess

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports import markdown
from reports.latex import document
from reports.latex_text import MATH, SPECIAL, escape
from reports.render import render
from reports.table import Cell, ClaimCell, Column, Difference, Row, Table

CVPR = r"""\documentclass[10pt,twocolumn,letterpaper]{article}
\usepackage{booktabs,graphicx}
\usepackage[textwidth=6.875in,textheight=8.875in,columnsep=0.3125in]{geometry}
"""


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


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_written_everywhere_a_markdown_reader_sees_rows_of_one_width(text):
    said = " ".join(text.split())
    rows = rows_of(render(everywhere(text)))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == 4 + 4 + 5  # heads of four tiers, four groups, five rows
    assert [row[1] for row in rows[-1:]] == [said]
    assert all(row[0].startswith(said) for row in rows if row[0])


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


def test_latex_escapes_what_is_special():
    assert escape("100 % of {a} \\ $5 & #1_x ~^") == (
        r"100 \% of \{a\} \textbackslash{} \$5 \& \#1\_x \textasciitilde{}\textasciicircum{}"
    )
    assert escape("224² ± 3 – a—b → é Łµ") == (r"224\textsuperscript{2} $\pm$ 3 -- a---b $\rightarrow$ \'{e} \L{}$\mu$")
    assert escape('held back ("minival") and "so"') == "held back (``minival'') and ``so''"
    assert escape("RegNetY-4G, -0.7 -- x") == r"RegNetY-4G, $-$0.7 -{}- x"
    assert escape("3.3 · 10^18, x^2") == (r"3.3 $\cdot$ 10\textsuperscript{1}\textsuperscript{8}, x\textasciicircum{}2")
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
