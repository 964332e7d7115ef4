"""The part of a pair in which every user and every item has enough interactions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pairs.sifting.bands import Band, Bands, Bools, Counts, Ints

SHRUNK = 0.8
"""A band is written anew when no more than this share of its rows is left."""


@dataclass(frozen=True)
class Core:
    """What is kept: codes of items, and for every band its users."""

    items: Bools  # [C]
    users: list[Bools]  # [U] of every band

    def rows(self, index: int, band: Band) -> Bools:
        """Which interactions of a band are in the core."""
        inside: Bools = self.items[band.item] & self.users[index][band.user]
        return inside


def find_core(
    bands: Bands,
    *,
    num_items: int,
    num_x: int,
    k_core: int,
    floor: int,
    users_of: Literal["both", "either"] = "both",
    shrink: bool = True,
) -> Core:
    """The largest part in which every item has `k_core` interactions and every user `floor` in each of the two domains
    (`either`: in at least one). Codes below `num_x` are of domain X.

    That part is unique: whatever breaks a bound now breaks it in every smaller part, so the order of removal is free.
    Each round reads every band once; with `shrink`, bands are written anew without what has been removed.
    """
    needed = 2 if users_of == "both" else 1
    items = np.ones(num_items, dtype=bool)
    while True:
        counts = np.zeros(num_items, dtype=np.int64)
        users = []
        for index, num_users in enumerate(bands.num_users):
            band = bands.load(index)
            kept = items[band.item]
            enough = count_users(band.take(kept), num_users, num_x=num_x) >= floor
            users.append(enough.sum(axis=1) >= needed)
            kept &= users[-1][band.user]
            counts += np.bincount(band.item[kept], minlength=num_items)
            if shrink and kept.sum() <= SHRUNK * len(band):
                bands.replace(index, band.take(kept))
        enough_of_item = counts >= k_core
        if counts[~enough_of_item].sum() == 0:
            return Core(items & (counts > 0), users)
        items &= enough_of_item


def count_users(band: Band, num_users: int, *, num_x: int) -> Ints:
    """Interactions of every user in each domain [U, 2]."""
    keys = band.user.astype(np.int64) * 2 + (band.item >= num_x)
    counts: Ints = np.bincount(keys, minlength=2 * num_users).reshape(-1, 2)
    return counts


def count_core(bands: Bands, core: Core, *, num_x: int) -> dict[str, int]:
    """What the core holds, for the data card."""
    counts = Counts()
    for index, band in enumerate(bands):
        inside = band.take(core.rows(index, band))
        counts.add(inside.user, (inside.item >= num_x).astype(np.int8))
    return counts.as_json()
