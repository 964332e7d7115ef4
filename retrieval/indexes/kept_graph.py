"""The graph of an HNSW index as plain arrays, so that who looks up does not build it again.

FAISS follows a graph without looking: what comes from a file is checked for every place that it can lead to.
"""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from launch.state.kept import Arrays, KeptArrays
from pairs.ragged import places_of, rows_of
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.key_blocks import KeyBlocks
from retrieval.indexes.proposals import add_keys, empty_hnsw, hnsw_index
from retrieval.indexes.topk import Ints

Whole = npt.NDArray[np.int32]
TYPES = {"levels": np.int32, "offsets": np.int64, "neighbours": np.int32, "entry": np.int64}
MOST_LEVELS = 64
"""Each has a small share of the keys of the one below."""


def kept_hnsw(name: str, blocks: KeyBlocks, config: IndexConfig, kept: KeptArrays) -> faiss.Index:
    """The index of these keys with the graph that the run keeps under `name`, or with one that is built now."""
    if kept.folder is None:  # the stage's own
        return hnsw_index(blocks, config)
    arrays = kept.arrays(name, lambda: graph_arrays(hnsw_index(blocks, config)))
    return index_with(arrays, blocks, config) if fits(arrays, len(blocks.keys), config) else hnsw_index(blocks, config)


def graph_arrays(index: Any) -> Arrays:  # Any: FAISS's stubs lack what its module has
    """Who is near to whom: the vectors are not in it."""
    graph = index.hnsw
    return {
        "levels": faiss.vector_to_array(graph.levels),
        "offsets": faiss.vector_to_array(graph.offsets).astype(np.int64),
        "neighbours": faiss.vector_to_array(graph.neighbors),
        "entry": np.array([graph.entry_point, graph.max_level], dtype=np.int64),
    }


def index_with(arrays: Arrays, blocks: KeyBlocks, config: IndexConfig) -> Any:  # Any: as above
    """An index of the keys with a graph that `fits` them."""
    index: Any = empty_hnsw(blocks, config)
    add_keys(faiss.downcast_index(index.storage), blocks)
    index.ntotal = len(blocks.keys)
    graph = index.hnsw
    faiss.copy_array_to_vector(np.ascontiguousarray(arrays["levels"]), graph.levels)
    faiss.copy_array_to_vector(arrays["offsets"].astype(np.uint64), graph.offsets)
    faiss.copy_array_to_vector(np.ascontiguousarray(arrays["neighbours"]), graph.neighbors)
    graph.entry_point, graph.max_level = (int(value) for value in arrays["entry"])
    return index


def fits(arrays: Arrays, num_keys: int, config: IndexConfig) -> bool:
    """Whether the graph is of so many keys, has room for each on its levels, and leads nowhere else."""
    if {name: array.dtype for name, array in arrays.items()} != TYPES or num_keys == 0:
        return False
    levels, offsets, neighbours = arrays["levels"], arrays["offsets"], arrays["neighbours"]
    # Up to each level: 2 m neighbours on the lowest, m on each above.
    room = np.concatenate([[0], config.m * (2 + np.arange(int(levels.max(initial=0)), dtype=np.int64))])
    if len(levels) != num_keys or len(arrays["entry"]) != 2 or int(levels.min()) < 1 or int(levels.max()) > MOST_LEVELS:
        return False
    lengths = room[levels]
    if len(offsets) != num_keys + 1 or offsets[0] != 0 or not np.array_equal(np.diff(offsets), lengths):
        return False
    if len(neighbours) != offsets[-1] or int(neighbours.min()) < -1 or int(neighbours.max()) >= num_keys:
        return False
    entry, top = (int(value) for value in arrays["entry"])
    if not 0 <= entry < num_keys or int(levels[entry]) - 1 != top:
        return False
    return _stay_on_levels(levels, lengths, neighbours, room)


def _stay_on_levels(
    levels: npt.NDArray[np.int32], lengths: Ints, neighbours: npt.NDArray[np.int32], room: Ints
) -> bool:
    """Whether all neighbours on a level are keys that are on it."""
    high = np.flatnonzero(levels > 1)  # on the lowest level are all
    cell = np.concatenate([[0], np.cumsum(lengths)])[:-1][high][rows_of(lengths[high])] + places_of(lengths[high])
    level = np.searchsorted(room, places_of(lengths[high]), side="right") - 1
    there = neighbours[cell]
    return bool(((there < 0) | (levels[np.maximum(there, 0)] > level)).all())
