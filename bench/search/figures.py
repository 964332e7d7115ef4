"""Speed of search on one thread: exact and approximate beside plain FAISS and a loop, merges, one question."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import torch

from evaluation.ranked_lists import read_lists
from launch.artifacts import read_json
from launch.distributed import ALONE
from pairs.tables import Ints, load_samples
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex, merge_shards
from retrieval.indexes.topk import TopKIndex, pack
from retrieval.keys import Keys, unique_histories
from retrieval.kindred import EXTRA, alone, find_kindred
from retrieval.lookup import KindredLookup
from retrieval.posterior.expected import has_expectations
from retrieval.vectors import ModelPart, key_source, open_vectors

CPU = torch.device("cpu")
QUESTIONS = 50
Result = TypeVar("Result")


def unit_vectors(count: int, dim: int, *, seed: int) -> Floats:
    """Random directions on the grid that the retrieve stage rounds to."""
    random = np.random.default_rng(seed)
    blocks = [random.normal(size=(min(100_000, count - start), dim)) for start in range(0, count, 100_000)]
    return np.concatenate([to_grid(to_unit_length(block.astype(np.float32))) for block in blocks])


def best_time(work: Callable[[], Result], *, repeats: int) -> tuple[Result, float]:
    """The result, and the shortest of `repeats` CPU times: on one thread, whoever else is busy shows least in them."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return result, min(seconds)


def flat(keys: Floats, queries: Floats, k: int, *, repeats: int) -> dict[str, float]:
    """Exact search: plain FAISS, each back end, 16 bits, and a loop over queries; all find the same scores."""
    plain = faiss.IndexFlatIP(keys.shape[1])
    plain.add(keys)
    (expected, _), plain_s = best_time(partial(plain.search, queries, k), repeats=repeats)
    seconds = {"plain_faiss_s": plain_s}
    configs = {
        "torch": IndexConfig(kind="exact", backend="torch"),
        "faiss": IndexConfig(kind="exact", backend="faiss"),
        "float16": IndexConfig(kind="exact", storage="float16"),
    }
    for name, config in configs.items():
        index = index_of(config, keys, np.arange(len(keys)), device=CPU).index
        (scores, _), seconds[f"{name}_s"] = best_time(partial(index.search, queries, k), repeats=repeats)
        assert np.array_equal(scores, expected), f"{name} finds other scores than FAISS"
    few = queries[: min(len(queries), 32)]
    scores, loop_s = best_time(partial(loop, keys, few, k), repeats=1)
    assert np.array_equal(scores, expected[: len(few)]), "the loop finds other scores"
    seconds["loop_s"] = loop_s * len(queries) / len(few)
    default = seconds[f"{IndexConfig().backend}_s"]
    return {
        **seconds,
        "flat_qps": len(queries) / default,
        "flat_qps_ratio": plain_s / default,
        "faiss_qps_ratio": plain_s / seconds["faiss_s"],
        "float16_qps_ratio": plain_s / seconds["float16_s"],
        "reference_speedup": seconds["loop_s"] / default,
    }


def loop(keys: Floats, queries: Floats, k: int) -> Floats:
    """What one would write first: for each query all scores, sorted."""
    best = []
    for query in queries:
        scores = keys @ query
        best.append(scores[np.argsort(-scores, kind="stable")[:k]])
    return np.stack(best)


def approximate(
    keys: Floats, queries: Floats, k: int, configs: dict[str, IndexConfig], *, repeats: int
) -> dict[str, float]:
    """Recall of approximate indexes, and their speed beside plain FAISS's flat search and beside ours."""
    plain = faiss.IndexFlatIP(keys.shape[1])
    plain.add(keys)
    _, plain_s = best_time(partial(plain.search, queries, k), repeats=repeats)
    exact = index_of(IndexConfig(kind="exact"), keys, np.arange(len(keys)), device=CPU).index
    (_, expected), exact_s = best_time(partial(exact.search, queries, k), repeats=repeats)
    figures: dict[str, float] = {}
    for name, config in configs.items():
        started = time.process_time()
        index = index_of(config, keys, np.arange(len(keys)), device=CPU).index
        figures[f"{name}_build_s"] = time.process_time() - started
        (_, ids), seconds = best_time(partial(index.search, queries, k), repeats=repeats)
        common = [len(set(a) & set(b)) for a, b in zip(ids.tolist(), expected.tolist(), strict=True)]
        figures[f"{name}_recall_at_{k}"] = sum(common) / expected.size
        figures[f"{name}_speedup"] = plain_s / seconds
        figures[f"{name}_speedup_over_exact"] = exact_s / seconds
    return figures


