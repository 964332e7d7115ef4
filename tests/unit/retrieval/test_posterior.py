"""Users who hold what is expected, and those who cover it, are those that plain loops find."""

import math
from pathlib import Path

import numpy as np
import pytest

from evaluation.ranked_lists import NO_ITEM, RankedLists
from launch.distributed import ALONE
from launch.errors import InputError
from pairs.tables import Ints, Samples, load_samples
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import unique_histories
from retrieval.kindred import alone
from retrieval.posterior.coverage import cover
from retrieval.posterior.expected import ONE, Expectations, ExpectedItems, expect, has_expectations, load_asking
from retrieval.posterior.find import Holders, filled_up
from retrieval.posterior.holders import HoldersIndex, item_sets, latest_items
from tests.retrieval_runs import NUM_ITEMS, write_expected, write_run
from tests.unit.retrieval.test_kindred import keys_of_users, samples_of


def holders_of(train: Samples, *, most: int | None = None) -> Holders:
    keys = unique_histories(train)
    sets = item_sets(train, keys.row, num_items=NUM_ITEMS)
    index = ShardedIndex(ALONE, HoldersIndex(sets, np.arange(len(keys)), keys.last_time))
    num_holders = np.bincount(sets.indices, minlength=NUM_ITEMS)
    return Holders(index, train, keys, np.diff(sets.indptr), num_holders, most)


def find(
    train: Samples, queries: ExpectedItems, user: Ints, k: int, *, coverage: bool
) -> tuple[np.typing.NDArray[np.float32], Ints]:
    holders = holders_of(train)
    scores, positions = holders.find(alone(queries, user), k, coverage=coverage)
    return scores, holders.keys.samples_at(positions)


def plain_scores(queries: ExpectedItems, row: int, train: Samples) -> list[tuple[float, int, int]]:
    """(-score, sample, user) of every train history, twins too, best first."""
    weight = dict(zip(queries.items[row].tolist(), queries.weights[row].tolist(), strict=True))
    scores = []
    for other in range(len(train)):
        held = set(train.history_of(other).tolist())
        total = sum(weight.get(item, 0) for item in held)
        score = float(np.float32(total / ONE / np.cbrt(len(held))))
        scores.append((-score, int(train.sample[other]), int(train.user[other])))
    return sorted(scores)


def plain_nearest(queries: ExpectedItems, row: int, train: Samples, user: int, k: int) -> list[tuple[int, float]]:
    """The best sample of each other user who holds something."""
    nearest: list[tuple[int, float]] = []
    users = {user}
    for negative, sample, other in plain_scores(queries, row, train):
        if negative < 0 and other not in users and len(nearest) < k:
            users.add(other)
            nearest.append((sample, -negative))
    return nearest


def plain_covering(queries: ExpectedItems, row: int, train: Samples, user: int, k: int) -> list[tuple[int, float]]:
    """One by one, the candidate whose items, less those of the chosen, score highest; of equals the better alone."""
    candidates = [sample for sample, _ in plain_nearest(queries, row, train, user, len(train))]
    left = dict(zip(queries.items[row].tolist(), queries.weights[row].tolist(), strict=True))
    chosen: list[tuple[int, float]] = []
    for _ in range(k):
        best, best_score = -1, 0.0
        for sample in candidates:
            held = set(train.history_of(int(train.row_of(np.array([sample]))[0])).tolist())
            score = float(np.float32(sum(left.get(item, 0) for item in held) / ONE / np.cbrt(len(held))))
            if score > best_score:
                best, best_score = sample, score
        if best < 0:  # the others add nothing: the better alone
            rest = [sample for sample in candidates if sample not in dict(chosen)]
            return [*chosen, *((sample, 0.0) for sample in rest)][:k]
        chosen.append((best, best_score))
        for item in set(train.history_of(int(train.row_of(np.array([best]))[0])).tolist()) & set(left):
            left[item] = 0
    return chosen


def as_pairs(samples: Ints, scores: np.typing.NDArray[np.float32]) -> list[tuple[int, float]]:
    return [(int(sample), float(score)) for sample, score in zip(samples, scores, strict=True) if sample >= 0]


