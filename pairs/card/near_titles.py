"""Report titles that are nearly the same: generated text cannot tell their items apart, and grounding must guess.

Two measures beside equal titles: the same words in any order, case and punctuation; and the same words but for those
with a digit, as the sizes and pack counts of one product have them.
"""

from typing import Any

import polars as pl

from pairs.reading.text import WORD

EXAMPLES = 3
SLICE = 50_000
"""Titles whose words are apart in memory at the same time; of the others only a hash is kept."""


def describe_near_titles(items: pl.DataFrame) -> dict[str, Any]:  # Any: plain JSON values
    """For each domain: items whose title an earlier one has but for word order or numbers, and some of them."""
    ordered = items.sort("item").select("domain", "title")
    return {letter: _describe(ordered.filter(pl.col("domain") == domain)) for domain, letter in enumerate("XY")}


def _describe(titles: pl.DataFrame) -> dict[str, Any]:
    distinct = titles.select(pl.col("title").unique(maintain_order=True))
    keyed = pl.concat(map(_keys, distinct.iter_slices(SLICE))) if distinct.height else _keys(distinct)
    first_of_words = keyed.unique("words", keep="first", maintain_order=True)
    return {
        "same_words": keyed.height - first_of_words.height,
        "same_words_but_numbers": first_of_words.height - keyed["plain"].n_unique(),
        "examples": _examples(keyed, "words") + _examples(first_of_words, "plain"),
        "longest": int(titles["title"].str.len_chars().max() or 0),  # type: ignore[arg-type]  # a number of characters
    }


def _keys(titles: pl.DataFrame) -> pl.DataFrame:
    """title, and u64 keys that titles of the same words, or of the same words without a digit, share."""
    text = pl.col("title").str.to_lowercase().str.replace_all(r"['’]", "")
    words = text.str.extract_all(WORD).list.unique().list.sort()
    plain = pl.col("words").list.eval(pl.element().filter(~pl.element().str.contains(r"\d")))
    listed = titles.select("title", words.alias("words")).with_columns(plain=plain)
    return listed.select("title", words=_key("words", least=1), plain=_key("plain", least=2))


def _key(column: str, *, least: int) -> pl.Expr:
    """The words as one text; where there are too few to mean anything, the title itself."""
    words = pl.col(column)
    return pl.when(words.list.len() >= least).then(words.list.join(" ")).otherwise(pl.col("title")).hash(seed=0)


def _examples(titles: pl.DataFrame, key: str) -> list[list[str]]:
    """The first titles that share a key, two of each."""
    shared = titles.filter(pl.col(key).is_duplicated())
    groups = shared.group_by(key, maintain_order=True).agg(pl.col("title").head(2))
    return groups["title"].head(EXAMPLES).to_list()
