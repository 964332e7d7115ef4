"""Keys in blocks: in memory or on disk, in 32 or 16 bits, cut by time or otherwise.

Vectors on the grid (retrieval/fixed_point.py) are multiples of 2^-11 no longer than one: 16-bit floats hold them
exactly, so half the bytes find the same neighbours with the same scores. A block is searched in 32 bits.

Where times count, blocks are spans of time. A query that asks for the past searches the blocks that lie before it, and
of the one that it falls into only the keys that do: about half of the work of a search of everything, on average, and
no search deeper for what a filter takes away afterwards.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from launch.watch.beats import beat
from retrieval.fixed_point import Floats
from retrieval.indexes.config import Storage
from retrieval.indexes.engines import BlockSearch, best_columns
from retrieval.indexes.topk import MOST_IDS, NOBODY, Ints

Stored = npt.NDArray[np.floating]
Source = Callable[[Ints], Floats]
"""Vectors [n, d] of some of a rank's keys, by their places among them."""
BLOCK_NUMBERS = 1 << 24
"""Of a block that is converted or read from disk: 64 MiB in 32 bits."""
SPANS = 32
"""Of time; a query searches half a block too much, on average."""
LEAST_SPAN = 1024
BUILD_ROWS = 16_384


class KeyBlocks:
    """Keys [N, d] that are read a block at a time."""

    def __init__(self, keys: Stored, ids: Ints, offsets: Ints, *, times: Ints | None) -> None:
        """Keys with ids [N] and times [N]; those of block b are `offsets[b]` to `offsets[b + 1]`, by rising id."""
        assert len(keys) == len(ids) == offsets[-1]
        assert not len(ids) or int(ids.max()) < MOST_IDS
        self.keys = keys
        self.ids = ids
        self.offsets = offsets
        self.times = times
        self._extremes = None if times is None else _extremes(times, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def open(self, engine: BlockSearch, device: torch.device) -> "OpenBlocks":
        """Ready to be searched: on a GPU, keys in memory are copied there."""
        return OpenBlocks(self, engine, device)

    def may_answer(self, block: int, before: Ints) -> npt.NDArray[np.bool_]:
        """Whether the block has keys before each of the times [B]."""
        return np.ones(len(before), dtype=bool) if self._extremes is None else self._extremes[0][block] < before

    def is_past(self, block: int, before: Ints) -> npt.NDArray[np.bool_]:
        """Whether all of the block lies before each of the times [B]."""
        return np.ones(len(before), dtype=bool) if self._extremes is None else self._extremes[1][block] < before


class OpenBlocks:
    """Blocks of keys that an engine searches."""

    def __init__(self, blocks: KeyBlocks, engine: BlockSearch, device: torch.device) -> None:
        self.blocks = blocks
        self.device = device
        self._engine = engine
        keys = torch.from_numpy(blocks.keys)
        self._keys = keys.to(device) if not isinstance(blocks.keys, np.memmap) else keys
        self._times = None if blocks.times is None else torch.from_numpy(blocks.times).to(device)

    def to_device(self, queries: Floats) -> Tensor:
        """Queries as the engine takes them."""
        return torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self.device)

    def visit(self, block: int, queries_BD: Tensor, k: int, before: Ints | None) -> Ints:
        """The best keys of one block for each query, packed [B, min(k, keys of the block)]."""
        start, stop = int(self.blocks.offsets[block]), int(self.blocks.offsets[block + 1])
        keys = self._keys[start:stop].to(self.device, torch.float32)
        if before is None or self.blocks.times is None:
            return self._with_ids(self._engine.best(queries_BD, keys, k), start)
        packed = np.full((len(queries_BD), min(k, stop - start)), NOBODY, dtype=np.int64)
        whole = self.blocks.is_past(block, before)
        part = self.blocks.may_answer(block, before) & ~whole
        if whole.any():
            packed[whole] = self._with_ids(self._engine.best(queries_BD[self._rows(whole)], keys, k), start)
        if part.any():
            assert self._times is not None
            times, before_B = self._times[start:stop], torch.from_numpy(before[part]).to(self.device)
            best = best_columns(queries_BD[self._rows(part)], keys, k, times_N=times, before_B=before_B)
            packed[part] = np.where(best >= NOBODY & ~0xFFFFFFFF, NOBODY, self._with_ids(best, start))
        return packed

    def _rows(self, chosen: npt.NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(np.flatnonzero(chosen)).to(self.device)

    def _with_ids(self, packed: Ints, start: int) -> Ints:
        """Ids for columns; as ids rise in a block, the order stays."""
        with_ids: Ints = (packed & ~0xFFFFFFFF) | self.blocks.ids[start + (packed & 0xFFFFFFFF)]
        return with_ids


def time_blocks(num_keys: int, times: Ints | None, *, width: int, whole: bool) -> tuple[Ints, Ints]:
    """An order of keys [N] and offsets of blocks: spans of time where there are times, or as many as fit.

    Args:
        whole: whether one block may hold everything, as where nothing is converted or read.
    """
    most = max(1, BLOCK_NUMBERS // max(1, width))
    size = max(1, num_keys) if whole else most
    if times is None:
        order = np.arange(num_keys)
    else:
        order = np.argsort(times, kind="stable")
        size = min(size, max(LEAST_SPAN, -(-num_keys // SPANS)))
    offsets = np.append(np.arange(0, num_keys, size), num_keys).astype(np.int64)
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        order[start:stop].sort()
    return order, offsets


def store_keys(source: Source, order: Ints, *, width: int, storage: Storage, folder: Path | None) -> Stored:
    """The keys in that order, made some at a time: in memory, or in a file in `folder` that has no name."""
    keys = (
        np.empty((len(order), width), dtype=storage)
        if folder is None
        else _mapped(folder, (len(order), width), storage)
    )
    for start in range(0, len(order), BUILD_ROWS):
        beat()
        keys[start : start + BUILD_ROWS] = source(order[start : start + BUILD_ROWS])
    return keys


def _mapped(folder: Path, shape: tuple[int, int], storage: Storage) -> Stored:
    """An array in a file that goes when nobody has it open; OSError where the disk has no room for it."""
    size = max(1, shape[0] * shape[1]) * np.dtype(storage).itemsize
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # here, rather than when a page is written and the process dies
        numbers = np.memmap(file, dtype=np.dtype(storage), mode="r+", shape=(size // np.dtype(storage).itemsize,))
    return numbers[: shape[0] * shape[1]].reshape(shape)


def _extremes(times: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """The least and the greatest time of each block; of an empty one, times that nobody asks for."""
    first = np.full(len(offsets) - 1, np.iinfo(np.int64).max)
    last = np.full(len(offsets) - 1, np.iinfo(np.int64).min)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        first[filled] = np.minimum.reduceat(times, offsets[filled])
        last[filled] = np.maximum.reduceat(times, offsets[filled])
    return first, last
