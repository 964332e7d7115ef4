"""Every index finds the same keys in the same order, ties by lower id."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.tables import Ints
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.exact import ExactIndex
from retrieval.indexes.faiss_index import FaissIndex
from retrieval.indexes.sharded import build_index, merge_shards
from retrieval.indexes.topk import pack, unpack

CPU = torch.device("cpu")


def slow_search(keys: Floats, ids: Ints, queries: Floats, k: int) -> list[list[tuple[float, int]]]:
    """Sort everything, in double precision."""
    nearest = []
    for query in queries.astype(np.float64):
        pairs = sorted((-float(np.sum(query * key)), int(name)) for key, name in zip(keys, ids, strict=True))
        nearest.append([(-score, name) for score, name in pairs[:k]])
    return nearest


def unit_vectors(count: int, dim: int, seed: int) -> Floats:
    return to_grid(to_unit_length(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)))


@pytest.mark.parametrize("kind", [ExactIndex, FaissIndex])
@pytest.mark.parametrize("k", [1, 7, 50])
def test_search_equals_sorting_everything(kind: type[ExactIndex], k: int) -> None:
    keys, queries = unit_vectors(50, 12, 1), unit_vectors(9, 12, 2)
    ids = np.arange(50) * 3 + 5
    scores, names = kind(keys, ids, device=CPU).search(queries, k)
    for row, expected in enumerate(slow_search(keys, ids, queries, k)):
        assert names[row].tolist() == [name for _, name in expected]
        assert scores[row].tolist() == [score for score, _ in expected]


@pytest.mark.parametrize("kind", [ExactIndex, FaissIndex])
def test_ties_go_to_the_lower_id(kind: type[ExactIndex]) -> None:
    few = unit_vectors(4, 6, 3)
    keys = np.concatenate([few] * 40)  # every key forty times: the tie runs over the edge of any k
    scores, names = kind(keys, np.arange(160), device=CPU).search(few, 5)
    assert names.tolist() == [[row, row + 4, row + 8, row + 12, row + 16] for row in range(4)]
    assert (scores == scores[:, :1]).all()


@pytest.mark.parametrize("kind", [ExactIndex, FaissIndex])
def test_queries_of_zeros_find_the_lowest_ids(kind: type[ExactIndex]) -> None:
    names = kind(unit_vectors(30, 4, 5), np.arange(30), device=CPU).search(np.zeros((2, 4), np.float32), 3)[1]
    assert names.tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("kind", ["torch", "faiss"])
def test_more_asked_than_there_are_keys(kind: str) -> None:
    index = build_index("torch" if kind == "torch" else "faiss", unit_vectors(3, 4, 0), np.arange(3), device=CPU)
    scores, names = index.search(unit_vectors(2, 4, 1), 5)
    assert (names[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()
    assert (np.sort(names[:, :3]) == [0, 1, 2]).all()


@pytest.mark.parametrize("kind", [ExactIndex, FaissIndex])
def test_an_empty_shard_answers_with_nothing(kind: type[ExactIndex]) -> None:
    empty = kind(np.empty((0, 4), np.float32), np.empty(0, np.int64), device=CPU)
    scores, names = empty.search(unit_vectors(2, 4, 1), 3)
    assert (names == -1).all()
    assert np.isneginf(scores).all()


def test_blocks_of_keys_and_queries_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries, ids = unit_vectors(200, 8, 1)[:, :2], unit_vectors(30, 8, 2)[:, :2], np.arange(200)
    whole = ExactIndex(keys, ids, device=CPU).search(queries, 6)
    monkeypatch.setattr("retrieval.indexes.exact.SCORES_AT_ONCE", {"cpu": 100})
    monkeypatch.setattr("retrieval.indexes.exact.QUERIES_AT_ONCE", 7)
    blocked = ExactIndex(keys, ids, device=CPU).search(queries, 6)
    assert np.array_equal(whole[0], blocked[0])
    assert np.array_equal(whole[1], blocked[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 12))
def test_merged_shards_equal_one_index_bit_for_bit(seed: int, num_shards: int, k: int) -> None:
    random = np.random.default_rng(seed)
    keys = to_grid(to_unit_length(random.integers(-1, 2, (23, 3)).astype(np.float32)))  # many ties
    queries = to_grid(to_unit_length(random.normal(size=(5, 3)).astype(np.float32)))
    ids = np.sort(random.choice(1000, 23, replace=False)).astype(np.int64)
    cuts = [0, *np.sort(random.integers(0, 24, num_shards - 1)).tolist(), 23]
    shards = [
        ExactIndex(keys[low:high], ids[low:high], device=CPU).search(queries, k)
        for low, high in itertools.pairwise(cuts)
    ]
    merged = merge_shards([pack(scores, names) for scores, names in shards], k)
    whole = FaissIndex(keys, ids, device=CPU).search(queries, k)
    assert np.array_equal(merged[0], whole[0])
    assert np.array_equal(merged[1], whole[1])


def test_packed_results_rise_as_scores_fall_and_ids_rise() -> None:
    scores = np.array([np.inf, 1.5, 1.5, 1e-30, 0.0, -0.0, -1e-30, -2.0, -np.inf, -np.inf], np.float32)
    ids = np.array([4, 3, 2**32 - 2, 9, 1, 2, 0, 8, 7, -1])
    packed = pack(scores, ids)
    assert (np.diff(packed) > 0).all()
    assert np.array_equal(unpack(packed)[0], scores)
    assert np.array_equal(unpack(packed)[1], ids)


def test_inner_products_on_the_grid_do_not_depend_on_the_order_of_addition() -> None:
    left, right = unit_vectors(64, 700, 1), unit_vectors(64, 700, 2)
    order = np.random.default_rng(0).permutation(700)
    assert np.array_equal(left @ right.T, left[:, order] @ right[:, order].T)
    assert np.array_equal((left @ right.T).astype(np.float64), left.astype(np.float64) @ right.astype(np.float64).T)


def test_the_grid_moves_a_cosine_by_less_than_a_thousandth() -> None:
    raw = np.random.default_rng(4).normal(size=(200, 512)).astype(np.float32)
    exact = to_unit_length(raw).astype(np.float64)
    assert np.abs(to_grid(to_unit_length(raw)) @ to_grid(to_unit_length(raw)).T - exact @ exact.T).max() < 2e-3
