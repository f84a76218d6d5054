"""HTML: one table element that stands in any page or notebook; no scripts, no classes of somebody's style sheet."""

from html import escape

from reports.layout import Entry, Grid, Strip, grid
from reports.table import Table


def web(table: Table, *, reported_only: bool = False) -> str:
    """A `<figure>` with the table, its caption above, notes and footnotes below; everything escaped."""
    laid = grid(table, reported_only=reported_only)
    lines = [
        f'<figure id="{escape(laid.study)}">',
        "<table>",
        f"<caption>{escape(laid.title)}</caption>",
        "<thead>",
        *_heads(laid),
        "</thead>",
        "<tbody>",
    ]
    for at, group in enumerate(laid.groups):
        if group is not None:
            across = f' colspan="{len(laid.strips)}"'
            lines.append(f'<tr><th{across} scope="rowgroup" style="text-align:left">{escape(group)}</th></tr>')
        lines.append(_row(laid, at))
    lines += ["</tbody>", "</table>", "<figcaption>", *(f"<p>{escape(note)}</p>" for note in laid.notes)]
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
            cells.append(
                f'<th{across}{down} scope="col" style="text-align:{align}">{escape(strip.path[tier])}{marks}</th>'
            )
            at = end
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return lines


def _share(strip: Strip, other: Strip, tier: int) -> bool:
    """Whether two strips stand under the same head in a tier."""
    return len(other.path) - 1 > tier and other.path[: tier + 1] == strip.path[: tier + 1]


def _row(laid: Grid, at: int) -> str:
    label, *rest = laid.strips
    cells = [f'<th scope="row" style="text-align:left">{_entry(laid, label.entries[at])}</th>']
    cells += [f'<td style="text-align:{strip.align}">{_entry(laid, strip.entries[at])}</td>' for strip in rest]
    return f"<tr>{''.join(cells)}</tr>"


def _entry(laid: Grid, entry: Entry) -> str:
    spread = f" ± {entry.spread}" if entry.spread is not None else ""
    text = escape(f"{entry.text}{spread}{entry.tail}")
    return (f"<strong>{text}</strong>" if entry.bold else text) + _marks(laid, entry.footnotes)


def _marks(laid: Grid, footnotes: tuple[str, ...]) -> str:
    numbers = ", ".join(str(number) for number in laid.marks(footnotes))
    return f"<sup>{numbers}</sup>" if numbers else ""
