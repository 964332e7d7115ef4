"""Text to items: exact titles, BM25, ties, and text that is about nothing."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from launch.errors import InputError
from launch.state.kept import KeptArrays
from pairs.tables import Items
from retrieval.grounding import TitleGrounder, first_places


def catalogue(titles: list[str], counts: list[int] | None = None, num_x: int | None = None) -> Items:
    count = len(titles)
    return Items(
        domain=(np.arange(count) >= (count if num_x is None else num_x)).astype(np.int8),
        source_ids=[str(item) for item in range(count)],
        titles=titles,
        attributes=[""] * count,
        train_count=np.array(counts or [0] * count, dtype=np.int64),
    )


def slow_bm25(titles: list[str], text: str, k1: float = 1.5, b: float = 0.75) -> list[float]:
    """Robertson's formula with Lucene's idf, one title at a time."""
    words = [re.findall(r"\w+", title.lower()) for title in titles]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for title in words:
        score = 0.0
        for word in re.findall(r"\w+", text.lower()):
            holders = sum(word in other for other in words)
            if holders:
                idf = math.log(1 + (len(words) - holders + 0.5) / (holders + 0.5))
                often = title.count(word)
                score += idf * often / (often + k1 * (1 - b + b * len(title) / mean))
        scores.append(score)
    return scores


def test_ranking_and_scores_equal_a_slow_reference() -> None:
    random = np.random.default_rng(0)
    words = ["red", "blue", "5", "pack", "of", "pens", "a", "brush", "ink"]
    titles = [" ".join(random.choice(words, random.integers(1, 7))) for _ in range(40)]
    counts = random.integers(0, 3, 40).tolist()
    texts = [" ".join(random.choice([*words, "unheard"], 5)) for _ in range(25)]
    grounded = TitleGrounder(catalogue(titles, counts)).ground(texts, 10)
    for row, text in enumerate(texts):
        expected = np.array(slow_bm25(titles, text))
        items = grounded.items[row]
        if " ".join(text.split()) not in titles:
            assert grounded.scores[row] == pytest.approx(expected[items], rel=1e-4)
        assert sorted(expected[items], reverse=True) == pytest.approx(sorted(expected, reverse=True)[:10], rel=1e-4)


def test_an_exact_title_comes_first_whatever_bm25_says() -> None:
    titles = ["red pen", "red red red pen pen", "blue pen"]
    grounded = TitleGrounder(catalogue(titles)).ground(["Red, PEN!"], 3)
    assert grounded.items[0].tolist() == [0, 1, 2]
    assert (np.diff(grounded.scores[0]) < 0).all()
    assert TitleGrounder(catalogue(titles)).ground(["pen red"], 1).items[0, 0] != 2


def test_equal_titles_go_to_the_popular_item_then_the_lower_id() -> None:
    titles = ["ink", "blue ink", "blue ink", "blue ink", "blue ink"]
    grounder = TitleGrounder(catalogue(titles, [9, 1, 4, 4, 0]))
    assert grounder.ground(["blue ink"], 5).items[0].tolist() == [2, 3, 1, 4, 0]
    assert grounder.ground(["some blue"], 2).items[0].tolist() == [2, 3]  # the tie runs over the edge


@pytest.mark.parametrize("text", ["", "  ", "?!", "zzz qqq"])
def test_text_without_a_known_word_is_grounded_to_no_item(text: str) -> None:
    grounded = TitleGrounder(catalogue(["red pen", ""])).ground([text, "red"], 2)
    assert grounded.items.tolist() == [[-1, -1], [0, -1]]
    assert np.isneginf(grounded.scores[0]).all()


def test_titles_without_overlap_are_not_listed() -> None:
    grounder = TitleGrounder(catalogue(["red pen", "blue ink", "red ink"]))
    assert grounder.ground(["pen"], 3).items.tolist() == [[0, -1, -1]]


def test_one_domain_alone_can_be_asked_for() -> None:
    grounder = TitleGrounder(catalogue(["red pen", "blue pen", "red pen"], num_x=2))
    assert grounder.ground(["red pen"], 3, domain=1).items.tolist() == [[2, -1, -1]]
    assert grounder.ground(["red pen"], 3, domain=0).items.tolist() == [[0, 1, -1]]


def test_a_catalogue_without_words_is_refused() -> None:
    with pytest.raises(InputError, match="no title"):
        TitleGrounder(catalogue(["", "-"]))


def test_a_text_leaves_nothing_to_the_next() -> None:
    items = catalogue(["red ink", "red pen", "blue ink", "paper"], num_x=2)
    grounder = TitleGrounder(items)
    alone = grounder.ground(["ink paper"], 4)
    grounder.ground(["red red pen", "blue ink"], 4, domain=0)
    again = grounder.ground(["ink paper"], 4)
    assert again.items.tolist() == alone.items.tolist()
    assert again.scores.tolist() == alone.scores.tolist()


def test_places_that_are_named_twice_take_one_place_of_the_best() -> None:
    scores = np.array([0.0, 3.0, 1.0, 3.0, 2.0, 0.5], dtype=np.float32)
    named = np.array([0, 5, 3, 3, 1, 4, 4, 2, 1, 5])
    assert first_places(scores, named, 3, most_times=2).tolist() == [1, 3, 4]
    assert first_places(scores, named, 9, most_times=2).tolist() == [1, 3, 4, 2, 5]


def test_a_kept_index_finds_what_a_fresh_one_finds(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    words = ["rosé", "blue", "5", "pack", "of", "pens", "a", "筆", "ink"]
    titles = [" ".join(random.choice(words, random.integers(0, 5))) for _ in range(60)]
    items = catalogue(titles, random.integers(0, 3, 60).tolist(), num_x=30)
    texts = [" ".join(random.choice([*words, "unheard"], 3)) for _ in range(25)] + titles[:10] + ["", "ROSÉ!"]
    fresh = TitleGrounder(items)
    for _ in range(2):  # made and kept, then read
        kept = TitleGrounder(items, kept=KeptArrays(tmp_path, "a"))
        for domain in (None, 0, 1):
            one, other = fresh.ground(texts, 7, domain=domain), kept.ground(texts, 7, domain=domain)
            assert np.array_equal(one.items, other.items)
            assert np.array_equal(one.scores, other.scores)
    assert (tmp_path / "title_words.safetensors").is_file()
