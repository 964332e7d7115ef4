"""Clean titles and attribute words: HTML entities, control characters, whitespace."""

import html

import polars as pl

TAG = r"</?[a-zA-Z][^<>]{0,300}>"
SCRIPT = r"var aPageStart|getTime\(\)"
"""Titles of the 2018 crawl that hold the page's script are no titles."""
SPACE = r"[\s\p{Cc}\p{Cf}\u00a0]+"
WORD = r"[\p{L}\p{N}]+"


def clean_titles(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """`column` with entities resolved, tags removed and every run of blanks or control characters made one space;
    null and a page's script become ""."""
    text = pl.col(column).fill_null("")
    escaped = frame.select(text.alias("raw")).filter(pl.col("raw").str.contains("&", literal=True)).unique()
    resolved = escaped.with_columns(pl.Series("clean", [_unescape(title) for title in escaped["raw"]], dtype=pl.String))
    joined = frame.with_columns(text).join(resolved, left_on=column, right_on="raw", how="left", maintain_order="left")
    text = pl.coalesce("clean", column)
    text = pl.when(text.str.contains("<", literal=True)).then(text.str.replace_all(TAG, " ")).otherwise(text)
    title = text.str.replace_all(SPACE, " ").str.strip_chars()
    title = pl.when(title.str.contains(SCRIPT)).then(pl.lit("")).otherwise(title)
    return joined.with_columns(title.alias(column)).drop("clean")


def cut_titles(frame: pl.DataFrame, column: str, *, max_chars: int) -> pl.DataFrame:
    """`column` cut to `max_chars`, at a word if there is one; the new column `cut` says where."""
    title = pl.col(column)
    shorter = title.str.slice(0, max_chars + 1).str.replace(r"\s+\S*$", "").str.slice(0, max_chars)
    too_long = title.str.len_chars() > max_chars
    return frame.with_columns(pl.when(too_long).then(shorter).otherwise(title).alias(column), too_long.alias("cut"))


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
