"""Approximate indexes: lists equal a plain loop on any number of shards; nobody of the future; recall is what it is."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from launch.distributed import ALONE
from launch.errors import InputError
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import (
    ShardKeys,
    build_index,
    index_of,
    is_trained,
    load_trained,
    save_trained,
    train_index,
)
from retrieval.indexes.config import EXACT_KEYS, IndexConfig
from retrieval.indexes.sharded import ShardedIndex, merge_shards
from retrieval.indexes.topk import Ints, pack
from retrieval.keys import Keys
from retrieval.kindred import alone, find_kindred

CPU = torch.device("cpu")
LISTS = IndexConfig(kind="ivf_flat", nlist=16, nprobe=3)
KINDS = {
    "lists": LISTS,
    "lists, 16 bits on disk": replace(LISTS, storage="float16", mapped=True),
    "codes": IndexConfig(kind="ivf_pq", nlist=8, nprobe=4, pq_bytes=6),
    "graph": IndexConfig(kind="hnsw", m=8, ef=40),
}


def clustered(count: int, *, seed: int) -> Floats:
    """Vectors around a few directions, as users' are; width 20, which 6 bytes of codes do not divide."""
    centres = np.random.default_rng(0).normal(size=(12, 20))
    random = np.random.default_rng(seed)
    vectors = centres[random.integers(0, 12, count)] + random.normal(size=(count, 20))
    return to_grid(to_unit_length(vectors.astype(np.float32)))


def plain_lists(keys: Floats, centroids: Floats, queries: Floats, k: int, nprobe: int) -> list[list[int]]:
    """Each query against the keys of its nearest lists, one after another."""
    list_of = (keys.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(axis=1)
    nearest = []
    for query in queries.astype(np.float64):
        lists = sorted(range(len(centroids)), key=lambda number: (-float(centroids[number] @ query), number))[:nprobe]
        ids = [place for place in range(len(keys)) if list_of[place] in lists]
        nearest.append(sorted(ids, key=lambda place: (-float(keys[place] @ query), place))[:k])
    return nearest


@pytest.mark.parametrize("kind", ["lists", "lists, 16 bits on disk"])
@pytest.mark.parametrize("cuts", [[0, 600], [0, 200, 400, 600], [0, 0, 599, 600]])
def test_lists_over_any_shards_equal_a_plain_loop(kind: str, cuts: list[int]) -> None:
    keys, queries = clustered(600, seed=1), clustered(40, seed=2)
    trained = train_index(KINDS[kind], lambda places: keys[places], len(keys), seed=3)
    assert trained.centroids is not None
    results = []
    for start, stop in itertools.pairwise(cuts):
        shard = ShardKeys(keys[start:stop].__getitem__, np.arange(start, stop), None)
        results.append(pack(*build_index(KINDS[kind], shard, trained, device=CPU).index.search(queries, 9)))
    scores, ids = merge_shards(results, 9)
    assert [[place for place in row if place >= 0] for row in ids.tolist()] == plain_lists(
        keys, trained.centroids, queries, 9, nprobe=3
    )
    assert np.array_equal(scores, np.where(ids < 0, -np.inf, (keys[ids] * queries[:, None]).sum(axis=2)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timed", [False, True])
def test_most_of_the_nearest_are_found_and_scored_exactly(
    kind: str, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.indexes.key_blocks.LEAST_SPAN", 20)
    keys, queries, random = clustered(900, seed=1), clustered(60, seed=2), np.random.default_rng(4)
    times = random.integers(0, 100, 900) if timed else None
    before = random.integers(20, 120, 60) if timed else None
    built = index_of(KINDS[kind], keys, np.arange(900) + 5, times=times, device=CPU)
    assert built.exact is not None
    expected = built.exact.search(queries, 5, before)
    scores, ids = built.index.search(queries, 5, before)
    common = sum(len(set(left) & set(right)) for left, right in zip(ids.tolist(), expected[1].tolist(), strict=True))
    assert common / expected[1].size > 0.8
    assert (ids >= 0).all()
    assert np.array_equal(scores, (keys[ids - 5] * queries[:, None]).sum(axis=2))
    assert (np.diff(scores, axis=1) <= 0).all()
    if times is not None and before is not None:
        assert (times[ids - 5] < before[:, None]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_an_index_leaves_short_are_answered_exactly(kind: str) -> None:
    keys, queries = clustered(300, seed=1), clustered(30, seed=2)
    times = np.arange(300)
    every = Keys(np.arange(300), np.arange(300), np.arange(300), last_time=times)
    before = np.repeat([0, 3, 12], 10)  # three of the past are rarely in the lists that are visited
    built = index_of(KINDS[kind], keys, np.arange(300), times=times, device=CPU)
    asking = alone(queries, np.full(30, 999), before)
    positions = find_kindred(ShardedIndex(ALONE, built.index, exact=built.exact), asking, 5, keys=every)[1]
    assert ((positions >= 0).sum(axis=1) == np.minimum(before, 5)).all()
    assert (positions < np.maximum(before, 0)[:, None]).all()


def nearest(config: IndexConfig, keys: Floats, queries: Floats) -> Ints:
    return index_of(config, keys, np.arange(len(keys)), device=CPU).index.search(queries, 10)[1]


def test_all_lists_visited_find_everything() -> None:
    keys, queries = clustered(500, seed=1), clustered(20, seed=2)
    every = nearest(replace(LISTS, nprobe=16), keys, queries)
    assert np.array_equal(every, nearest(IndexConfig(kind="exact"), keys, queries))


def test_what_was_learnt_is_read_as_it_was_filed_and_nothing_else(tmp_path: Path) -> None:
    keys = clustered(600, seed=1)
    config = KINDS["codes"]
    trained = train_index(config, lambda places: keys[places], len(keys), seed=3)
    assert not is_trained(tmp_path, "X")
    save_trained(tmp_path, "X", trained)
    assert is_trained(tmp_path, "X")
    loaded = load_trained(tmp_path, "X", config)
    assert loaded.centroids is not None
    assert loaded.codebooks is not None
    assert trained.codebooks is not None
    assert np.array_equal(loaded.codebooks, trained.codebooks)
    with pytest.raises(InputError, match="not of this run's index"):
        load_trained(tmp_path, "X", replace(config, nlist=9))
    with pytest.raises(InputError, match="no such file; run `kinrec retrieve` again"):
        load_trained(tmp_path, "Y", config)


def test_codes_of_too_few_are_refused() -> None:
    with pytest.raises(InputError, match=r"retrieval.index.kind=ivf_pq needs at least 256 train histories, got 100"):
        index_of(KINDS["codes"], clustered(100, seed=1), np.arange(100), device=CPU)


def test_auto_is_exact_up_to_some_million() -> None:
    assert IndexConfig().resolved(EXACT_KEYS).kind == "exact"
    large = IndexConfig().resolved(EXACT_KEYS + 1)
    assert (large.kind, large.nlist, large.nprobe) == ("ivf_flat", 2048, 256)
    assert IndexConfig(kind="exact").resolved(10**9).kind == "exact"
    small = IndexConfig(kind="ivf_flat").resolved(8000)
    assert (small.nlist, small.nprobe) == (128, 16)
    assert IndexConfig(kind="ivf_flat").resolved(3).nlist == 3
