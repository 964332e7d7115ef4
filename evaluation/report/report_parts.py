"""What a report is made of: headings, paragraphs, tables, figures. Nothing here is Markdown or HTML yet.

Every text is plain: whoever renders it escapes it, so a title or a name from the data means only itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Sequence[object]


@dataclass(frozen=True)
class Code:
    """A name inside a sentence: of a system, a file, a key."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words inside a sentence that must not be missed."""

    text: str


Piece = str | Code | Strong


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the report's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences; a warning is set apart from the rest."""

    pieces: tuple[Piece, ...]
    warning: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of short sentences."""

    entries: tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells; a float shows four digits. The first column names the row."""

    header: Row
    rows: Sequence[Row]
    higher_is_better: bool = False
    """The best float of each column may be set in bold."""


@dataclass(frozen=True)
class Figure:
    """One plot: `name` is that of its file, `alt` says what is seen for those who cannot see it."""

    name: str
    title: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """Plots that stand together."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Folded:
    """What only some readers want: it may be shut until they ask."""

    summary: str
    parts: tuple["Part", ...]


Part = Heading | Paragraph | Bullets | Table | Figures | Folded


def text(*pieces: Piece) -> Paragraph:
    """A paragraph."""
    return Paragraph(pieces)


def warning(*pieces: Piece) -> Paragraph:
    """A paragraph that is set apart."""
    return Paragraph(pieces, warning=True)


def nested(values: Mapping[str, Any], absent: str) -> Part:  # Any: plain JSON values
    """Any JSON object as a table of dotted keys."""
    rows = list(_flatten(values, ""))
    return Table(["", "value"], rows) if rows else text(absent)


def _flatten(value: Any, name: str) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [row for key, below in value.items() for row in _flatten(below, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list):
        return [(name, ", ".join(str(entry) for entry in value))]
    return [(name, value)]


def text_table(header: Row, rows: Sequence[Row]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    cells = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    )


def one_line(cell: object) -> str:
    """A cell without line breaks or other control characters."""
    text = f"{cell:.4f}" if isinstance(cell, float) else str(cell)
    return "".join(letter if letter.isprintable() else " " for letter in text)
