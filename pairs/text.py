"""Clean titles and attribute words: HTML entities, control characters, whitespace."""

import html

import polars as pl

SPACE = r"[\s\p{Cc}\p{Cf}\u00a0]+"
WORD = r"[\p{L}\p{N}]+"


def clean_titles(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """`column` with entities resolved and every run of blanks or control characters made one space; null is ""."""
    text = pl.col(column).fill_null("")
    escaped = frame.select(text.alias("raw")).filter(pl.col("raw").str.contains("&", literal=True)).unique()
    resolved = escaped.with_columns(pl.Series("clean", [_unescape(title) for title in escaped["raw"]], dtype=pl.String))
    joined = frame.with_columns(text).join(resolved, left_on=column, right_on="raw", how="left", maintain_order="left")
    title = pl.coalesce("clean", column).str.replace_all(SPACE, " ").str.strip_chars()
    return joined.with_columns(title.alias(column)).drop("clean")


def attribute_words(column: str) -> pl.Expr:
    """A list<str> column as its distinct lower-case words in order, joined by spaces; "" for null or empty."""
    return (
        pl.col(column)
        .list.join(" ", ignore_nulls=True)
        .str.to_lowercase()
        .str.replace_all(r"&(amp|nbsp|quot|#\d+);", " ")
        .str.replace_all(r"['’]", "")
        .str.extract_all(WORD)
        .list.unique(maintain_order=True)
        .list.join(" ")
        .fill_null("")
    )


def _unescape(title: str) -> str:
    return html.unescape(html.unescape(title))  # dumps hold &amp;quot; too