def past(keys: Floats, queries: Floats, k: int, *, repeats: int) -> dict[str, float]:
    """What a search of the past takes over a search of everything, times being even: spans of time, and the obvious
    way, which searches everything ever deeper until enough of it is past."""
    random = np.random.default_rng(4)
    times, before = random.integers(0, 10**6, len(keys)), random.integers(0, 10**6, len(queries))
    every = np.arange(len(keys))
    known = Keys(every, every, every, times)
    nobody = np.full(len(queries), -1)
    everything = index_of(IndexConfig(kind="exact"), keys, every, device=CPU).index
    spans = index_of(IndexConfig(kind="exact"), keys, every, times=times, device=CPU).index
    ways = {
        "all": (everything, None),
        "spans": (spans, before),
        "deeper": (Timeless(everything), before),
    }
    seconds: dict[str, float] = {}
    results: dict[str, tuple[Floats, Ints]] = {}
    for name, (index, limits) in ways.items():
        asking = alone(queries, nobody, limits)
        work = partial(find_kindred, ShardedIndex(ALONE, index), asking, k, keys=known)
        results[name], seconds[name] = best_time(work, repeats=repeats)
    assert np.array_equal(results["spans"][1], results["deeper"][1])
    return {"past_ratio": seconds["spans"] / seconds["all"], "past_by_depth_ratio": seconds["deeper"] / seconds["all"]}


class Timeless:
    """An index that does not heed times."""

    def __init__(self, index: TopKIndex[Floats]) -> None:
        self._index = index

    def search(self, queries: Floats, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        return self._index.search(queries, k)


def merges(k: int, *, queries: int, repeats: int) -> dict[str, float]:
    """Milliseconds in which a rank of 2, and one of 64, merges its share of the answers to so many queries."""
    random = np.random.default_rng(3)
    figures = {}
    for shards in (2, 64):
        depth = k + EXTRA
        scores = -np.sort(-random.random((shards, queries // shards, depth)).astype(np.float32))
        ids = random.integers(0, 2**30, scores.shape)
        packed = [pack(part, names) for part, names in zip(scores, ids, strict=True)]
        _, seconds = best_time(partial(merge_shards, packed, depth), repeats=repeats)
        figures[f"merge_{shards}_shards_ms"] = 1000 * seconds
    return figures


def single_query(run_dir: Path) -> dict[str, float]:
    """Milliseconds of wall time for one history's kindred users, with the run loaded once: the median and the worst."""
    test = load_samples(run_dir, "test")
    lists = read_lists(run_dir / "lists" / "evidence_test.parquet") if has_expectations(run_dir) else None
    started = time.perf_counter()
    lookup = KindredLookup(run_dir)
    model = ModelPart(run_dir) if lookup.needs_model_vector else None
    seconds = []
    for row in range(min(QUESTIONS + 2, len(test))):
        history, domain = test.history_of(row).tolist(), int(test.domain[row])
        vector = None if model is None else model.rows("test", test, np.array([row]), domain)[0]
        expected = lists.of_samples(test.sample[[row]]) if lists is not None and lookup.needs_expected else None
        asked = time.perf_counter()
        lookup.nearest(history, domain=domain, model_vector=vector, expected=expected, k=10)
        seconds.append(time.perf_counter() - asked)
        if row == 1:  # one question towards each domain has built what is built once
            loaded = time.perf_counter() - started
    times = 1000 * np.array(seconds[2:])
    return {"load_s": loaded, "single_query_ms": float(np.median(times)), "slowest_query_ms": float(times.max())}


def vectors_of_run(run_dir: Path) -> tuple[Floats, Floats]:
    """The users' vectors of a run towards X, as its retrieve stage has them: keys, and those of test as queries."""
    train, test = load_samples(run_dir, "train"), load_samples(run_dir, "test")
    vectors = open_vectors(run_dir, read_json(run_dir / "neighbours" / "meta.json")["part_weights"])
    keys: Ints = unique_histories(train).row
    source = key_source(vectors, longest=None)
    return source.rows("train", train, keys, 0), source.rows("test", test, np.arange(len(test)), 0)


def clustered_vectors(count: int, dim: int, *, seed: int) -> Floats:
    """Vectors around random directions, for want of a run's."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(64, dim))
    return to_grid(
        to_unit_length((centres[random.integers(0, 64, count)] + random.normal(size=(count, dim))).astype(np.float32))
    )
