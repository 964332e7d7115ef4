"""Every index finds the same keys in the same order, ties by lower id."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.tables import Ints
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import merge_shards
from retrieval.indexes.topk import NOBODY, best_of, pack, unpack

CPU = torch.device("cpu")
TORCH, FAISS = IndexConfig(kind="exact", backend="torch"), IndexConfig(kind="exact", backend="faiss")
EXACT = {
    "torch": TORCH,
    "faiss": FAISS,
    "torch, 16 bits": replace(TORCH, storage="float16"),
    "faiss, 16 bits on disk": replace(FAISS, storage="float16", mapped=True),
    "faiss on disk": replace(FAISS, mapped=True),
}


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("width", [8, 48, 150])
@pytest.mark.parametrize("nobody", [0.0, 0.97])
def test_the_best_of_wide_rows_are_the_first_when_all_are_sorted(k: int, width: int, nobody: float) -> None:
    random = np.random.default_rng(width)
    packed = random.integers(0, NOBODY, (40, width))
    packed[random.random(packed.shape) < nobody] = NOBODY
    expected = [sorted([*row, *[NOBODY] * k])[:k] for row in packed.tolist()]
    assert best_of(packed, k).tolist() == expected


def slow_search(
    keys: Floats, ids: Ints, queries: Floats, k: int, *, times: Ints | None = None, before: Ints | None = None
) -> list[list[tuple[float, int]]]:
    """Sort everything that counts, in double precision."""
    nearest = []
    for row, query in enumerate(queries.astype(np.float64)):
        counts = [times is None or before is None or times[place] < before[row] for place in range(len(keys))]
        pairs = sorted(
            (-float(np.sum(query * key)), int(name)) for key, name in zip(keys[counts], ids[counts], strict=True)
        )
        nearest.append([(-score, name) for score, name in pairs[:k]])
    return nearest


def unit_vectors(count: int, dim: int, seed: int) -> Floats:
    return to_grid(to_unit_length(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)))


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("k", [1, 7, 50])
def test_search_equals_sorting_everything(kind: str, k: int) -> None:
    keys, queries = unit_vectors(50, 12, 1), unit_vectors(9, 12, 2)
    ids = np.arange(50) * 3 + 5
    scores, names = index_of(EXACT[kind], keys, ids, device=CPU).index.search(queries, k)
    for row, expected in enumerate(slow_search(keys, ids, queries, k)):
        assert names[row].tolist() == [name for _, name in expected]
        assert scores[row].tolist() == [score for score, _ in expected]


@pytest.mark.parametrize("kind", EXACT)
def test_ties_go_to_the_lower_id(kind: str) -> None:
    few = unit_vectors(4, 6, 3)
    keys = np.concatenate([few] * 40)  # every key forty times: the tie runs over the edge of any k
    scores, names = index_of(EXACT[kind], keys, np.arange(160), device=CPU).index.search(few, 5)
    assert names.tolist() == [[row, row + 4, row + 8, row + 12, row + 16] for row in range(4)]
    assert (scores == scores[:, :1]).all()


@pytest.mark.parametrize("kind", EXACT)
def test_queries_of_zeros_find_the_lowest_ids(kind: str) -> None:
    names = index_of(EXACT[kind], unit_vectors(30, 4, 5), np.arange(30), device=CPU).index.search(
        np.zeros((2, 4), np.float32), 3
    )[1]
    assert names.tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("kind", EXACT)
def test_more_asked_than_there_are_keys(kind: str) -> None:
    index = index_of(EXACT[kind], unit_vectors(3, 4, 0), np.arange(3), device=CPU).index
    scores, names = index.search(unit_vectors(2, 4, 1), 5)
    assert (names[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()
    assert (np.sort(names[:, :3]) == [0, 1, 2]).all()


@pytest.mark.parametrize("kind", EXACT)
def test_an_empty_shard_answers_with_nothing(kind: str) -> None:
    empty = index_of(EXACT[kind], np.empty((0, 4), np.float32), np.empty(0, np.int64), device=CPU).index
    scores, names = empty.search(unit_vectors(2, 4, 1), 3)
    assert (names == -1).all()
    assert np.isneginf(scores).all()


def test_blocks_of_keys_and_queries_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries, ids = unit_vectors(200, 8, 1)[:, :2], unit_vectors(30, 8, 2)[:, :2], np.arange(200)
    whole = index_of(TORCH, keys, ids, device=CPU).index.search(queries, 6)
    monkeypatch.setattr("retrieval.indexes.engines.SCORES_AT_ONCE", {"cpu": 100})
    monkeypatch.setattr("retrieval.indexes.engines.QUERIES_AT_ONCE", 7)
    blocked = index_of(TORCH, keys, ids, device=CPU).index.search(queries, 6)
    assert np.array_equal(whole[0], blocked[0])
    assert np.array_equal(whole[1], blocked[1])


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("span", [1, 7, 1000])
def test_only_keys_of_the_past_are_found_ties_by_id(kind: str, span: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.indexes.key_blocks.LEAST_SPAN", span)
    random = np.random.default_rng(8)
    keys = to_grid(to_unit_length(random.integers(-1, 2, (60, 4)).astype(np.float32)))  # many ties
    queries = np.concatenate([unit_vectors(39, 4, 9), np.zeros((1, 4), np.float32)])
    ids, times = np.arange(60) * 2, random.integers(0, 30, 60)  # times that are equal, too
    before = random.integers(-1, 33, 40)
    index = index_of(EXACT[kind], keys, ids, times=times, device=CPU).index
    for k in (1, 6, 60):
        scores, names = index.search(queries, k, before)
        for row, expected in enumerate(slow_search(keys, ids, queries, k, times=times, before=before)):
            missing = k - len(expected)
            assert names[row].tolist() == [name for _, name in expected] + [-1] * missing
            assert scores[row].tolist() == [score for score, _ in expected] + [-np.inf] * missing
    assert [row.tolist() for row in index.search(queries, 6)] == [
        row.tolist() for row in index_of(EXACT[kind], keys, ids, device=CPU).index.search(queries, 6)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 12))
def test_merged_shards_equal_one_index_bit_for_bit(seed: int, num_shards: int, k: int) -> None:
    random = np.random.default_rng(seed)
    keys = to_grid(to_unit_length(random.integers(-1, 2, (23, 3)).astype(np.float32)))  # many ties
    queries = to_grid(to_unit_length(random.normal(size=(5, 3)).astype(np.float32)))
    ids = np.sort(random.choice(1000, 23, replace=False)).astype(np.int64)
    cuts = [0, *np.sort(random.integers(0, 24, num_shards - 1)).tolist(), 23]
    shards = [
        index_of(TORCH, keys[low:high], ids[low:high], device=CPU).index.search(queries, k)
        for low, high in itertools.pairwise(cuts)
    ]
    merged = merge_shards([pack(scores, names) for scores, names in shards], k)
    whole = index_of(FAISS, keys, ids, device=CPU).index.search(queries, k)
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
