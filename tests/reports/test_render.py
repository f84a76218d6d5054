"""Every form against a frozen file, and each against a reader of its own language."""

import csv
import html.parser
import io
import json
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.errors import UserError
from reports import markdown
from reports.latex import MATH, SPECIAL, document, escape
from reports.render import FORMS, render
from reports.table import Cell, Table

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


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(str.isprintable))
def test_whatever_a_name_holds_a_markdown_reader_sees_it(text):
    table = f"| a | b |\n|---|---|\n| {markdown.escape(text)} | x |\n"
    assert rows_of(table)[1][1] == "x"


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
    ours = {
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
    assert reader.tags <= ours
    assert {row.label for row in difficult.rows} | {row.group for row in difficult.rows} <= set(reader.texts)


def test_latex_escapes_what_is_special():
    assert escape("100 % of {a} \\ $5 & #1_x ~^") == (
        r"100 \% of \{a\} \textbackslash{} \$5 \& \#1\_x \textasciitilde{}\textasciicircum{}"
    )
    assert escape("224² ± 3 – a—b → é Łµ") == (r"224\textsuperscript{2} $\pm$ 3 -- a---b $\rightarrow$ \'{e} \L{}$\mu$")
    assert escape("RegNetY-4G, -0.7 -- x") == r"RegNetY-4G, $-$0.7 -{}- x"
    assert escape("中") == "[U+4E2D]"


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
