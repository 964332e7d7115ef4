"""What a prompt says of kindred users: their histories one by one, or the items that they bought by votes.

    histories: There is another similar user who bought: ...     (the nearest user first; any domain; latest items)
    votes:     3 similar users bought: ... One similar user bought: ...     (items of the asked domain alone)

An item has one vote of every kindred user who has it, however often. Items with equal votes stand in the order of their
nearest buyer, and those of one buyer the latest first; ids decide nothing. What the asking user has is left out.
"""

from dataclasses import dataclass

import numpy as np

from pairs.ragged import places_of, rows_of
from pairs.tables import Ints, Samples
from training.prompts.pieces import MOST_VOTES, NEIGHBOUR, VOTES

NOBODY = -1


@dataclass(frozen=True)
class Groups:
    """K groups of at most M items for each of B prompts, as `training.prompts.assembly.Wanted` has them."""

    items: Ints  # [B, K, M]
    headers: Ints  # [B, K]
    buyers: Ints  # [B, K, M]


@dataclass(frozen=True)
class Votes:
    """P pairs of a sample and an item that kindred users bought, by sample; the most votes first."""

    row: Ints  # [P], of the samples
    item: Ints  # [P]
    votes: Ints  # [P]
    buyers: Ints  # [P], bit k for the k-th nearest user
    place: Ints  # [P], from 0 in each row


def histories_of(known: Samples, kindred_BK: Ints, *, most: int, pad: int) -> Groups:
    """The `most` latest items of each kindred user; `kindred_BK` are rows of `known`, or NOBODY."""
    flat = kindred_BK.ravel()
    items = np.full((len(flat), most), pad, dtype=np.int64)
    present = flat != NOBODY
    items[present] = known.take(flat[present]).recent(most, pad)
    items_BKM = items.reshape(*kindred_BK.shape, most)
    bits_K = np.int64(1) << np.arange(kindred_BK.shape[1], dtype=np.int64)
    return Groups(
        items=items_BKM,
        headers=np.full(kindred_BK.shape, NEIGHBOUR, dtype=np.int64),
        buyers=np.where(items_BKM == pad, 0, bits_K[None, :, None]),
    )


def votes_of(known: Samples, kindred_BK: Ints, *, most: int, asked: Samples, item_domain: Ints, pad: int) -> Groups:
    """The `most` items of the asked domain that have the most votes, in groups of equal votes."""
    votes = count_votes(known, kindred_BK, asked=asked, item_domain=item_domain)
    kept = votes.place < most
    row, level = votes.row[kept], np.minimum(votes.votes[kept], MOST_VOTES)
    group = MOST_VOTES - level  # the most votes first
    starts = np.r_[True, (row[1:] != row[:-1]) | (group[1:] != group[:-1])] if len(row) else np.zeros(0, bool)
    place = np.arange(len(row)) - np.maximum.accumulate(np.where(starts, np.arange(len(row)), 0))
    shape = (len(asked), MOST_VOTES, most)
    items, buyers = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    items[row, group, most - 1 - place] = votes.item[kept]
    buyers[row, group, most - 1 - place] = votes.buyers[kept]
    headers = VOTES + MOST_VOTES - 1 - np.arange(MOST_VOTES)
    return Groups(items, np.broadcast_to(headers, shape[:2]).astype(np.int64), buyers)


def count_votes(known: Samples, kindred_BK: Ints, *, asked: Samples, item_domain: Ints) -> Votes:
    """Every item of the asked domain that a kindred user has and the asking user has not."""
    B, K = kindred_BK.shape
    present = np.flatnonzero(kindred_BK.ravel() != NOBODY)
    bought = known.take(kindred_BK.ravel()[present])
    user = present[rows_of(bought.lengths)]
    row, nearness, item = user // K, user % K, bought.history
    age = bought.lengths[rows_of(bought.lengths)] - 1 - places_of(bought.lengths)
    width = len(item_domain)
    own = asked.item_rows * width + asked.history
    usable = (item_domain[item] == asked.domain[row]) & ~np.isin(row * width + item, own)
    row, nearness, item, age = row[usable], nearness[usable], item[usable], age[usable]

    by = np.lexsort((age, nearness, item, row))  # an item's nearest buyer first, and his latest purchase of it
    row, nearness, item, age = row[by], nearness[by], item[by], age[by]
    pair = row * width + item
    first = np.r_[True, pair[1:] != pair[:-1]] if len(pair) else np.zeros(0, bool)
    pair_of = np.cumsum(first) - 1
    buyers = np.zeros(int(first.sum()), dtype=np.int64)
    np.bitwise_or.at(buyers, pair_of, np.int64(1) << nearness)
    row, nearness, item, age = row[first], nearness[first], item[first], age[first]
    votes = np.bitwise_count(buyers).astype(np.int64)

    by = np.lexsort((age, nearness, -votes, row))
    counts = np.bincount(row, minlength=B)
    return Votes(row[by], item[by], votes[by], buyers[by], places_of(counts))
