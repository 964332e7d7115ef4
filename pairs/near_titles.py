"""Report titles that are nearly the same: generated text cannot tell their items apart, and grounding must guess.

Two measures beside equal titles: the same words in any order, case and punctuation; and the same words but for those
with a digit, as the sizes and pack counts of one product have them.
"""

from typing import Any

import polars as pl

from pairs.text import WORD

EXAMPLES = 3


def describe_near_titles(items: pl.DataFrame) -> dict[str, Any]:  # Any: plain JSON values
    """For each domain: items whose title an earlier one has but for word order or numbers, and some of them."""
    words = pl.col("title").str.to_lowercase().str.replace_all(r"['’]", "").str.extract_all(WORD)
    words = words.list.unique().list.sort()
    plain = words.list.eval(pl.element().filter(~pl.element().str.contains(r"\d")))
    keyed = items.sort("item").select(
        "domain", "title", words=_key(words), plain=_key(plain, least=2)
    )  # fmt: skip
    return {letter: _describe(keyed.filter(pl.col("domain") == domain)) for domain, letter in enumerate("XY")}


def _key(words: pl.Expr, *, least: int = 1) -> pl.Expr:
    """The words as one text; where there are too few to mean anything, the title itself."""
    return pl.when(words.list.len() >= least).then(words.list.join(" ")).otherwise(pl.col("title"))


def _describe(titles: pl.DataFrame) -> dict[str, Any]:
    distinct = titles.unique("title", keep="first", maintain_order=True)
    return {
        "same_words": distinct.height - distinct["words"].n_unique(),
        "same_words_but_numbers": distinct["words"].n_unique() - distinct["plain"].n_unique(),
        "examples": _examples(distinct, "words")
        + _examples(distinct.unique("words", keep="first", maintain_order=True), "plain"),
        "longest": int(titles["title"].str.len_chars().max() or 0),  # type: ignore[arg-type]  # a number of characters
    }


def _examples(titles: pl.DataFrame, key: str) -> list[list[str]]:
    groups = titles.group_by(key, maintain_order=True).agg(pl.col("title").head(2))
    return groups.filter(pl.col("title").list.len() > 1)["title"].head(EXAMPLES).to_list()
