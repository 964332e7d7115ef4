"""Rows of cells as aligned text, and cells as one line."""

from collections.abc import Sequence

Row = Sequence[object]


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
