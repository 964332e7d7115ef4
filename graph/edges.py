"""Edges between items, read off the train samples: which item follows which, which are bought in one history.

A user counts once for an edge: the twin samples of Art-Office (one history, two targets) and the growing histories of
a chronological split do not add up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.interactions import sequences_with_target, successions
from pairs.tables import Ints, Samples

DISTANCES = (1, 2, 4, 8)
"""Upper bounds of the distance classes; what is farther apart is in one more class."""
NUM_GAPS = 2 * (len(DISTANCES) + 1)
"""Distance classes, first with the companion after the item, then before."""


@dataclass(frozen=True)
class Edges:
    """Directed edges, in order of (source, target), each once."""

    source: Ints  # [E]
    target: Ints  # [E]
    count: Ints  # [E], users that have the edge


@dataclass(frozen=True)
class Companions:
    """Ordered pairs of items in one train history (targets included), and who has them."""

    source: Ints  # [E], in order of (source, target), each pair once
    target: Ints  # [E]
    gap_counts: npt.NDArray[np.float32]  # [E, NUM_GAPS], users by distance class
    users: Ints  # [U], ascending
    user_offsets: Ints  # [U + 1]
    user_pair: Ints  # [C], the rows of user u's pairs are user_pair[user_offsets[u] : user_offsets[u + 1]]
    user_gap: Ints  # [C], and their distance classes


def successor_edges(train: Samples, item_domain: npt.NDArray[np.int8], *, within_domain: bool) -> Edges:
    """Edges from an item to the next of the mixed history, or to the next of its own domain."""
    user, source, target = successions(train, item_domain, within_domain=within_domain)
    found = pl.DataFrame({"user": user, "source": source, "target": target})
    counted = found.unique().group_by("source", "target").len("count").sort("source", "target")
    return Edges(_ints(counted["source"]), _ints(counted["target"]), _ints(counted["count"]))


def companion_pairs(train: Samples, *, window: int) -> Companions:
    """Pairs of different items at most `window` positions apart, both ways round, by their closest distance."""
    row, items = sequences_with_target(train)
    user = train.user[row]
    found = [_empty_pairs()]
    for distance in range(1, min(window, len(items) - 1) + 1):
        same = (row[distance:] == row[:-distance]) & (items[distance:] != items[:-distance])
        if not same.any():
            continue
        before, after = items[:-distance][same], items[distance:][same]
        near = int(np.searchsorted(DISTANCES, distance))
        both = {"user": user[distance:][same], "source": before, "target": after}
        found.append(pl.DataFrame(both).with_columns(gap=pl.lit(near, pl.Int64)))
        both |= {"source": after, "target": before}
        found.append(pl.DataFrame(both).with_columns(gap=pl.lit(near + NUM_GAPS // 2, pl.Int64)))
    nearest = pl.col("gap").sort_by(pl.col("gap") % (NUM_GAPS // 2), "gap").first()
    pairs = pl.concat(found).unique().group_by("user", "source", "target").agg(nearest)
    pairs = pairs.with_columns(pair=pl.struct("source", "target").rank("dense").cast(pl.Int64) - 1)
    pairs = pairs.sort("user", "pair")
    return _with_counts(pairs, np.unique(train.user))


def _with_counts(pairs: pl.DataFrame, users: Ints) -> Companions:
    pair, gap, user = _ints(pairs["pair"]), _ints(pairs["gap"]), _ints(pairs["user"])
    num_pairs = int(pair.max(initial=-1)) + 1
    counts = np.bincount(pair * NUM_GAPS + gap, minlength=num_pairs * NUM_GAPS).reshape(num_pairs, NUM_GAPS)
    source, target = np.zeros(num_pairs, dtype=np.int64), np.zeros(num_pairs, dtype=np.int64)
    source[pair], target[pair] = _ints(pairs["source"]), _ints(pairs["target"])
    offsets = np.searchsorted(user, np.append(users, np.iinfo(np.int64).max)).astype(np.int64)
    return Companions(source, target, counts.astype(np.float32), users, offsets, pair, gap)


def _empty_pairs() -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(("user", "source", "target", "gap"), pl.Int64))


def _ints(column: pl.Series) -> Ints:
    return np.array(column.to_numpy(), dtype=np.int64)  # a copy: torch wants it writable
