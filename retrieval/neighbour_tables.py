"""Neighbour tables: written in parts that a killed stage keeps, joined in order, read by block."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import atomic_file
from launch.watch.beats import beat
from pairs.ragged import offsets_of
from pairs.row_parts import part_path
from pairs.tables import Ints, Samples, Split
from retrieval.fixed_point import Floats
from retrieval.keys import Keys

SCHEMA = pa.schema(
    [
        ("sample", pa.int64()),
        ("neighbour_samples", pa.list_(pa.int64())),
        ("scores", pa.list_(pa.float32())),
    ]
)

GROUP_ROWS = 4096


def table_path(run_dir: Path, split: Split) -> Path:
    """The neighbours of one split."""
    return run_dir / "neighbours" / f"{split}.parquet"


def parts_folder(run_dir: Path, split: Split) -> Path:
    """Where the neighbours of a split's blocks are, until all are there."""
    return run_dir / "neighbours" / "parts" / split


def write_part(path: Path, *, sample: Ints, neighbours: Ints, scores: Floats) -> None:
    """Write neighbours [B, k], padded with -1, as a table with lists."""
    kept = neighbours >= 0
    offsets = offsets_of(kept.sum(axis=1)).astype(np.int32)
    table = pa.table(
        [
            pa.array(sample),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(neighbours[kept])),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(scores[kept])),
        ],
        schema=SCHEMA,
    )
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def join_parts(path: Path, parts: Iterable[Path]) -> None:
    """One table out of `parts`, in row groups of `GROUP_ROWS` whatever the parts' sizes; memory holds a few parts."""
    waiting = SCHEMA.empty_table()
    with atomic_file(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for part in parts:
            beat()
            waiting = pa.concat_tables([waiting, pq.read_table(part, schema=SCHEMA)])
            while len(waiting) >= GROUP_ROWS:
                writer.write_table(waiting.slice(0, GROUP_ROWS).combine_chunks())
                waiting = waiting.slice(GROUP_ROWS)
        if len(waiting):
            writer.write_table(waiting.combine_chunks())


def remove_parts(run_dir: Path) -> None:
    """Remove what only an interrupted start would read."""
    shutil.rmtree(run_dir / "neighbours" / "parts", ignore_errors=True)


class NeighbourTable:
    """One split's neighbours, read a block (row group) at a time."""

    def __init__(self, run_dir: Path, split: Split) -> None:
        self._file = pq.ParquetFile(table_path(run_dir, split), memory_map=True)
        sizes = [self._file.metadata.row_group(block).num_rows for block in range(self.num_blocks)]
        self.starts = offsets_of(sizes)

    @property
    def num_blocks(self) -> int:
        """Row groups of the file."""
        return int(self._file.metadata.num_row_groups)

    def block(self, block: int, k: int) -> tuple[Ints, Ints]:
        """Samples [B] and their first k neighbours [B, k], padded with -1."""
        table = self._file.read_row_group(block, columns=["sample", "neighbour_samples"]).combine_chunks()
        lists = table["neighbour_samples"].combine_chunks()
        offsets = np.asarray(lists.offsets, dtype=np.int64)
        return table["sample"].to_numpy(), _padded(np.asarray(lists.values, dtype=np.int64), offsets, k)


def _padded(flat: Ints, offsets: npt.NDArray[np.int64], k: int) -> Ints:
    places = np.arange(k)[None, :]
    kept = places < np.diff(offsets)[:, None]
    if len(flat) == 0:
        return np.full(kept.shape, -1, dtype=np.int64)
    return np.where(kept, flat[np.where(kept, offsets[:-1, None] + places, 0)], -1)


class OpenPart:
    """One rank's answers to contiguous rows, until they are a file."""

    def __init__(self, folder: Path, samples: Samples, keys: Keys) -> None:
        self._folder = folder
        self._samples = samples
        self._keys = keys
        self._waiting: list[tuple[Ints, Floats, Ints]] = []

    def add(self, rows: Ints, scores: Floats, neighbours: Ints) -> None:
        """The answers to the next rows: scores and positions among the keys [len(rows), k]."""
        self._waiting.append((rows, scores, neighbours))

    def close(self) -> None:
        """Write what was added."""
        if not any(len(rows) for rows, _, _ in self._waiting):
            return
        rows, scores, neighbours = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        self._waiting.clear()
        path = part_path(self._folder, range(int(rows[0]), int(rows[-1]) + 1))
        neighbours = self._keys.samples_at(neighbours)
        write_part(path, sample=self._samples.sample[rows], neighbours=neighbours, scores=scores)
