"""Write a hand-made pair as `prepare` writes one."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pairs.card.tally import Tally
from pairs.samples.spool import SampleSpool, open_spools, user_batches
from pairs.samples.write_tables import write_items, write_users
from pairs.tables import Ints, Samples, Split


def write_pair(folder: Path, *, items: pl.DataFrame, users: pl.DataFrame, samples: dict[Split, Samples]) -> None:
    """items.parquet (with train_count), users.parquet and the samples of every split in `folder`."""
    spools = open_spools(folder / "spool")
    for split, table in samples.items():
        spools[split].append(table)
        spools[split].close(first=int(table.sample[0]) if len(table) else 0)
    items = items.sort("item")
    tally = Tally(items["domain"].to_numpy())
    for batch in user_batches(spools, interactions=1_000_000):
        tally.add(batch)
    write_items(folder, items, train_count=tally.train_count)
    write_users(folder, [users.sort("user")])
    for spool in spools.values():
        spool.publish(folder)
    shutil.rmtree(folder / "spool")


def write_split(folder: Path, split: Split, table: pa.Table) -> None:
    """One split's samples, in the design's columns, whose ids go up one by one."""
    lengths = np.array([len(history) for history in table["history"].to_pylist()], dtype=np.int64)
    timed = table["target_time"].null_count == 0
    spool = SampleSpool(folder / "spool", split)
    spool.append(
        Samples(
            sample=_ints(table["sample"]),
            user=_ints(table["user"]),
            domain=_ints(table["domain"]),
            target=_ints(table["target"]),
            history=_ints(table["history"].combine_chunks().flatten()),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            history_time=_ints(table["history_time"].combine_chunks().flatten()) if timed else None,
            target_time=_ints(table["target_time"]) if timed else None,
        )
    )
    spool.close(first=table["sample"][0].as_py())
    spool.publish(folder)
    shutil.rmtree(folder / "spool")


def _ints(column: pa.ChunkedArray | pa.Array) -> Ints:
    return np.asarray(column.to_numpy(), dtype=np.int64) if isinstance(column, pa.ChunkedArray) else np.array(column)
