"""Edges between items, read off the train samples: which item follows which, which are bought in one history.

A user counts once for an edge: the twin samples of Art-Office (one history, two targets) and the growing histories of
a chronological split do not add up.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.matrices import sequences_with_target, successions
from pairs.tables import Ints, Samples

DISTANCES = (1, 2, 4, 8)
"""Upper bounds of the distance classes; what is farther apart is in one more class."""
NUM_GAPS = 2 * (len(DISTANCES) + 1)
"""Distance classes, first with the companion after the item, then before."""


USERS_AT_ONCE, LARGEST_KEY = 16_384, 1 << 62
"""Bounds of the memory, and of the numbers that stand for a user and two items."""
_NOTHING = np.empty(0, dtype=np.int64)


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
    edges = pl.DataFrame({"user": user, "source": source, "target": target})
    counted = edges.unique().group_by("source", "target").len("count").sort("source", "target")
    return Edges(_ints(counted["source"]), _ints(counted["target"]), _ints(counted["count"]))


def companion_pairs(train: Samples, *, window: int) -> Companions:
    """Pairs of different items at most `window` positions apart, both ways round, by their closest distance."""
    users, number = np.unique(train.user, return_inverse=True)
    order = np.argsort(number, kind="stable")
    samples = train.take(order)
    width = int(max(train.history.max(initial=0), train.target.max(initial=0))) + 1
    at_once = min(USERS_AT_ONCE, max(LARGEST_KEY // (width * width * NUM_GAPS), 1))
    borders = np.searchsorted(number[order], np.arange(0, len(users) + at_once, at_once))
    user, cell, gap = [_NOTHING], [_NOTHING], [_NOTHING]
    for chunk, (begin, end) in enumerate(pairwise(borders.tolist())):
        rows = np.arange(begin, end)
        keys = _pair_keys(samples.take(rows), number[order][rows] - chunk * at_once, width=width, window=window)
        whose, pair = np.divmod(keys // NUM_GAPS, width * width)
        user.append(whose + chunk * at_once)
        cell.append(pair)
        gap.append(keys % NUM_GAPS // 2 + keys % 2 * (NUM_GAPS // 2))
    cells, pair = np.unique(np.concatenate(cell), return_inverse=True)
    gaps = np.concatenate(gap)
    counts = np.bincount(pair * NUM_GAPS + gaps, minlength=len(cells) * NUM_GAPS).reshape(-1, NUM_GAPS)
    offsets = np.searchsorted(np.concatenate(user), np.arange(len(users) + 1))
    return Companions(cells // width, cells % width, counts.astype(np.float32), users, offsets, pair, gaps)


def _pair_keys(samples: Samples, user: Ints, *, width: int, window: int) -> Ints:
    """A number for every (user, item, companion) [E], ascending, each once: with the nearest of its distance classes,
    the companion after the item before the one before it. (Numbers are sorted many times as fast as rows.)"""
    row, items = sequences_with_target(samples)
    whose = user[row]
    keys_of_distances = [_NOTHING]
    for distance in range(1, min(window, len(items) - 1) + 1):
        same = (row[distance:] == row[:-distance]) & (items[distance:] != items[:-distance])
        if not same.any():
            continue
        owner, before, after = whose[distance:][same], items[:-distance][same], items[distance:][same]
        near = int(np.searchsorted(DISTANCES, distance))
        keys_of_distances.append(((owner * width + before) * width + after) * NUM_GAPS + 2 * near)
        keys_of_distances.append(((owner * width + after) * width + before) * NUM_GAPS + 2 * near + 1)
    keys = np.sort(np.concatenate(keys_of_distances))
    triple = keys // NUM_GAPS
    nearest: Ints = keys[np.append(True, triple[1:] != triple[:-1])[: len(keys)]]
    return nearest


def _ints(column: pl.Series) -> Ints:
    return np.array(column.to_numpy(), dtype=np.int64)  # a copy: torch wants it writable
