"""A report as Markdown. Its texts may hold titles, which nobody has checked: all of them are escaped."""

import re
from collections.abc import Sequence

from evaluation.report.report_parts import (
    Bullets,
    Code,
    Figures,
    Folded,
    Heading,
    Paragraph,
    Part,
    Piece,
    Strong,
    Table,
    one_line,
)

PLOTS = "plots"
"""The folder of the plots, beside the report."""
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown gives a meaning inside a line; an underscore only where it does not join two words."""
LINK = re.compile(r"(?<=:)//|(?<=www)\.", re.IGNORECASE)
"""What makes many readers of Markdown turn plain text into a link."""


def render_markdown(parts: Sequence[Part]) -> str:
    """The whole report."""
    return "\n\n".join(_render(part) for part in parts) + "\n"


def escape(cell: object) -> str:
    """A text as Markdown that stays on its line and in its cell, and means only itself."""
    escaped = SPECIAL.sub(r"\\\g<0>", one_line(cell).translate(ENTITIES))
    return LINK.sub(r"\\\g<0>", escaped)


def _render(part: Part) -> str:
    match part:
        case Heading(level, text):
            return f"{'#' * level} {escape(text)}"
        case Paragraph(pieces, warning=True):
            return f"> **Warning.** {_line(pieces)}"
        case Paragraph(pieces):
            return _line(pieces)
        case Bullets(entries):
            return "\n".join(f"- {_line(pieces)}" for pieces in entries)
        case Table(header, rows):
            return _table(header, rows)
        case Figures(figures):
            return "\n\n".join(f"![{escape(f.title)}. {escape(f.alt)}]({PLOTS}/{f.name}.svg)" for f in figures)
        case Folded(summary, inner):
            return "\n\n".join([escape(summary), *(_render(one) for one in inner)])


def _line(pieces: Sequence[Piece]) -> str:
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Piece) -> str:
    match piece:
        case Code(text):
            # Inside backticks nothing is escaped, so nothing but a plain name may stand there.
            return f"`{text}`" if re.fullmatch(r"[\w.@/-]+", text) else escape(text)
        case Strong(text):
            return f"**{escape(text)}**"
        case _:
            return escape(piece)


def _table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    lines = [[escape(cell) for cell in header], rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
