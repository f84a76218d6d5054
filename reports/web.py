"""HTML: one table element that stands in any page or notebook; no scripts, no classes of somebody's style sheet.

Rules are drawn in the text's own colour, so that they are seen on light and dark pages; what a notebook or GitHub
strips of the styles, it strips without harm.
"""

from html import escape

from reports.layout import Entry, Grid, Strip, grid
from reports.table import Table

RULE = "1px solid currentColor"
CELL = "padding:.15em .6em;white-space:nowrap"


def web(table: Table, *, reported_only: bool = False) -> str:
    """A `<figure>` with the table, its caption above, notes and footnotes below; everything escaped."""
    laid = grid(table, reported_only=reported_only)
    lines = [
        f'<figure id="{escape(laid.study)}" style="margin:1.5em 0;overflow-x:auto">',
        '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums;'
        'border-top:2px solid currentColor;border-bottom:2px solid currentColor">',
        f'<caption style="text-align:left;padding:.15em .6em;font-weight:bold">{escape(laid.title)}</caption>',
        "<thead>",
        *_heads(laid),
        "</thead>",
        "<tbody>",
    ]
    for at, group in enumerate(laid.groups):
        if group is not None:
            across = f' colspan="{len(laid.strips)}"'
            style = f"text-align:left;{CELL};border-top:{RULE};font-weight:normal;font-style:italic"
            lines.append(f'<tr><th{across} scope="rowgroup" style="{style}">{escape(group)}</th></tr>')
        lines.append(_row(laid, at))
    lines += ["</tbody>", "</table>", '<figcaption style="max-width:60em">']
    lines += [f"<p>{escape(note)}</p>" for note in laid.notes]
    if laid.footnotes:
        lines += ["<ol>", *(f"<li>{escape(text)}</li>" for text in laid.footnotes), "</ol>"]
    return "\n".join([*lines, "</figcaption>", "</figure>"]) + "\n"


def _heads(laid: Grid) -> list[str]:
    """One line a tier; a head spans the strips that share it, and a short path reaches down to the last line."""
    depth = max(len(strip.path) for strip in laid.strips)
    lines = []
    for tier in range(depth):
        cells, at = [], 0
        while at < len(laid.strips):
            strip, end = laid.strips[at], at + 1
            if tier >= len(strip.path):
                at = end
                continue
            last = tier == len(strip.path) - 1
            while not last and end < len(laid.strips) and _share(strip, laid.strips[end], tier):
                end += 1
            across = f' colspan="{end - at}"' if end - at > 1 else ""
            down = f' rowspan="{depth - tier}"' if last and depth - tier > 1 else ""
            align = strip.align if last else "center"
            marks = _marks(laid, strip.footnotes) if last else ""
            scope = "col" if last else "colgroup"
            style = f"text-align:{align};vertical-align:bottom;{CELL};border-bottom:{RULE}"
            cells.append(f'<th{across}{down} scope="{scope}" style="{style}">{escape(strip.path[tier])}{marks}</th>')
            at = end
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return lines


def _share(strip: Strip, other: Strip, tier: int) -> bool:
    """Whether two strips stand under the same head in a tier."""
    return len(other.path) - 1 > tier and other.path[: tier + 1] == strip.path[: tier + 1]


def _row(laid: Grid, at: int) -> str:
    label, *rest = laid.strips
    name = _entry(laid, label.entries[at])
    cells = [f'<th scope="row" style="text-align:left;{CELL};font-weight:normal">{name}</th>']
    cells += [f'<td style="text-align:{strip.align};{CELL}">{_entry(laid, strip.entries[at])}</td>' for strip in rest]
    return f"<tr>{''.join(cells)}</tr>"


def _entry(laid: Grid, entry: Entry) -> str:
    spread = f" ± {entry.spread}" if entry.spread is not None else ""
    text = escape(f"{entry.text}{spread}{entry.tail}")
    return (f"<strong>{text}</strong>" if entry.bold else text) + _marks(laid, entry.footnotes)


def _marks(laid: Grid, footnotes: tuple[str, ...]) -> str:
    numbers = ", ".join(str(number) for number in laid.marks(footnotes))
    return f'<sup style="line-height:0">{numbers}</sup>' if numbers else ""