@pytest.mark.parametrize("coverage", [False, True])
def test_users_are_those_that_a_plain_loop_finds(tmp_path: Path, coverage: bool) -> None:
    write_run(tmp_path)
    write_expected(tmp_path)
    train, test = load_samples(tmp_path, "train"), load_samples(tmp_path, "test")
    queries = Expectations(tmp_path).rows("test", test, np.arange(len(test)))
    scores, samples = find(train, queries, test.user, 6, coverage=coverage)
    plain = plain_covering if coverage else plain_nearest
    for row in range(len(test)):
        assert as_pairs(samples[row], scores[row]) == plain(queries, row, train, int(test.user[row]), 6)
    assert len(as_pairs(samples[0], scores[0])) == 0
    assert len(as_pairs(samples[5], scores[5])) == 6


@pytest.mark.parametrize("k", [1, 7, 100])
def test_holders_of_the_past_are_those_that_a_filter_leaves(
    tmp_path: Path, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.posterior.holders.CELLS_AT_ONCE", 150)  # two rows, or one
    write_run(tmp_path, timed=True)
    write_expected(tmp_path)
    train, test = load_samples(tmp_path, "train"), load_samples(tmp_path, "test")
    keys = unique_histories(train)
    assert keys.last_time is not None
    assert test.target_time is not None
    sets = item_sets(train, keys.row, num_items=NUM_ITEMS)
    queries = Expectations(tmp_path).rows("test", test, np.arange(len(test)))
    scores, names = HoldersIndex(sets, np.arange(len(keys)), keys.last_time).search(queries, k, test.target_time)
    all_scores, all_names = HoldersIndex(sets, np.arange(len(keys))).search(queries, len(keys))
    for row in range(len(test)):
        past = (all_names[row] >= 0) & (keys.last_time[all_names[row]] < test.target_time[row])
        expected = [*all_names[row][past].tolist(), *[-1] * k][:k]
        assert names[row].tolist() == expected
        assert scores[row].tolist() == [*all_scores[row][past].tolist(), *[-np.inf] * k][:k]
    assert (names[:, 0] >= 0).any()


def test_a_train_users_own_samples_are_never_found(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_expected(tmp_path)
    train = load_samples(tmp_path, "train")
    queries = Expectations(tmp_path).rows("train", train, np.arange(len(train)))
    for coverage in (False, True):
        samples = find(train, queries, train.user, 5, coverage=coverage)[1]
        users = np.where(samples < 0, -1, train.user[train.row_of(np.maximum(samples, 0))])
        assert not (users == train.user[:, None]).any()
        assert (samples >= 0).sum() > 4 * len(train)


def test_probabilities_are_the_softmax_of_what_the_history_has_not_got() -> None:
    items = np.array([[3, 4, 5, NO_ITEM], [NO_ITEM] * 4, [7, 6, NO_ITEM, NO_ITEM]])
    thirds = [math.log(6), math.log(3), math.log(2), -np.inf]
    scores = np.array([thirds, [-np.inf] * 4, [50, -50, -np.inf, -np.inf]], np.float32)
    samples = samples_of([(1, [7, 4]), (2, [8]), (3, [7, 7])])
    queries = expect(RankedLists(samples.sample, items, scores), samples)
    assert queries.items.tolist() == [[3, NO_ITEM, 5, NO_ITEM], [NO_ITEM] * 4, [NO_ITEM, 6, NO_ITEM, NO_ITEM]]
    assert queries.weights / ONE == pytest.approx(np.array([[0.75, 0, 0.25, 0], [0] * 4, [0, 1, 0, 0]]), abs=1e-6)


def test_one_who_has_twice_as_much_of_everything_else_scores_less() -> None:
    """The expected item alone, among two, among four; bought twice it counts once."""
    train = samples_of([(1, [5, 5]), (2, [5, 6]), (3, [5, 6, 7, 8]), (4, [9])])
    queries = ExpectedItems(np.array([[5]]), np.array([[ONE]]))
    scores, samples = find(train, queries, np.array([0]), 4, coverage=False)
    assert samples.tolist() == [[10, 11, 12, -1]]
    assert scores[0, :3] == pytest.approx([1, 2 ** (-1 / 3), 4 ** (-1 / 3)])


def test_only_the_latest_items_count_where_so_configured() -> None:
    train = samples_of([(1, [5, 6]), (2, [6, 5]), (3, []), (4, [5])])
    kept = latest_items(train, 1)
    assert [kept.history_of(row).tolist() for row in range(4)] == [[6], [5], [], [5]]
    queries = ExpectedItems(np.array([[5]]), np.array([[ONE]]))
    samples = find(kept, queries, np.array([0]), 4, coverage=True)[1]
    assert samples.tolist() == [[11, 13, -1, -1]]
    assert latest_items(train, None) is train


def test_the_second_user_brings_what_the_first_lacks() -> None:
    train = samples_of([(1, [3]), (2, [3]), (3, [4])])
    queries = ExpectedItems(np.array([[3, 4]]), np.array([[ONE // 2, ONE // 4]]))
    assert find(train, queries, np.array([0]), 3, coverage=False)[1].tolist() == [[10, 11, 12]]
    scores, samples = find(train, queries, np.array([0]), 3, coverage=True)
    assert samples.tolist() == [[10, 12, 11]]
    assert scores.tolist() == [[0.5, 0.25, 0.0]]


def test_coverage_of_nothing_takes_nobody() -> None:
    train = samples_of([(1, [3])])
    none = ExpectedItems(np.full((2, 1), NO_ITEM), np.zeros((2, 1), np.int64))
    gains, places = cover(none, np.array([[0], [-1]]), 2, train=train, num_held_BC=np.ones((2, 1), np.int64))
    assert places.tolist() == [[-1, -1], [-1, -1]]
    assert np.isneginf(gains).all()


def test_a_short_row_goes_on_with_others_at_zero() -> None:
    keys = keys_of_users([1, 2, 3, 4])
    scores, samples = np.array([[0.5, -np.inf, -np.inf]], np.float32), np.array([[1, -1, -1]])
    asking = alone(np.zeros((1, 0), np.float32), np.array([4]))
    scores, samples = filled_up(scores, samples, np.array([[1, 3, 0]]), asking, keys=keys)
    assert samples.tolist() == [[1, 0, -1]]  # 3 is the asker's own
    assert scores.tolist() == [[0.5, 0.0, -np.inf]]


def test_lists_are_joined_by_sample_and_of_the_right_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert not has_expectations(tmp_path)
    write_expected(tmp_path)
    assert has_expectations(tmp_path)
    test, train = load_samples(tmp_path, "test"), load_samples(tmp_path, "train")
    whole = Expectations(tmp_path).rows("test", test, np.arange(len(test)))
    rows = np.array([4, 2, 9])
    some = Expectations(tmp_path).rows("test", test, rows)
    assert some.items.tolist() == whole.items[rows].tolist()
    folder = tmp_path / "graph" / "left_out"
    assert len(load_asking(tmp_path, "train", has_lists=True)) == len(train)
    np.save(folder / "samples.npy", train.sample + len(train))
    with pytest.raises(InputError, match="not of the samples of pair/train"):
        load_asking(tmp_path, "train", has_lists=True)
    assert len(load_asking(tmp_path, "train", has_lists=False)) == len(train)
    np.save(folder / "samples.npy", train.sample[::-1])
    with pytest.raises(InputError, match="run `kinrec pretrain` again"):
        Expectations(tmp_path).rows("train", train, np.arange(3))


def test_users_who_differ_by_the_last_bit_of_a_score_are_found_in_its_order() -> None:
    # each holds one item alone; weights differ by 1 of 2^24, so float32 scores tie or differ by their last bit
    num_users, k = 3000, 40
    train = samples_of([(user, [user]) for user in range(num_users)])
    sets = item_sets(train, np.arange(num_users), num_items=num_users)
    weights = np.random.default_rng(1).permutation(ONE - np.arange(num_users))
    queries = ExpectedItems(np.arange(num_users)[None, :], weights[None, :])
    scores, ids = HoldersIndex(sets, np.arange(num_users)).search(queries, k)
    exact = (weights / ONE).astype(np.float32)
    best = np.lexsort((np.arange(num_users), -exact))[:k]
    assert ids[0].tolist() == best.tolist()
    assert scores[0].tolist() == exact[best].tolist()
