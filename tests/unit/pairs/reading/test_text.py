"""Titles and attribute words are cleaned the same way for every source."""

import polars as pl

from pairs.reading.text import attribute_words, clean_titles, cut_titles


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


def test_titles_lose_tags_and_page_scripts_but_keep_their_signs() -> None:
    titles = ["<b>Tea</b>&lt;br/&gt;cups", "5 < 6 > 4", "var aPageStart = (new Date()).getTime();", "I <3 tea"]
    assert clean_titles(pl.DataFrame({"t": titles}), "t")["t"].to_list() == ["Tea cups", "5 < 6 > 4", "", "I <3 tea"]


def test_titles_of_absurd_length_are_cut_at_a_word() -> None:
    frame = pl.DataFrame({"t": ["one two three", "one two", "onetwothree", "one twoo", ""]})
    assert cut_titles(frame, "t", max_chars=7).rows() == [
        ("one two", True),
        ("one two", False),
        ("onetwot", True),
        ("one", True),
        ("", False),
    ]
