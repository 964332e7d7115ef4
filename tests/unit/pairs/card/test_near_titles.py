"""Nearly equal titles are counted once each, a domain at a time."""

import polars as pl

from pairs.card.near_titles import describe_near_titles


def report(x: list[str], y: list[str]) -> dict[str, dict[str, object]]:
    titles, domains = [*x, *y], [0] * len(x) + [1] * len(y)
    return describe_near_titles(pl.DataFrame({"item": range(len(titles)), "domain": domains, "title": titles}))


def test_word_order_case_and_marks_make_no_other_title() -> None:
    near = report(
        ["Green Tea, Organic", "organic GREEN tea!", "Green Tea, Organic", "Black Tea"], ["Green Tea Organic"]
    )
    assert near["X"]["same_words"] == 1
    assert near["X"]["examples"] == [["Green Tea, Organic", "organic GREEN tea!"]]
    assert near["Y"] == {"same_words": 0, "same_words_but_numbers": 0, "examples": [], "longest": 17}


def test_sizes_of_one_product_are_told_apart_from_other_products() -> None:
    near = report(["Zen Tea 20 bags", "Zen Tea 40 bags", "Zen tea 40-Bags", "Zen Coffee 20 bags", "2001", "1984"], [])
    assert near["X"]["same_words"] == 1
    assert near["X"]["same_words_but_numbers"] == 1
    assert near["X"]["examples"] == [["Zen Tea 40 bags", "Zen tea 40-Bags"], ["Zen Tea 20 bags", "Zen Tea 40 bags"]]
