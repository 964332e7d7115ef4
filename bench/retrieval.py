"""Exact search: torch and FAISS beside plain numpy, on the same vectors in the same run.

    python -m bench.retrieval [--keys 20000 --queries 4096 --dim 512 --k 20] [--json]

Every way must find the same scores, torch and FAISS the same ids; the last column is the speed over numpy's.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from pairs.tables import Ints
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig

Search = Callable[[Floats, int], tuple[Floats, Ints]]
NUMPY_QUERIES_AT_ONCE = 512


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("keys", 20_000), ("queries", 4096), ("dim", 512), ("k", 20), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    keys = unit_vectors(options.keys, options.dim, seed=1)
    queries = unit_vectors(options.queries, options.dim, seed=2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    timings: dict[str, dict[str, float]] = {}
    results: dict[str, tuple[Floats, Ints]] = {}
    for name, build in builders(keys, device).items():
        started = time.perf_counter()
        search = build()
        build_seconds = time.perf_counter() - started
        results[name], seconds = best_time(search, queries, options.k, repeats=options.repeats)
        timings[name] = {"build_s": build_seconds, "search_s": seconds, "queries_per_s": len(queries) / seconds}
        assert np.array_equal(results[name][0], results["numpy"][0]), f"{name} finds other scores than numpy"
        timings[name]["times_numpy"] = timings["numpy"]["search_s"] / seconds
    assert np.array_equal(results["exact torch"][1], results["faiss flat"][1]), "torch and FAISS find other ids"

    print(f"{options.queries} queries, {options.keys} keys, width {options.dim}, k {options.k}, {device}, "
          f"{torch.get_num_threads()} thread(s); best of {options.repeats}")  # fmt: skip
    print(f"{'':<14}{'build s':>10}{'search s':>10}{'queries/s':>12}{'x numpy':>9}")
    for name, row in timings.items():
        print(f"{name:<14}{row['build_s']:>10.3f}{row['search_s']:>10.3f}"
              f"{row['queries_per_s']:>12.0f}{row['times_numpy']:>9.2f}")  # fmt: skip
    if options.json:
        shape = {name: getattr(options, name) for name in ("keys", "queries", "dim", "k")}
        print(json.dumps({"bench": "retrieval", "device": str(device), **shape, "ways": timings}))


def builders(keys: Floats, device: torch.device) -> dict[str, Callable[[], Search]]:
    """The ways to search, by name; numpy is the first."""
    ids = np.arange(len(keys))
    return {
        "numpy": lambda: lambda queries, k: numpy_search(keys, queries, k),
        "exact torch": lambda: (
            index_of(IndexConfig(kind="exact", backend="torch"), keys, ids, device=device).index.search
        ),
        "faiss flat": lambda: index_of(IndexConfig(kind="exact"), keys, ids, device=device).index.search,
    }


def numpy_search(keys: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """What one would write in a few lines: all scores, the k best set apart and sorted; ties as they come."""
    parts = []
    for start in range(0, len(queries), NUMPY_QUERIES_AT_ONCE):
        scores = queries[start : start + NUMPY_QUERIES_AT_ONCE] @ keys.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        best = np.take_along_axis(best, order, 1)
        parts.append((np.take_along_axis(scores, best, 1), best))
    return np.concatenate([scores for scores, _ in parts]), np.concatenate([best for _, best in parts])


def best_time(search: Search, queries: Floats, k: int, *, repeats: int) -> tuple[tuple[Floats, Ints], float]:
    """The result, and the shortest of `repeats` times after one that does not count."""
    result = search(queries, k)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        search(queries, k)
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def unit_vectors(count: int, dim: int, *, seed: int) -> Floats:
    """Random directions on the grid that the retrieve stage rounds to."""
    return to_grid(to_unit_length(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)))


if __name__ == "__main__":
    main()
