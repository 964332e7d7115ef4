"""What one rank of several holds and finds, in processes of their own.

python -m bench.search.on_ranks share --keys 200000 --dim 256 --size 4
torchrun --nproc-per-node 2 -m bench.search.on_ranks huge --keys 10000000 --dim 128 --queries 16 --file huge.json
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from pairs.tables import Ints
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import ShardKeys, Trained, build_index
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex
from retrieval.indexes.topk import TopKIndex
from retrieval.turns import even_cuts

GIB = 2**30
BLOCK = 10_000


def main(argv: list[str] | None = None) -> None:
    """One process's part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["share", "huge"])
    for name in ("keys", "dim", "size", "queries"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args(argv)
    if options.part == "share":
        print(json.dumps(share_bytes(options.keys, options.dim, options.size)))
        return
    with init_world() as world:
        figures = huge_here(options.keys, options.dim, options.queries, world, options.file.parent)
        if world.is_main:
            write_json(options.file, figures)


def memory_per_rank(keys: int, dim: int, sizes: tuple[int, ...]) -> dict[str, float]:
    """Resident bytes that the keys of a rank of so many take, over those of a rank alone."""
    measured = {}
    for size in sizes:
        words = ["share", "--keys", str(keys), "--dim", str(dim), "--size", str(size)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.search.on_ranks", *words], capture_output=True, text=True, check=True
        )
        measured[size] = float(json.loads(done.stdout))
    return {str(size): measured[size] / measured[sizes[0]] for size in sizes}


def share_bytes(keys: int, dim: int, size: int) -> float:
    """Resident bytes of the first rank's index, of `size` ranks."""
    share = World(rank=0, size=size, local_rank=0, device=torch.device("cpu")).share(keys)
    numbers_of(np.arange(BLOCK), dim)
    before = resident()
    index = shard_index(share, dim, IndexConfig(kind="exact").resolved(keys), folder=None)
    after = resident()
    del index
    return after - before


def huge(keys: int, dim: int, queries: int, *, ranks: int) -> dict[str, float]:
    """Search 16-bit keys in mapped files with several ranks, each on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["huge", "--keys", str(keys), "--dim", str(dim), "--queries", str(queries)]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        file = Path(folder) / "huge.json"
        done = subprocess.run(
            [*launcher, "-m", "bench.search.on_ranks", *words, "--file", str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        figures: dict[str, float] = read_json(file)
        return figures


def huge_here(keys: int, dim: int, queries: int, world: World, folder: Path) -> dict[str, float]:
    """This rank's part; queries are keys, so each must find itself first."""
    started = time.perf_counter()
    config = IndexConfig(kind="exact", storage="float16", mapped=True).resolved(keys)
    index = ShardedIndex(world, shard_index(world.share(keys), dim, config, folder=folder))
    world.barrier()
    built = time.perf_counter() - started
    asked = np.linspace(0, keys - 1, queries).astype(np.int64)
    vectors = numbers_of(asked, dim)
    cuts = even_cuts(queries, world.size)
    started = time.perf_counter()
    _, ids = index.search(vectors, 10, cuts=cuts)
    seconds = time.perf_counter() - started
    own = asked[cuts[world.rank] : cuts[world.rank + 1]]
    assert np.array_equal(ids[:, 0], own), "a key does not find itself"
    peaks = world.gather_objects(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return {
        "keys": keys, "dim": dim, "queries": queries, "ranks": world.size, "build_s": built, "search_s": seconds,
        "file_gib": 2 * keys * dim / GIB, "peak_gib_of_all_ranks": sum(peaks) / GIB,
    }  # fmt: skip


def shard_index(share: range, dim: int, config: IndexConfig, *, folder: Path | None) -> TopKIndex[Floats]:
    """An index of a share of the keys, made as they are asked for."""
    keys = ShardKeys(lambda places: numbers_of(share.start + places, dim), np.arange(share.start, share.stop), None)
    return build_index(config, keys, Trained(), device=torch.device("cpu"), folder=folder).index


def numbers_of(ids: Ints, dim: int) -> Floats:
    """Vectors of keys on the grid, any of them without the others: each block of ids has its own seed."""
    vectors = np.empty((len(ids), dim), dtype=np.float32)
    for block in np.unique(ids // BLOCK).tolist():
        rows = np.flatnonzero(ids // BLOCK == block)
        drawn = np.random.default_rng((7, block)).standard_normal((BLOCK, dim), dtype=np.float32)
        vectors[rows] = drawn[ids[rows] - block * BLOCK]
    return to_grid(to_unit_length(vectors))


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
