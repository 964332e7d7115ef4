"""From texts to ranked lists: what a text stands for, in which order items come, and what empty answers give."""

import numpy as np
import pytest

from evaluation.ranked_lists import NO_ITEM
from pairs.tables import Items
from retrieval.grounding import TitleGrounder
from training.answers.answer_lists import Answers, ExactTitles, rank_answers

TITLES = [
    "red paper", "blue paper", "soft brush", "red  paper", "ink",  # X: items 0 and 3 bear one title
    "steel desk lamp", "steel desk", "paper clip", "red paper", "stapler",  # Y: item 8 has an X title too
]  # fmt: skip
ITEMS = Items(
    domain=np.array([0] * 5 + [1] * 5, dtype=np.int8),
    source_ids=[str(item) for item in range(10)],
    titles=TITLES,
    attributes=[""] * 10,
    train_count=np.array([1, 1, 1, 5, 1, 1, 1, 1, 9, 1]),
)
GROUNDER = TitleGrounder(ITEMS)


def ranked(texts: list[str], *, domain: int, scores: list[float] | None = None, depth: int = 6) -> Answers:
    return rank_answers(
        np.array([42]),
        domain=np.array([domain]),
        texts=[texts],
        text_scores=[scores or [-float(place) for place in range(len(texts))]],
        exact=ExactTitles(ITEMS),
        grounder=GROUNDER,
        items=ITEMS,
        depth=depth,
    )


def items_of(answers: Answers) -> list[int]:
    return [int(item) for item in answers.lists.items[0] if item != NO_ITEM]


def test_items_come_in_the_order_of_the_texts_that_name_them() -> None:
    assert items_of(ranked(["stapler", "steel desk", "paper clip"], domain=1))[:3] == [9, 6, 7]


def test_a_title_of_several_items_gives_all_of_them_the_popular_first() -> None:
    answers = ranked(["red paper", "ink"], domain=0)
    assert items_of(answers)[:3] == [3, 0, 4]
    assert answers.grounded == [[3, 4]]


def test_a_title_that_both_domains_have_stands_for_the_asked_one() -> None:
    assert ranked(["red paper"], domain=1).grounded == [[8]]
    assert ranked(["red paper"], domain=0).grounded == [[3]]


def test_a_text_of_the_other_domain_is_seen_and_leaves_the_list_to_the_asked_one() -> None:
    answers = ranked(["steel desk", "soft brush"], domain=0)
    assert answers.grounded == [[6, 2]]
    assert answers.in_domain == [[False, True]]
    assert items_of(answers)[0] == 2
    assert all(item < 5 for item in items_of(answers))


def test_the_rest_of_the_list_is_what_bm25_finds_of_the_domain() -> None:
    items = items_of(ranked(["desk lamp of steel"], domain=1))
    assert items == [5, 6]


def test_an_item_stands_once_where_it_first_appears() -> None:
    answers = ranked(["ink", "ink", "red paper", "ink"], domain=0)
    assert items_of(answers)[:3] == [4, 3, 0]
    assert len(set(items_of(answers))) == len(items_of(answers))
    assert answers.texts == [["ink", "ink", "red paper", "ink"]]


def test_scores_fall_strictly_and_tell_likely_beams_from_unlikely_ones() -> None:
    answers = ranked(["stapler", "steel desk", "paper clip"], domain=1, scores=[-1.0, -1.5, -30.0])
    scores = answers.lists.scores[0][np.isfinite(answers.lists.scores[0])]
    assert (np.diff(scores) < 0).all()
    assert scores[:3] == pytest.approx([2, 1 + np.exp(-0.5), 1])


def test_empty_answers_stand_for_nothing_and_give_an_empty_list() -> None:
    answers = ranked(["", "  "], domain=0)
    assert items_of(answers) == []
    assert answers.grounded == [[-1, -1]]
    assert answers.in_domain == [[False, False]]


def test_a_sample_in_company_is_ranked_as_if_alone() -> None:
    texts = [["stapler", "desk"], [""], ["red paper", "lamp", "paper"]]
    domain = np.array([1, 0, 0])
    scores = [[-1.0, -2.0], [-1.0], [-3.0, -3.5, -4.0]]
    together = rank_answers(
        np.array([3, 1, 2]), domain=domain, texts=texts, text_scores=scores, exact=ExactTitles(ITEMS),
        grounder=GROUNDER, items=ITEMS, depth=6,
    )  # fmt: skip
    for row in range(3):
        alone = ranked(texts[row], domain=int(domain[row]), scores=scores[row])
        assert np.array_equal(alone.lists.items[0], together.lists.items[row])
        assert np.array_equal(alone.lists.scores[0], together.lists.scores[row])
        assert alone.grounded[0] == together.grounded[row]
