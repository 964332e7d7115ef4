"""Write a prepared pair: items, users and one table of samples a split, each by rename."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import atomic_file
from pairs.tables import Ints, Samples, Split

SAMPLE_SCHEMA = pa.schema(
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


def write_pair(folder: Path, *, items: pl.DataFrame, users: pl.DataFrame, samples: dict[Split, Samples]) -> None:
    """items.parquet (with train_count), users.parquet, train, valid and test.parquet in `folder`."""
    counts = count_items(samples["train"], num_items=items.height)
    catalogue = items.sort("item").with_columns(
        pl.col("attributes", "title").fill_null(""), train_count=pl.Series(counts, dtype=pl.Int64)
    )
    assert np.array_equal(catalogue["item"].to_numpy(), np.arange(items.height)), "item ids are not 0..I-1"
    _write(folder / "items.parquet", catalogue.select(ITEM_SCHEMA.names).to_arrow().cast(ITEM_SCHEMA))
    _write(folder / "users.parquet", users.sort("user").select(USER_SCHEMA.names).to_arrow().cast(USER_SCHEMA))
    for split, table in samples.items():
        _write(folder / f"{split}.parquet", as_table(table))


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
    return pa.Table.from_arrays(columns, schema=SAMPLE_SCHEMA)


def interactions(samples: Samples) -> pl.DataFrame:
    """user, item, count: what the histories and targets of these samples show, each interaction once.

    Samples of one user overlap: twins have the same history, later targets have the earlier ones in theirs. The most
    often that an item occurs in any one of a user's samples is how often the user interacted with it.
    """
    rows = np.repeat(np.arange(len(samples)), samples.lengths)
    events = pl.DataFrame(
        {
            "row": np.concatenate([rows, np.arange(len(samples))]),
            "user": np.concatenate([samples.user[rows], samples.user]),
            "item": np.concatenate([samples.history, samples.target]),
        }
    )
    per_sample = events.group_by("row", "user", "item").len("count")
    return per_sample.group_by("user", "item").agg(pl.col("count").max().cast(pl.Int64))


def count_items(samples: Samples, *, num_items: int) -> Ints:
    """How often each item occurs in the samples, each interaction once [num_items]."""
    counted = interactions(samples).group_by("item").agg(pl.col("count").sum())
    counts = np.zeros(num_items, dtype=np.int64)
    counts[counted["item"].to_numpy()] = counted["count"].to_numpy()
    return counts


def _write(path: Path, table: pa.Table) -> None:
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")
