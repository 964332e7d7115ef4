"""Rows of cells as aligned text or as Markdown. Cells may hold titles, which nobody has checked: they are escaped."""

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


def markdown_table(header: Row, rows: Sequence[Row]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    rule = ["---", *("---:" for _ in header[1:])]
    lines = [[escape(cell) for cell in header], rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(cell: object) -> str:
    """A cell as Markdown that stays in its cell and means only its text."""
    text = one_line(cell).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("[", "\\[")


def one_line(cell: object) -> str:
    """A cell without line breaks or other control characters."""
    text = f"{cell:.4f}" if isinstance(cell, float) else str(cell)
    return "".join(letter if letter.isprintable() else " " for letter in text)
