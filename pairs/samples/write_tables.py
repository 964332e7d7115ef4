"""Write the tables of a prepared pair, each by rename: items, users; and samples as an Arrow table."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import atomic_file
from pairs.tables import Ints, Samples

PARQUET_SCHEMA = pa.schema(
    [
        ("sample", pa.int64()),
        ("user", pa.int64()),
        ("domain", pa.int8()),
        ("history", pa.list_(pa.int64())),
        ("history_time", pa.list_(pa.int64())),
        ("target", pa.int64()),
        ("target_time", pa.int64()),
    ]
)
ITEM_SCHEMA = pa.schema(
    [
        ("item", pa.int64()),
        ("domain", pa.int8()),
        ("source_id", pa.string()),
        ("title", pa.string()),
        ("attributes", pa.string()),
        ("train_count", pa.int64()),
    ]
)
USER_SCHEMA = pa.schema([("user", pa.int64()), ("source_id", pa.string())])
GROUP_ROWS = 1_000_000


def write_items(folder: Path, items: pl.DataFrame, *, train_count: Ints) -> None:
    """items.parquet; `items` are in order of their ids, `train_count` is [I]."""
    assert np.array_equal(items["item"].to_numpy(), np.arange(items.height)), "item ids are not 0..I-1"
    table = items.with_columns(
        pl.col("attributes", "title").fill_null(""), train_count=pl.Series(train_count, dtype=pl.Int64)
    )
    with atomic_file(folder / "items.parquet") as partial:
        pq.write_table(_as_arrow(table, ITEM_SCHEMA), partial, compression="zstd")


def write_users(folder: Path, pieces: Iterable[pl.DataFrame]) -> None:
    """users.parquet out of frames of user, source_id, ascending; the same bytes however they are cut into frames."""
    with (
        atomic_file(folder / "users.parquet") as partial,
        pq.ParquetWriter(partial, USER_SCHEMA, compression="zstd") as file,
    ):
        waiting = pl.DataFrame(schema={"user": pl.Int64, "source_id": pl.String})
        for piece in pieces:
            waiting = pl.concat([waiting, piece.select(USER_SCHEMA.names)])
            whole = waiting.height // GROUP_ROWS * GROUP_ROWS
            for begin in range(0, whole, GROUP_ROWS):
                file.write_table(_as_arrow(waiting[begin : begin + GROUP_ROWS], USER_SCHEMA))
            waiting = waiting[whole:]
        file.write_table(_as_arrow(waiting, USER_SCHEMA))


def as_table(samples: Samples) -> pa.Table:
    """One split's samples as an Arrow table; times are null where there are none."""
    offsets = pa.array(samples.offsets, type=pa.int32())
    if samples.history_time is None or samples.target_time is None:
        history_time = pa.nulls(len(samples), pa.list_(pa.int64()))
        target_time = pa.nulls(len(samples), pa.int64())
    else:
        history_time = pa.ListArray.from_arrays(offsets, pa.array(samples.history_time, type=pa.int64()))
        target_time = pa.array(samples.target_time, type=pa.int64())
    columns = [
        pa.array(samples.sample, type=pa.int64()),
        pa.array(samples.user, type=pa.int64()),
        pa.array(samples.domain.astype(np.int8), type=pa.int8()),
        pa.ListArray.from_arrays(offsets, pa.array(samples.history, type=pa.int64())),
        history_time,
        pa.array(samples.target, type=pa.int64()),
        target_time,
    ]
    return pa.Table.from_arrays(columns, schema=PARQUET_SCHEMA)


def _as_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """In one piece: where a table consists of several, Parquet's pages end elsewhere."""
    return frame.select(schema.names).rechunk().to_arrow().cast(schema)
