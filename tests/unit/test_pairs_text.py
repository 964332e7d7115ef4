"""Titles and attribute words are cleaned the same way for every source."""

import polars as pl

from pairs.text import attribute_words, clean_titles


def test_titles_lose_entities_blanks_and_control_characters() -> None:
    frame = pl.DataFrame(
        {"title": ["Tea &amp; Honey&#39;s\t \u00a0Set\x00", "a &amp;quot;b&amp;quot;", "plain", None, "  "]}
    )
    assert clean_titles(frame, "title")["title"].to_list() == ["Tea & Honey's Set", 'a "b"', "plain", "", ""]


def test_cleaning_keeps_row_order_with_repeated_titles() -> None:
    titles = ["x &amp; y", "b", "x &amp; y", "a"]
    cleaned = clean_titles(pl.DataFrame({"n": [0, 1, 2, 3], "title": titles}), "title")
    assert cleaned.rows() == [(0, "x & y"), (1, "b"), (2, "x & y"), (3, "a")]


def test_attribute_words_are_distinct_lower_case_and_in_order() -> None:
    frame = pl.DataFrame({"words": [["Home &amp; Kitchen", "Kitchen, Bath", None, "Zed's Café"], [], None]})
    assert frame.select(attribute_words("words")).to_series().to_list() == ["home kitchen bath zeds café", "", ""]
