"""Users are named by the likeliest items that have few enough holders, and scored by all that is expected."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.ranked_lists import NO_ITEM
from launch.artifacts import read_json
from launch.distributed import ALONE
from launch.tracking import Tracker
from pairs.tables import Ints, load_samples
from retrieval.config import RetrievalConfig
from retrieval.kindred import alone
from retrieval.neighbours import retrieve
from retrieval.posterior.expected import Expectations, ExpectedItems
from retrieval.posterior.find import Holders
from retrieval.posterior.likeliest import holders_of_lists, likeliest
from tests.retrieval_runs import write_expected, write_run
from tests.unit.retrieval.test_posterior import as_pairs, holders_of, plain_scores

HOLDERS = np.array([5, 1, 100, 2, 40, 7])


def kept_of(items: list[list[int]], weights: list[list[int]], most: list[int]) -> list[list[int]]:
    kept = likeliest(ExpectedItems(np.array(items), np.array(weights)), HOLDERS, np.array(most))
    assert ((kept.weights > 0) == (kept.items != NO_ITEM)).all()
    return [[item for item in row if item != NO_ITEM] for row in kept.items.tolist()]


def test_all_of_every_list_is_kept_where_it_has_few_holders() -> None:
    assert kept_of([[0, 1, NO_ITEM], [3, 5, 1]], [[3, 2, 0], [5, 4, 1]], [6, 10]) == [[0, 1], [3, 5, 1]]


def test_the_likeliest_are_kept_and_what_does_not_fit_is_passed_over() -> None:
    kept = kept_of([[0, 1, 4, 3], [4, 2, 5, 0]], [[9, 1, 8, 3], [1, 2, 4, 3]], [8, 45])
    assert kept == [[0, 1, 3], [5, 0]]  # 5 + 40 is too much, 5 + 2 + 1 is not; 7 + 5 + 100 and 7 + 5 + 40 are


def test_where_nothing_fits_the_item_with_the_fewest_holders_stays() -> None:
    assert kept_of([[2, 4, NO_ITEM], [NO_ITEM] * 3], [[9, 1, 0], [0, 0, 0]], [30, 30]) == [[4], []]


def asked(tmp_path: Path, *, timed: bool) -> tuple[Holders, ExpectedItems, Ints, Ints | None]:
    write_run(tmp_path, num_train_users=150, timed=timed)
    write_expected(tmp_path)
    train, test = load_samples(tmp_path, "train"), load_samples(tmp_path, "test")
    queries = Expectations(tmp_path).rows("test", test, np.arange(len(test)))
    return holders_of(train, most=60), queries, test.user, test.target_time


@pytest.mark.parametrize("timed", [False, True])
def test_who_is_named_is_scored_by_all_that_is_expected(tmp_path: Path, timed: bool) -> None:
    holders, queries, user, before = asked(tmp_path, timed=timed)
    asking = alone(queries, user, before)
    assert (holders_of_lists(queries, holders.num_holders).sum(axis=1) > 60).any()
    assert holders.may_miss(12)
    scores, positions = holders.find(asking, 5, coverage=False)
    exact = holders_of(holders.train)
    assert not exact.may_miss(12)
    all_scores, all_positions = exact.find(asking, 5, coverage=False)
    sample_BK = holders.keys.samples_at(positions)
    for row in range(len(queries)):
        true = {sample: -negative for negative, sample, _ in plain_scores(queries, row, holders.train)}
        pairs = as_pairs(sample_BK[row], scores[row])
        assert all(true[sample] == score for sample, score in pairs)
        assert [score for _, score in pairs] == sorted((score for _, score in pairs), reverse=True)
    present = all_positions >= 0
    same = (positions[:, :, None] == all_positions[:, None, :]).any(axis=1) & present
    assert same.sum() > 0.7 * present.sum()
    assert scores[present].sum() > 0.9 * all_scores[present].sum()


@pytest.mark.parametrize("coverage", [False, True])
def test_a_sample_with_few_holders_is_answered_exactly_beside_others(tmp_path: Path, coverage: bool) -> None:
    holders, queries, user, _ = asked(tmp_path, timed=False)
    within = np.flatnonzero(np.append(holders.num_holders, 0)[queries.items].sum(axis=1) <= 60)
    assert 0 < len(within) < len(queries)
    scores, positions = holders.find(alone(queries, user), 5, coverage=coverage)
    all_scores, all_positions = holders_of(holders.train).find(alone(queries, user), 5, coverage=coverage)
    assert np.array_equal(positions[within], all_positions[within])
    assert np.array_equal(scores[within], all_scores[within])


def test_who_asks_early_looks_up_more_of_what_is_expected(tmp_path: Path) -> None:
    holders, queries, user, before = asked(tmp_path, timed=True)
    assert before is not None
    last = holders.keys.last_time
    assert last is not None
    most = holders._most_of(alone(queries, user, np.full(len(user), last.max() + 1)))
    assert (most == 60).all()
    early = holders._most_of(alone(queries, user, np.full(len(user), np.quantile(last, 0.1).astype(np.int64))))
    assert (early > 400).all()


def test_the_quality_says_what_is_missed(tmp_path: Path) -> None:
    write_run(tmp_path, num_train_users=150)
    write_expected(tmp_path)
    config = RetrievalConfig(num_neighbours=4, most_holders=40, item_dim=8, text_dim=6, quality_at=[1])
    retrieve(config, run_dir=tmp_path, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))
    quality = read_json(tmp_path / "neighbours" / "quality.json")
    assert all(0.3 < part["posterior_recall"] < 1 for part in quality.values())
    assert read_json(tmp_path / "neighbours" / "meta.json")["most_holders"] == 40
