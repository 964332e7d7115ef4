"""The indexes of the train users' vectors: one towards each domain, or one where no part of a vector knows domains.

The stage shares the keys out over its ranks and files what an approximate index has learnt; a lookup in the finished
run holds all keys and reads that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from launch.distributed import World
from launch.state.kept import NOTHING_KEPT, KeptArrays
from pairs.tables import Ints, Samples
from retrieval.fixed_point import Floats
from retrieval.indexes.build import ShardKeys, build_index, is_trained, load_trained, save_trained, train_index
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.key_blocks import Source
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys
from retrieval.vectors import Part, UserVectors, key_source


@dataclass(frozen=True)
class VectorKeys:
    """The vectors of train's users and of those of one domain, made when they are asked for."""

    source: Part
    train: Samples
    keys: Keys
    knows_domains: bool

    @property
    def directions(self) -> tuple[int, ...]:
        """The domains that have vectors of their own."""
        return (0, 1) if self.knows_domains else (0,)

    def towards(self, domain: int, share: range | None = None) -> Source:
        """The vectors towards a domain of all keys, or of a share of them, by their places in it."""
        rows = self.keys.row if share is None else self.keys.row[share.start : share.stop]
        return lambda places: self.source.rows("train", self.train, rows[places], domain)


def vector_keys(vectors: UserVectors, train: Samples, keys: Keys, *, longest: float | None) -> VectorKeys:
    """The keys of an index; with their own lengths where `longest` is known."""
    return VectorKeys(key_source(vectors, longest=longest), train, keys, "model" in vectors.parts)


def train_indexes(run_dir: Path, config: IndexConfig, keys: VectorKeys, *, seed: int, world: World) -> None:
    """Have rank 0 learn what approximate indexes need, unless an earlier start has left it; `config` is resolved."""
    if world.is_main and config.kind in ("ivf_flat", "ivf_pq"):
        for domain in keys.directions:
            if not is_trained(_folder(run_dir), "XY"[domain]):
                trained = train_index(config, keys.towards(domain), len(keys.keys), seed=seed)
                save_trained(_folder(run_dir), "XY"[domain], trained)
    world.barrier()


def open_index(
    run_dir: Path,
    config: IndexConfig,
    keys: VectorKeys,
    domain: int,
    *,
    times: Ints | None,
    world: World,
    device: torch.device,
    folder: Path | None = None,
    kept: KeptArrays = NOTHING_KEPT,
) -> ShardedIndex[Floats]:
    """The index towards a domain of this rank's share of the keys.

    Args:
        config: resolved.
        times: of all keys, where only the past is asked for.
        folder: where mapped keys are; None: where temporary files are.
        kept: what the run keeps for one who holds all keys.
    """
    share = world.share(len(keys.keys))
    own_times = None if times is None else times[share.start : share.stop]
    shard = ShardKeys(keys.towards(domain, share), np.arange(share.start, share.stop), own_times)
    trained = load_trained(_folder(run_dir), "XY"[domain], config)
    name = f"hnsw_{'XY'[domain]}"
    built = build_index(config, shard, trained, device=device, folder=folder, kept=kept, name=name)
    return ShardedIndex(world, built.index, exact=built.exact)


def _folder(run_dir: Path) -> Path:
    return run_dir / "neighbours" / "index"
