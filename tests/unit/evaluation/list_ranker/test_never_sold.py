"""What nobody has bought stands where words put it, and nothing else changes its order."""

import dataclasses

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.final import ListRanker, fit_list_ranker, refit_list_ranker
from evaluation.list_ranker.fit import Lists, make_lists
from evaluation.list_ranker.never_sold import Slots, put_into
from evaluation.matrices import DAY
from evaluation.metrics.ranks import batches
from evaluation.systems.baseline_table import WORDS
from pairs.tables import Samples
from tests.evaluation_runs import sources_of
from tests.unit.evaluation.list_ranker.test_list_ranker import (
    CONFIG,
    ITEMS,
    PARAMETERS,
    TRAIN,
    VALID,
    bank_of,
    fitted,
    tasteful,
)

NEW = (3, 17, 33, 51, 70)
"""Items that nobody buys."""


def without_new(num_items: int = 80) -> "np.typing.NDArray[np.int64]":
    """Each new item's purchases are those of another item of its taste."""
    new_id = np.arange(num_items)
    for item in NEW:
        new_id[item] = item + 8 if (item + 8) // 40 == item // 40 else item - 8
    return new_id


def in_time(samples: Samples, *, since: int) -> Samples:
    """Targets of a hundred days, in any order; each history on the day before."""
    target_time = since * DAY + np.random.default_rng(since).integers(100 * DAY, size=len(samples))
    return dataclasses.replace(
        samples,
        target_time=target_time,
        history_time=target_time[samples.item_rows] - DAY + np.arange(len(samples.history)) % 7,
    )


def none_new(samples: Samples) -> Samples:
    return dataclasses.replace(samples, target=without_new()[samples.target], history=without_new()[samples.history])


KNOWN = none_new(TRAIN)


@pytest.mark.parametrize("seed", range(20))
def test_items_take_their_slots_and_the_others_keep_their_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.permutation(30).astype(np.float32)
    column = random.permutation(30)[:6]
    place = np.sort(random.permutation(20)[:6])
    before = [item for item in np.argsort(-scores).tolist() if item not in column]
    final = scores[None].copy()
    put_into(final, Slots(np.zeros(6, np.int64), column, place))
    expected = list(before)
    for item, at in zip(column.tolist(), place.tolist(), strict=True):
        expected.insert(at, item)
    assert np.argsort(-final[0], kind="stable").tolist() == expected


def test_rows_of_a_batch_are_as_each_alone() -> None:
    random = np.random.default_rng(4)
    scores = random.random((5, 30)).astype(np.float32)
    row = random.permutation(np.repeat([0, 1, 3], 4))
    column = random.permutation(30)[:12]
    place = random.integers(0, 9, 12)
    together, alone = scores.copy(), scores.copy()
    put_into(together, Slots(row, column, place))
    for one in (0, 1, 3):
        own = row == one
        put_into(alone[one : one + 1], Slots(row[own] * 0, column[own], place[own]))
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[[2, 4]], scores[[2, 4]])
    nothing = np.zeros(0, dtype=np.int64)
    put_into(together, Slots(nothing, nothing, nothing))
    np.testing.assert_array_equal(together, alone)


def test_equal_places_stand_together_and_what_is_out_stays_out() -> None:
    final = np.array([[5, 4, 3, 2, -np.inf]], dtype=np.float32)
    put_into(final, Slots(np.zeros(3, np.int64), np.array([2, 3, 4]), np.array([1, 1, 0])))
    assert np.isneginf(final[0, 4])
    assert final[0, 2] == final[0, 3]
    assert final[0, 0] > final[0, 2] > final[0, 1]
    only = np.array([[1, 2]], dtype=np.float32)
    put_into(only, Slots(np.zeros(2, np.int64), np.array([0, 1]), np.array([0, 1])))
    assert only[0, 0] > only[0, 1]


def over_time() -> ListRanker:
    """Valid's users buy the new items: the catalogue has them for that alone."""
    known, valid = in_time(none_new(tasteful(800, seed=1)), since=1), in_time(VALID, since=101)
    ranker = fit_list_ranker(
        known, valid, bank_of(known), PARAMETERS, left_out={}, chronological=True, config=CONFIG, seed=1
    )
    assert ranker is not None
    return refit_list_ranker(ranker, valid, sources_of(valid), CONFIG, seed=1)


@pytest.mark.parametrize("split", ["of users, asked for", "of time"])
def test_the_final_list_has_new_items_where_words_have_them(split: str) -> None:
    ranker = over_time() if split == "of time" else dataclasses.replace(fitted(KNOWN, VALID, ITEMS), by_words=True)
    for batch in batches(in_time(VALID, since=101) if split == "of time" else VALID, ITEMS):
        raw = ranker.bank.scores(batch)
        final_BC = ranker.score(batch, raw, raw["ridge"], {}, filter_history=False)
        candidates = ranker.bank.candidates(batch, raw, depth=ranker.depth, filter_history=False)
        never_P = ranker.bank.never_sold(batch, candidates)
        assert never_P.tolist() == np.isin(batch.item_at(candidates.row, candidates.column), NEW).tolist()
        named_P = never_P & (candidates.word_place < ranker.depth)
        assert named_P.any()
        for row, column, place in zip(
            candidates.row[named_P], candidates.column[named_P], candidates.word_place[named_P], strict=True
        ):
            better = int((raw[WORDS][row] > raw[WORDS][row, column] * (1 + 1e-3)).sum())
            assert better <= place, "words have as many in front of it, or it is one of some equals"
            assert int((final_BC[row] > final_BC[row, column]).sum()) <= place


def test_lists_of_what_was_sold_hold_nothing_else() -> None:
    config = EvaluationConfig(ranker_depth=20)
    asked = dataclasses.replace(VALID, target=np.where(VALID.domain == 0, NEW[0], NEW[-1]))
    assert len(make_lists(bank_of(KNOWN), asked, config, sold_only=True)) == 0
    assert len(make_lists(bank_of(KNOWN), asked, config)) > 0
    assert len(make_lists(bank_of(TRAIN), asked, config, sold_only=True)) > 0
    lists = make_lists(bank_of(KNOWN), VALID, config, sold_only=True)
    assert len(lists) > 0
    assert least_popular(lists) > 0


def least_popular(lists: Lists) -> float:
    return float(lists.features[:, bank_of(KNOWN).names.index("popularity score")].min())
