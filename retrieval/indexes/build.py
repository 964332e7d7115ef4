"""An index of one rank's keys, as configured: trained by the first rank, built by each, filed as plain arrays."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from launch.artifacts import atomic_file
from launch.errors import InputError
from launch.state.kept import NOTHING_KEPT, KeptArrays
from pairs.draws import draw_rows
from retrieval.fixed_point import Floats
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.engines import search_for
from retrieval.indexes.flat import FlatIndex
from retrieval.indexes.kept_graph import kept_hnsw
from retrieval.indexes.key_blocks import KeyBlocks, Source, store_keys, time_blocks
from retrieval.indexes.lists import ListsIndex, list_blocks, train_centroids
from retrieval.indexes.proposals import ProposalsIndex, pq_index, train_codebooks
from retrieval.indexes.topk import Ints, TopKIndex

SAMPLED_OF_LIST, FEWEST_SAMPLED = 64, 20_000
"""Keys that lists and codes are trained on: so many for each list, and at least so many."""


@dataclass(frozen=True)
class Trained:
    """What an approximate index has learnt from a sample of all ranks' keys."""

    centroids: Floats | None = None
    """[L, d] of the lists."""
    codebooks: Floats | None = None
    """[M, 256, d / M] of the codes."""


@dataclass(frozen=True)
class BuiltIndex:
    """One rank's keys, ready to be searched."""

    index: TopKIndex[Floats]
    exact: TopKIndex[Floats] | None
    """Of the same keys, for what an approximate index leaves short; None: `index` is exact."""


@dataclass(frozen=True)
class ShardKeys:
    """One rank's keys."""

    source: Source
    ids: Ints
    """[N], increasing."""
    times: Ints | None
    """[N], where only the past is asked for."""


def train_index(config: IndexConfig, source: Source, num_keys: int, *, seed: int) -> Trained:
    """Learn from a sample of all keys, by their places; `config` is resolved."""
    if config.kind not in ("ivf_flat", "ivf_pq"):
        return Trained()
    assert config.nlist is not None
    most = max(FEWEST_SAMPLED, SAMPLED_OF_LIST * config.nlist)
    sample = source(draw_rows(num_keys, most, seed=seed))
    centroids = train_centroids(sample, config.nlist, seed=seed)
    return Trained(centroids, train_codebooks(sample, config.pq_bytes) if config.kind == "ivf_pq" else None)


def build_index(
    config: IndexConfig,
    keys: ShardKeys,
    trained: Trained,
    *,
    device: torch.device,
    folder: Path | None = None,
    kept: KeptArrays = NOTHING_KEPT,
    name: str = "hnsw",
) -> BuiltIndex:
    """An index of one rank's keys.

    Args:
        config: resolved.
        folder: where a file of mapped keys is made, which has no name.
        kept: where the graph of hnsw is kept, under `name`.
    """
    assert bool((np.diff(keys.ids) > 0).all()), "ids must increase"
    width = keys.source(np.arange(min(1, len(keys.ids)))).shape[1]
    in_lists = config.kind == "ivf_flat"
    if in_lists:
        assert trained.centroids is not None
        order, offsets = list_blocks(keys.source, len(keys.ids), trained.centroids, device=device)
    else:
        as_it_is = not config.mapped and config.storage == "float32"
        order, offsets = time_blocks(len(keys.ids), keys.times, width=width, whole=as_it_is)
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    stored = store_keys(
        keys.source, order, width=width, storage=config.storage, folder=folder if config.mapped else None
    )
    times = None if keys.times is None else keys.times[order]
    blocks = KeyBlocks(stored, keys.ids[order], offsets, times=times)
    opened = blocks.open(search_for(config.backend, device), device)
    exact = FlatIndex(opened)
    if config.kind == "exact":
        return BuiltIndex(exact, None)
    if in_lists:
        assert trained.centroids is not None
        assert config.nprobe is not None
        return BuiltIndex(ListsIndex(opened, trained.centroids, config.nprobe), exact)
    if config.kind == "hnsw":
        return BuiltIndex(ProposalsIndex(kept_hnsw(name, blocks, config, kept), opened, config), exact)
    assert trained.centroids is not None
    assert trained.codebooks is not None
    return BuiltIndex(ProposalsIndex(pq_index(blocks, trained.centroids, trained.codebooks), opened, config), exact)


def index_of(
    config: IndexConfig, keys: Floats, ids: Ints, *, device: torch.device, times: Ints | None = None, seed: int = 1
) -> BuiltIndex:
    """An index of keys [N, d] in memory, with increasing ids [N], trained on them where it learns."""
    resolved = config.resolved(len(keys))
    trained = train_index(resolved, lambda places: keys[places], len(keys), seed=seed)
    return build_index(resolved, ShardKeys(lambda places: keys[places], ids, times), trained, device=device)


def save_trained(folder: Path, name: str, trained: Trained) -> None:
    """File what was learnt, each array whole or not at all; the centroids last."""
    for part, array in (("codebooks", trained.codebooks), ("centroids", trained.centroids)):
        if array is not None:
            with atomic_file(folder / f"{part}_{name}.npy") as partial, partial.open("wb") as file:
                np.save(file, array)


def load_trained(folder: Path, name: str, config: IndexConfig) -> Trained:
    """What `save_trained` filed, of a resolved configuration."""

    def load(part: str, wanted: bool, fits: Callable[[Floats], bool]) -> Floats | None:
        path = folder / f"{part}_{name}.npy"
        if not wanted:
            return None
        if not path.is_file():
            raise InputError(f"{path}: no such file; run `kinrec retrieve` again")
        array: Floats = np.load(path, allow_pickle=False)
        if array.dtype != np.float32 or not fits(array) or not np.isfinite(array).all():
            raise InputError(f"{path}: not of this run's index; run `kinrec retrieve` again")
        return array

    return Trained(
        load("centroids", config.kind in ("ivf_flat", "ivf_pq"), lambda a: a.ndim == 2 and len(a) == config.nlist),
        load("codebooks", config.kind == "ivf_pq", lambda a: a.ndim == 3 and a.shape[1] == 256),
    )


def is_trained(folder: Path, name: str) -> bool:
    """Whether an earlier start has filed what it learnt."""
    return (folder / f"centroids_{name}.npy").is_file()
