"""Search for kindred users: speed, recall, memory a rank, merges, one question.

    python -m bench.retrieval [--keys 1000000 --dim 256 --queries 256] [--run RUN] [--huge] [--json]

    flat_qps_ratio       queries a second of the default exact search over plain FAISS's IndexFlatIP
    reference_speedup    the same over a loop that sorts all scores of each query
    ivf_, hnsw_          recall@10, and speed over plain FAISS's flat search, on the run's user vectors
                         (without --run: on vectors around random directions)
    past_ratio           a search of the past over one of everything, --rank-keys keys with even times;
                         past_by_depth_ratio: by searching deeper until enough is past
    merge_R_shards_ms    a rank of R merges its share of the answers to 4,096 queries
    memory_per_rank_ratio  resident bytes of a rank's keys, of R ranks, over those of one
    single_query_ms      one history's kindred users, the run loaded once (--run; the median of 50, wall time)

On one thread; CPU seconds, the best of `--repeats`. `--huge`: 10 million keys of width 128 in 16 bits, in mapped files,
searched by two ranks.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import faiss
import torch

from bench.search.figures import (
    approximate,
    clustered_vectors,
    flat,
    merges,
    past,
    single_query,
    unit_vectors,
    vectors_of_run,
)
from bench.search.on_ranks import huge, memory_per_rank
from retrieval.indexes.config import IndexConfig

MERGED_QUERIES = 4096


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {
        "keys": 1_000_000, "queries": 256, "dim": 256, "k": 10, "repeats": 3, "rank-keys": 400_000,
        "nlist": 64, "nprobe": 20, "ef": 64, "huge-keys": 10_000_000, "huge-dim": 128, "huge-queries": 64,
    }  # fmt: skip
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--run", type=Path, help="a finished run's folder")
    parser.add_argument("--huge", action="store_true", help="search keys beyond memory, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)

    figures: dict[str, Any] = {"bench": "retrieval", "keys": options.keys, "dim": options.dim}  # Any: plain values
    figures |= flat(
        unit_vectors(options.keys, options.dim, seed=1), unit_vectors(options.queries, options.dim, seed=2), options.k,
        repeats=options.repeats,
    )  # fmt: skip
    if options.run is not None:
        keys, queries = vectors_of_run(options.run)
        figures |= single_query(options.run)
    else:
        keys, queries = (clustered_vectors(count, 64, seed=seed) for count, seed in ((options.keys, 5), (1000, 6)))
    configs = {
        "ivf": IndexConfig(kind="ivf_flat", nlist=options.nlist, nprobe=options.nprobe),
        "hnsw": IndexConfig(kind="hnsw", ef=options.ef),
    }
    figures |= {"approximate_keys": len(keys), "approximate_dim": keys.shape[1]}
    figures |= approximate(keys, queries, options.k, configs, repeats=options.repeats)
    timed = unit_vectors(options.rank_keys, options.dim, seed=7), unit_vectors(4 * options.queries, options.dim, seed=8)
    figures |= past(*timed, options.k, repeats=options.repeats)
    figures |= merges(options.k, queries=MERGED_QUERIES, repeats=max(30, options.repeats))
    figures["memory_per_rank_ratio"] = memory_per_rank(options.rank_keys, options.dim, (1, 2, 4))
    if options.huge:
        figures["huge"] = huge(options.huge_keys, options.huge_dim, options.huge_queries, ranks=2)
    for name, value in figures.items():
        print(f"{name:<28} {value:.4g}" if isinstance(value, float) else f"{name:<28} {value}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
