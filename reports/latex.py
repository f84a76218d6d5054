"""LaTeX: a floating table that compiles wherever booktabs is loaded; one that no page holds goes on over pages.

Numbers and their ± are set in math, so that minus signs are minus signs; everything else is escaped text.
"""

import re

from reports.latex_text import escape
from reports.layout import Entry, Grid, grid
from reports.table import Table

SIZES = ((75, ""), (85, r"\small"), (10**9, r"\footnotesize"))
"""Characters that a row of 5.5 inches (NeurIPS) takes at a size; a character is about half as wide as it is high."""

HANGING = 2  # digits of a mark that the space between two columns (12 pt) has room for
TOO_WIDE = 94  # characters: shrunk to the width of the text
WIDE = 48  # characters that a column of a two-column page holds
GAP = 3  # characters that the space between two columns (12 pt) has room for at the smallest size
TALL = 56  # lines that a page of 9 inches holds at the smallest size, with a caption

PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,graphicx,longtable}
\usepackage[textwidth=5.5in,textheight=9in]{geometry}
"""


def latex(table: Table, *, reported_only: bool = False) -> str:
    """The table as a float, its caption above and its footnotes below; packages: booktabs, for wide ones graphicx.

    One of more lines than a page holds is a longtable, for documents of one column.
    """
    laid = grid(table, reported_only=reported_only)
    if len(laid.groups) + sum(group is not None for group in laid.groups) > TALL:
        return _over_pages(laid)
    width = _width(laid)
    shrunk = width > TOO_WIDE
    name = "table*" if width > WIDE else "table"
    size = next(size for limit, size in SIZES if width <= limit)
    lines = [
        rf"% \usepackage{{{'booktabs,graphicx' if shrunk else 'booktabs'}}}",
        rf"\begin{{{name}}}[t]",
        r"  \centering",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{_caption(laid)}}}",
        rf"  \label{{tab:{_label(laid.study)}}}",
        *([f"  {size}"] if size else []),
        *([r"  \setlength{\tabcolsep}{4pt}"] if shrunk else []),
        *([r"  \resizebox{\linewidth}{!}{%"] if shrunk else []),
        *(f"  {line}" for line in _tabular(laid)),
        *(["  }"] if shrunk else []),
        *_footnotes(laid),
        rf"\end{{{name}}}",
    ]
    return "\n".join(lines) + "\n"


def _over_pages(laid: Grid) -> str:
    """The table as a longtable: the caption on its first page, the heads on every one, footnotes behind it."""
    columns = _columns(laid)
    wrapped = columns.replace("l", r"p{0.5\linewidth}", 1) if _width(laid) > TOO_WIDE else columns
    heads = [r"  \toprule", *_heads(laid), r"  \midrule"]
    lines = [
        r"% \usepackage{booktabs,longtable}",
        r"\begingroup\footnotesize\setlength{\tabcolsep}{4pt}\setlength{\parindent}{0pt}",
        rf"\begin{{longtable}}{{@{{}}{wrapped}@{{}}}}",
        rf"  \caption{{{_caption(laid)}}}",
        rf"  \label{{tab:{_label(laid.study)}}} \\",
        *heads,
        r"  \endfirsthead",
        *heads,
        r"  \endhead",
        r"  \bottomrule",
        r"  \endlastfoot",
        *_body(laid, heading=(rf"\multicolumn{{{len(columns)}}}{{@{{}}p{{\linewidth}}@{{}}}}", r"\\*"), first=False),
        r"\end{longtable}",
        *_footnotes(laid),
        r"\endgroup",
    ]
    return "\n".join(lines) + "\n"


def document(*tables: str, preamble: str = PREAMBLE) -> str:
    """Tables in a document that compiles by itself, as wide as NeurIPS sets its text unless told otherwise."""
    return "\n".join([preamble + r"\begin{document}", *tables, r"\end{document}"]) + "\n"


def _tabular(laid: Grid) -> list[str]:
    """Rules, heads, groups and rows."""
    columns = _columns(laid)
    heading = rf"\multicolumn{{{len(columns)}}}{{@{{}}l}}", r"\\"
    return [
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"  \toprule",
        *_heads(laid),
        *_body(laid, heading=heading),
        r"  \bottomrule",
        r"\end{tabular}",
    ]


def _columns(laid: Grid) -> str:
    return "".join("r" if strip.align == "right" else "l" for strip in laid.strips)


def _body(laid: Grid, *, heading: tuple[str, str], first: bool = True) -> list[str]:
    """Rows under their groups, each between the two parts of a heading; `first`: with the rule below the heads."""
    lines = []
    for at, group in enumerate(laid.groups):
        if (at == 0 and first) or (at > 0 and group is not None):
            lines.append(r"  \midrule")
        if group is not None:
            lines.append(rf"  {heading[0]}{{\emph{{{escape(group)}}}}} {heading[1]}")
        lines.append(_row([_entry(laid, strip.entries[at], strip.align) for strip in laid.strips]))
    return lines


def _row(texts: list[str]) -> str:
    r"""One row. After `\\`, a star or a bracket would be read as an argument of it."""
    text = " & ".join(texts)
    return "  " + ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def _heads(laid: Grid) -> list[str]:
    """Spanning heads with their rules, then the columns' own labels in the last line."""
    lines = []
    for tier in range(max(len(strip.path) for strip in laid.strips) - 1):
        cells, rules, at = [], [], 0
        while at < len(laid.strips):
            end = _span(laid, at, tier)
            path = laid.strips[at].path
            if tier < len(path) - 1:
                cells.append(rf"\multicolumn{{{end - at}}}{{c}}{{{escape(path[tier])}}}")
                rules.append(rf"\cmidrule(lr){{{at + 1}-{end}}}")
            else:
                cells.append("")
            at = end
        lines += [_row(cells), "  " + " ".join(rules)]
    return [*lines, _row([escape(strip.path[-1]) + _marks(laid, strip.footnotes) for strip in laid.strips])]


