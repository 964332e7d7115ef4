"""A report as one HTML file that needs nothing else: its style and plots are inside, it runs no script.

Its texts may hold titles, which nobody has checked: all of them are escaped.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from evaluation.report.html_style import STYLE
from evaluation.report.plot_style import GRID, INK, MUTED, PAPER
from evaluation.report.report_parts import (
    Bullets,
    Code,
    Figure,
    Figures,
    Folded,
    Heading,
    Paragraph,
    Part,
    Piece,
    Row,
    Strong,
    Table,
    one_line,
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Told to the browser too: load nothing, run nothing."""


def render_html(parts: Sequence[Part], plots: Mapping[str, str]) -> str:
    """The whole report; `plots` are SVG texts by name."""
    title = next(part.text for part in parts if isinstance(part, Heading))
    chapters = [part.text for part in parts if isinstance(part, Heading) and part.level == 2]
    links = "".join(f'<a href="#chapter-{place}">{escape(name)}</a>' for place, name in enumerate(chapters, 1))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<nav>{links}</nav>",
            "<main>",
            *_render_all(parts, plots),
            "</main>",
            "</body>",
            "</html>\n",
        ]
    )


def escape(cell: object) -> str:
    """A text as HTML that means only itself."""
    return html.escape(one_line(cell))


def _render_all(parts: Sequence[Part], plots: Mapping[str, str]) -> Iterator[str]:
    chapter = 0
    for part in parts:
        if isinstance(part, Heading) and part.level == 2:
            chapter += 1
            yield f'<h2 id="chapter-{chapter}">{escape(part.text)}</h2>'
        else:
            yield _render(part, plots)


def _render(part: Part, plots: Mapping[str, str]) -> str:
    match part:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(pieces, warning=True):
            return f'<p class="warning"><strong>Warning.</strong> {_line(pieces)}</p>'
        case Paragraph(pieces):
            return f"<p>{_line(pieces)}</p>"
        case Bullets(entries):
            return f"<ul>{''.join(f'<li>{_line(pieces)}</li>' for pieces in entries)}</ul>"
        case Table():
            return _table(part)
        case Figures(figures):
            return f'<div class="figures">{"".join(_figure(figure, plots) for figure in figures)}</div>'
        case Folded(summary, inner):
            body = "\n".join(_render_all(inner, plots))
            return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def _line(pieces: Sequence[Piece]) -> str:
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Piece) -> str:
    match piece:
        case Code(text):
            return f"<code>{escape(text)}</code>"
        case Strong(text):
            return f"<strong>{escape(text)}</strong>"
        case _:
            return escape(piece)


def _table(table: Table) -> str:
    best = _best_of_columns(table) if table.higher_is_better else {}
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "\n".join(f"<tr>{_row(row, best)}</tr>" for row in table.rows)
    # A table that is wider than the screen scrolls in its box, with the keyboard too.
    return (
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _row(row: Row, best: Mapping[int, float]) -> str:
    cells = [f'<th scope="row">{escape(row[0])}</th>']
    for column, cell in enumerate(row[1:], 1):
        marked = ' class="best"' if isinstance(cell, float) and round(cell, 4) == best.get(column) else ""
        cells.append(f"<td{marked}>{escape(cell)}</td>")
    return "".join(cells)


def _best_of_columns(table: Table) -> dict[int, float]:
    """The highest value of every column that differs between rows, to the digits that are shown."""
    best = {}
    for column in range(1, len(table.header)):
        values = [row[column] for row in table.rows]
        numbers = [round(value, 4) for value in values if isinstance(value, float)]
        if len(numbers) > 1 and max(numbers) > min(numbers):
            best[column] = max(numbers)
    return best


def _figure(figure: Figure, plots: Mapping[str, str]) -> str:
    label = html.escape(one_line(f"{figure.title}. {figure.alt}"))
    return f'<figure role="img" aria-label="{label}">{_inline(plots[figure.name])}</figure>'


def _inline(svg: str) -> str:
    """The drawing of an SVG file alone, in the page's colours: no prologue, no style, which would reach the whole
    page."""
    drawing = re.sub(r"<style\b.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for color, variable in ((INK, "ink"), (MUTED, "muted"), (GRID, "grid"), (PAPER, "paper")):
        drawing = drawing.replace(f": {color}", f": var(--{variable})")
    return drawing
