"""Neighbours are other users, each once, as many as there are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from launch.distributed import ALONE
from pairs.tables import Ints, Samples, load_samples
from retrieval.fixed_point import to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys, unique_histories
from retrieval.kindred import alone, find_kindred
from tests.retrieval_runs import write_run

CPU = torch.device("cpu")
TORCH = IndexConfig(kind="exact", backend="torch")


def samples_of(rows: list[tuple[int, list[int]]]) -> Samples:
    """Samples 10, 11, ... of (user, history)."""
    count = len(rows)
    return Samples(
        sample=np.arange(10, 10 + count),
        user=np.array([user for user, _ in rows]),
        domain=np.zeros(count, np.int64),
        target=np.zeros(count, np.int64),
        history=np.array([item for _, history in rows for item in history], dtype=np.int64),
        offsets=np.cumsum([0, *(len(history) for _, history in rows)]),
        history_time=None,
        target_time=None,
    )


def ask_all(
    keys: Keys, asking_user: Ints, k: int, *, last_time: Ints | None = None, before: Ints | None = None
) -> Ints:
    """Key i lies at cosine falling with i; every query is the same: the order is that of the keys."""
    angles = np.linspace(0, 1.5, len(keys))
    vectors = to_grid(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    index = ShardedIndex(ALONE, index_of(TORCH, vectors, np.arange(len(keys)), times=last_time, device=CPU).index)
    timed = Keys(sample=keys.sample, row=keys.row, user=keys.user, last_time=last_time)
    query = np.tile(np.array([[1.0, 0.0]], np.float32), (len(asking_user), 1))
    return keys.samples_at(find_kindred(index, alone(query, asking_user, before), k, keys=timed)[1])


def keys_of_users(users: list[int]) -> Keys:
    return Keys(
        sample=np.arange(len(users)) + 100, row=np.arange(len(users)), user=np.array(users, np.int64), last_time=None
    )


def test_twin_samples_are_one_key_with_the_lower_sample_id() -> None:
    keys = unique_histories(samples_of([(4, [1, 2]), (4, [1, 2]), (5, [1, 2]), (4, [2, 1]), (4, [1, 2, 3]), (6, [])]))
    assert keys.sample.tolist() == [10, 12, 13, 14]
    assert keys.user.tolist() == [4, 5, 4, 4]


def test_a_users_own_samples_are_never_neighbours_and_others_come_once() -> None:
    samples = ask_all(keys_of_users([1, 1, 2, 2, 3, 1, 4]), np.array([1, 2, 9]), 3)
    assert samples.tolist() == [[102, 104, 106], [100, 104, 106], [100, 102, 104]]


@pytest.mark.parametrize("own", [1, 20, 100, 400])
def test_a_user_of_many_samples_still_gets_k_neighbours(own: int) -> None:
    keys = keys_of_users([7] * own + [1, 2, 3, 4, 5])
    assert ask_all(keys, np.array([7]), 5).tolist() == [[100 + own + place for place in range(5)]]


def test_one_neighbour_of_many_samples_does_not_crowd_out_the_others() -> None:
    assert ask_all(keys_of_users([8] * 300 + [1, 2]), np.array([7]), 3).tolist() == [[100, 400, 401]]


def test_users_of_several_histories_each_are_found_in_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    depths: list[int] = []
    search = ShardedIndex.search

    def counted(self: Any, queries: Any, depth: int, **options: Any) -> Any:  # Any: passed through
        depths.append(depth)
        return search(self, queries, depth, **options)

    monkeypatch.setattr(ShardedIndex, "search", counted)
    keys = keys_of_users([user for user in range(100) for _ in range(3)])
    assert keys.per_user == 3
    assert ask_all(keys, np.array([7]), 50).shape == (1, 50)
    assert depths == [50 * 3 + 16]


def test_fewer_neighbours_only_where_fewer_users_exist() -> None:
    samples = ask_all(keys_of_users([1, 1, 2, 3]), np.array([1, 9]), 4)
    assert samples.tolist() == [[102, 103, -1, -1], [100, 102, 103, -1]]


def test_only_histories_that_end_before_the_target_count() -> None:
    keys = keys_of_users(list(range(60)))
    last_time = np.arange(60)[::-1].copy()  # the nearest ends last
    samples = ask_all(keys, np.array([99, 99, 99]), 2, last_time=last_time, before=np.array([100, 3, 0]))
    assert samples.tolist() == [[100, 101], [157, 158], [-1, -1]]


def test_neighbours_equal_a_plain_loop(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    keys = unique_histories(train)
    random = np.random.default_rng(1)
    table = to_unit_length(random.normal(size=(len(keys), 4)).astype(np.float32))
    vectors = to_grid(table)
    query_of = {int(keys.user[place]): vectors[place] for place in range(len(keys))}
    users = np.unique(keys.user)
    queries = np.stack([query_of[int(user)] for user in users])
    index = ShardedIndex(ALONE, index_of(TORCH, vectors, np.arange(len(keys)), device=CPU).index)
    samples = keys.samples_at(find_kindred(index, alone(queries, users), 5, keys=keys)[1])
    for row, user in enumerate(users):
        order = sorted(range(len(keys)), key=lambda place: (-float(queries[row] @ vectors[place]), place))
        expected: list[int] = []
        seen = {int(user)}
        for place in order:
            if int(keys.user[place]) not in seen and len(expected) < 5:
                seen.add(int(keys.user[place]))
                expected.append(int(keys.sample[place]))
        assert samples[row].tolist() == expected
