"""Users who are not in the pair but may teach what goes together: those with enough interactions in one domain only.

They get no sample to train or judge with, no id in users.parquet and no say in what an item's train_count is.
Each is one row of `graph_only.arrow`, in the form of a sample: a history and, as its target, the last interaction.
Only interactions with items of the pair count, and all of them do, beyond the cuts of a split by time as well, however
many: who reads the rows takes what is known by then (pairs/known.py). To keep the latest alone would take away the past
of who buys much later.
"""

from pathlib import Path

import numpy as np
import polars as pl

from pairs.samples.one_domain import last_as_target
from pairs.samples.spool import SampleSpool
from pairs.sifting.bands import Bands
from pairs.sifting.core import Core, count_users
from pairs.tables import GRAPH_ONLY


def spool_graph_only(
    bands: Bands,
    core: Core,
    *,
    num_x: int,
    floor: int,
    folder: Path,
) -> SampleSpool:
    """One row a user; users are numbered on from the pair's own. Codes of items below `num_x` are of domain X."""
    spool = SampleSpool(folder, GRAPH_ONLY)
    item_number = np.cumsum(core.items) - 1
    first_user = sum(int(kept.sum()) for kept in core.users)
    for index, num_users in enumerate(bands.num_users):
        band = bands.load(index)
        outside = core.items[band.item] & ~core.users[index][band.user]
        band = band.take(outside)
        counts = count_users(band, num_users, num_x=num_x)
        enough = (counts.max(axis=1) >= floor) & (counts.sum(axis=1) >= 2)
        band = band.take(enough[band.user])
        number = np.cumsum(enough) - 1 + first_user
        columns = {
            "user": number[band.user],
            "item": item_number[band.item],
            "domain": (band.item >= num_x).astype(np.int8),
            "time": band.time,
        }
        spool.append(last_as_target(pl.DataFrame(columns).sort("user", "time", "item")))
        first_user += int(enough.sum())
    return spool