def _span(laid: Grid, at: int, tier: int) -> int:
    """One past the last strip under the head of strip `at` in a tier."""
    path, end = laid.strips[at].path, at + 1
    while tier < len(path) - 1 and end < len(laid.strips):
        other = laid.strips[end].path
        if len(other) - 1 <= tier or other[: tier + 1] != path[: tier + 1]:
            break
        end += 1
    return end


def _entry(laid: Grid, entry: Entry, align: str) -> str:
    """What stands in one place. Marks of few digits hang over the edge of a column, whose numbers stay in line."""
    marks = _marks(laid, entry.footnotes)
    if align == "right" and len(",".join(map(str, laid.marks(entry.footnotes)))) in range(1, HANGING + 1):
        marks = rf"\rlap{{{marks}}}"
    if not entry.number:
        text = escape(entry.text)
        return (rf"\textbf{{{text}}}" if entry.bold else text) + marks
    return _number(entry) + " " * entry.tail.startswith(" ") + escape(entry.tail) + marks


def _number(entry: Entry) -> str:
    """A number and its spread in math, what stands behind them (M, %) in text."""
    pieces = []
    for text in (entry.text, entry.spread):
        match = re.fullmatch(r"([+−]?[\d,.]+)(.*)", text or "0", re.DOTALL)
        assert match is not None, text
        pieces.append((match[1].replace("−", "-").replace(",", "{,}"), escape(match[2])))
    (number, suffix), (spread, after) = pieces
    if entry.bold:
        number, suffix = rf"\mathbf{{{number}}}", rf"\textbf{{{suffix}}}" if suffix else ""
    if entry.spread is None:
        return f"${number}${suffix}"
    return rf"${number}${suffix}${{}} \pm {spread}${after}" if suffix else rf"${number} \pm {spread}$"


def _marks(laid: Grid, footnotes: tuple[str, ...]) -> str:
    numbers = ",".join(str(number) for number in laid.marks(footnotes))
    return rf"\textsuperscript{{{numbers}}}" if numbers else ""


def _caption(laid: Grid) -> str:
    """The title, then what stands around the table, in sentences."""
    sentences = [laid.title, *laid.notes]
    return " ".join(escape(text) + ("" if text.endswith((".", "?", "!")) else ".") for text in sentences)


def _footnotes(laid: Grid) -> list[str]:
    """Footnotes in one small paragraph below: `table` floats take no \\footnote."""
    if not laid.footnotes:
        return []
    texts = [rf"\textsuperscript{{{number}}}~{escape(text)}" for number, text in enumerate(laid.footnotes, 1)]
    return [
        r"  \par\smallskip",
        r"  \begin{minipage}{\linewidth}\footnotesize\raggedright",
        *(f"    {text}\\quad" for text in texts[:-1]),
        f"    {texts[-1]}",
        r"  \end{minipage}",
    ]


def _label(study: str) -> str:
    return re.sub(r"[^A-Za-z0-9:.-]+", "-", study)


def _width(laid: Grid) -> int:
    """Characters of the widest row, the space between its columns among them."""
    widths = []
    for strip in laid.strips:
        entries = [len(e.text) + len(f" ± {e.spread}" if e.spread else "") + len(e.tail) for e in strip.entries]
        widths.append(max([len(strip.path[-1]), *entries]) + GAP)
    return sum(widths)
