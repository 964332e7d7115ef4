"""Candidates: the union of two lists, and lists to learn from that follow from the seed and the sample alone."""

import numpy as np

from evaluation.ranked_lists import NO_ITEM
from pairs.tables import Ints
from retrieval.posterior.expected import ExpectedItems
from training.prompts.groups import Votes
from training.ranking.candidates import CandidateLists, holds_target, join_candidates, lists_to_learn

EXPECTED = ExpectedItems(
    items=np.array([[7, NO_ITEM, 3, 9], [NO_ITEM, NO_ITEM, NO_ITEM, NO_ITEM], [1, 2, 3, 4]]),
    weights=np.ones((3, 4), int),
)
VOTES = Votes(
    row=np.array([0, 0, 0, 2]), item=np.array([3, 5, 8, 6]), votes=np.array([3, 2, 1, 1]), buyers=np.ones(4, int),
    place=np.array([0, 1, 2, 0]),
)  # fmt: skip


def listed(candidates: CandidateLists) -> list[list[int]]:
    return [part.tolist() for part in np.split(candidates.items, candidates.offsets[1:-1])]


def test_candidates_are_the_best_of_both_each_once() -> None:
    joined = join_candidates(EXPECTED, VOTES, most_expected=2, most_votes=2, count=3)
    assert listed(joined) == [[3, 5, 7], [], [1, 2, 6]]
    assert joined.rows.tolist() == [0, 0, 0, 2, 2, 2]


def test_without_evidence_votes_are_all_there_is() -> None:
    joined = join_candidates(None, VOTES, most_expected=2, most_votes=9, count=3)
    assert listed(joined) == [[3, 5, 8], [], [6]]


def test_a_target_is_found_among_candidates_or_not() -> None:
    joined = join_candidates(EXPECTED, VOTES, most_expected=2, most_votes=2, count=3)
    assert holds_target(joined, np.array([7, 7, 3])).tolist() == [True, False, False]


def lists_of(rows: Ints, *, seed: int = 1) -> list[list[int]]:
    candidates = [np.arange(40) + row for row in rows]
    joined = CandidateLists(np.concatenate(candidates), np.arange(len(rows) + 1) * 40)
    drawn = lists_to_learn(joined, sample=100 + rows, target=rows + 3 * (rows % 2) + 38, negatives=6, seed=seed)
    return listed(drawn)


def test_a_list_has_its_target_first_and_others_once() -> None:
    for row, items in zip(range(8), lists_of(np.arange(8)), strict=True):
        assert items[0] == row + 3 * (row % 2) + 38  # of odd rows no candidate, and put in
        assert len(items) == len(set(items)) == 7
        assert set(items[1:]) <= set(range(row, row + 40)) - {items[0]}


def test_a_draw_does_not_depend_on_its_batch_but_on_the_seed() -> None:
    together = lists_of(np.arange(8))
    assert [lists_of(np.array([row]))[0] for row in range(8)] == together
    assert lists_of(np.arange(8)[::-1])[::-1] == together
    assert lists_of(np.arange(8), seed=2) != together


def test_every_candidate_is_drawn_about_as_often_as_the_others() -> None:
    rows = np.arange(3000) * 40
    drawn = np.concatenate([np.array(items[1:]) - row for row, items in zip(rows, lists_of(rows), strict=True)])
    counts = np.bincount(drawn, minlength=40)[:38]
    assert counts.min() > 0.75 * counts.mean()
    assert counts.max() < 1.25 * counts.mean()


def test_a_short_list_is_taken_whole() -> None:
    few = CandidateLists(np.array([4, 5, 6, 9]), np.array([0, 3, 3, 4]))
    drawn = lists_to_learn(few, sample=np.arange(3), target=np.array([5, 1, 9]), negatives=6, seed=1)
    assert [sorted(items) for items in listed(drawn)] == [[4, 5, 6], [1], [9]]
