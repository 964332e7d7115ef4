"""Samples on their way to disk: appended a band at a time, then published as Parquet shards and one Arrow file.

The Parquet shards are for people and other tools; the Arrow file holds the same rows in one record batch, so that a
trainer maps it into memory and has every column as one array without reading or copying it.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import atomic_file, atomic_folder
from pairs.ragged import offsets_of
from pairs.samples.write_tables import PARQUET_SCHEMA, as_table
from pairs.tables import ARROW_SCHEMA, SPLITS, GraphOnly, Ints, Samples, Split

UserSamples = Mapping[Split, Samples]
"""All samples of some users, by split."""
COLUMNS = {"user": np.int64, "domain": np.int8, "target": np.int64, "target_time": np.int64}
HISTORY_COLUMNS = {"history": np.int64, "history_time": np.int64}
SHARD_ROWS = 500_000
"""Samples of a Parquet shard."""
GROUP_ROWS = 50_000
PIECE = 16 << 20
"""Bytes of a mapped column that are written at once."""


class SampleSpool:
    """One split's samples, column by column in plain files; `first` is the id of the first."""

    def __init__(self, folder: Path, split: Split | GraphOnly) -> None:
        self.split = split
        self.first = 0
        self.timed = True
        self.target_times: tuple[int, int] | None = None
        """The earliest and the latest of a target."""
        self._folder = folder / split
        self._folder.mkdir(parents=True)
        self._files: dict[str, BinaryIO] = {n: self._path(n).open("wb") for n in (*COLUMNS, *HISTORY_COLUMNS)}
        self._users: list[Ints] = []
        self._lengths: list[Ints] = []

    def append(self, samples: Samples) -> None:
        """More samples, after those that are there; their own ids are not kept."""
        self.timed &= samples.target_time is not None and samples.history_time is not None
        for name, dtype in {**COLUMNS, **HISTORY_COLUMNS}.items():
            values = getattr(samples, name)
            if values is not None:
                self._files[name].write(np.ascontiguousarray(values, dtype=dtype).data)
        if samples.target_time is not None and len(samples):
            earliest, latest = int(samples.target_time.min()), int(samples.target_time.max())
            known = self.target_times or (earliest, latest)
            self.target_times = min(known[0], earliest), max(known[1], latest)
        self._users.append(samples.user)
        self._lengths.append(samples.lengths)

    def close(self, *, first: int) -> None:
        """Nothing more is appended; samples are numbered from `first`."""
        for file in self._files.values():
            file.close()
        self.first = first
        self.users = np.concatenate([np.empty(0, dtype=np.int64), *self._users])
        lengths = np.concatenate([np.empty(0, dtype=np.int64), *self._lengths])
        self.offsets = offsets_of(lengths)
        self._users, self._lengths = [], []

    def __len__(self) -> int:
        return len(self.users)

    @property
    def num_interactions(self) -> int:
        """Of all rows, histories and targets."""
        return int(self.offsets[-1]) + len(self)

    def read(self, begin: int, end: int) -> Samples:
        """Rows begin..end as arrays."""
        low, high = int(self.offsets[begin]), int(self.offsets[end])
        return Samples(
            sample=np.arange(self.first + begin, self.first + end, dtype=np.int64),
            user=self.users[begin:end],
            domain=self._column("domain", begin, end).astype(np.int64),
            target=self._column("target", begin, end),
            history=self._column("history", low, high),
            offsets=self.offsets[begin : end + 1] - low,
            history_time=self._column("history_time", low, high) if self.timed else None,
            target_time=self._column("target_time", begin, end) if self.timed else None,
        )

    def publish(self, folder: Path) -> None:
        """Write `SPLIT.parquet/part-00000.parquet` and so on, and `SPLIT.arrow`."""
        with atomic_folder(folder / f"{self.split}.parquet") as partial:
            for number, begin in enumerate(range(0, max(len(self), 1), SHARD_ROWS)):
                with pq.ParquetWriter(partial / f"part-{number:05d}.parquet", PARQUET_SCHEMA, compression="zstd") as to:
                    for low in range(begin, min(begin + SHARD_ROWS, len(self)), GROUP_ROWS):
                        to.write_table(as_table(self.read(low, min(low + GROUP_ROWS, begin + SHARD_ROWS, len(self)))))
        with atomic_file(folder / f"{self.split}.arrow") as partial:
            self._write_arrow(partial)

    def _write_arrow(self, path: Path) -> None:
        columns = {name: self._mapped(name) for name in ("user", "domain", "target", "target_time", *HISTORY_COLUMNS)}
        offsets = pa.array(self.offsets)
        arrays = {name: pa.array(values) for name, values in columns.items()}
        lists = {name: pa.LargeListArray.from_arrays(offsets, arrays[name]) for name in HISTORY_COLUMNS if self.timed}
        lists.setdefault("history", pa.LargeListArray.from_arrays(offsets, arrays["history"]))
        parts = {"sample": pa.array(np.arange(self.first, self.first + len(self))), **arrays, **lists}
        if not self.timed:
            parts |= {
                name: pa.nulls(len(self), ARROW_SCHEMA.field(name).type) for name in ("history_time", "target_time")
            }
        batch = pa.RecordBatch.from_arrays([parts[name] for name in ARROW_SCHEMA.names], schema=ARROW_SCHEMA)
        maps = [values for values in columns.values() if isinstance(values, np.memmap)]
        with _ReleasingFile(path, maps) as file, pa.ipc.new_stream(pa.PythonFile(file, "w"), ARROW_SCHEMA) as stream:
            stream.write_batch(batch)

    def _column(self, name: str, begin: int, end: int) -> Ints:
        dtype = np.dtype({**COLUMNS, **HISTORY_COLUMNS}[name])
        with self._path(name).open("rb") as file:
            return np.fromfile(file, dtype=dtype, count=end - begin, offset=begin * dtype.itemsize)

    def _mapped(self, name: str) -> npt.NDArray[np.generic]:
        dtype = {**COLUMNS, **HISTORY_COLUMNS}[name]
        path = self._path(name)
        if path.stat().st_size == 0:
            return np.empty(0, dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.bin"


def open_spools(folder: Path) -> dict[Split, SampleSpool]:
    """An empty spool a split."""
    return {split: SampleSpool(folder, split) for split in SPLITS}


def close_spools(spools: Mapping[Split, SampleSpool]) -> None:
    """End them; samples are numbered through all splits, in order."""
    first = 0
    for spool in spools.values():
        spool.close(first=first)
        first += len(spool)


class _ReleasingFile:
    """Writes mapped columns a piece at a time and gives their pages back, so that they never fill the memory."""

    def __init__(self, path: Path, maps: list["np.memmap[tuple[int, ...], np.dtype[np.generic]]"]) -> None:
        self._file = path.open("wb")
        self._maps: list[mmap.mmap] = [array._mmap for array in maps]  # type: ignore[attr-defined]
        self.closed = False

    def write(self, data: "pa.Buffer | bytes") -> int:
        """All of it."""
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), PIECE):
            self._file.write(view[begin : begin + PIECE])
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
        return len(view)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._file.tell()

    def flush(self) -> None:
        """To the kernel."""
        self._file.flush()

    def close(self) -> None:
        """No more."""
        self._file.close()
        self.closed = True

    def __enter__(self) -> "_ReleasingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def user_batches(spools: Mapping[Split, SampleSpool], *, interactions: int) -> Iterator[UserSamples]:
    """All samples, in batches that hold about so many interactions of the largest split.

    Where samples are not in order of their users (a released pair keeps the order of its lines), all are one batch.
    """
    if any((np.diff(spool.users) < 0).any() for spool in spools.values()):
        yield {split: spool.read(0, len(spool)) for split, spool in spools.items()}
        return
    largest = max(spools.values(), key=lambda spool: int(spool.offsets[-1]))
    total = int(largest.offsets[-1])
    places = np.searchsorted(largest.offsets, np.arange(interactions, total, interactions))
    borders = np.unique(largest.users[np.minimum(places, len(largest) - 1)]) if len(largest) else np.empty(0)
    rows = {split: [0, *np.searchsorted(spool.users, borders).tolist(), len(spool)] for split, spool in spools.items()}
    for number in range(len(borders) + 1):
        yield {split: spools[split].read(at[number], at[number + 1]) for split, at in rows.items()}
