"""Who may be a neighbour: other users, each once, and only the past where times are known.

The filter runs on search results, so a row may be left with too few; it is then searched deeper until it has k, or
until every key was seen.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from pairs.tables import Ints
from retrieval.fixed_point import Floats
from retrieval.index import TopKIndex, pad_results
from retrieval.keys import Keys

EXTRA = 16  # searched beyond k at first: own samples, and several of one neighbour
DEEPER = 4  # times as deep, for rows that fell short
RESULTS_AT_ONCE = 1 << 23


class Rows(Protocol):
    """B rows of which some can be picked, as of an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Ints, /) -> Self: ...


Query = TypeVar("Query", bound=Rows)


@dataclass(frozen=True)
class Asking(Generic[Query]):
    """Who asks: queries, users and, where only the past counts, when."""

    queries: Query  # [B, d] vectors, or what else an index takes
    user: Ints  # [B]
    before: Ints | None  # [B], seconds; neighbours' histories must end earlier

    def take(self, rows: Ints) -> "Asking[Query]":
        """Only `rows`."""
        return Asking(self.queries[rows], self.user[rows], None if self.before is None else self.before[rows])


def find_kindred(index: TopKIndex[Query], asking: Asking[Query], k: int, *, keys: Keys) -> tuple[Floats, Ints]:
    """The k nearest other users' samples: scores [B, k] and sample ids [B, k], ended by -inf, -1 where fewer exist.

    A collective where `index` is one: which rows are searched deeper depends on results that all ranks share.
    """
    num_rows = len(asking.user)
    scores = np.full((num_rows, k), -np.inf, dtype=np.float32)
    samples = np.full((num_rows, k), -1, dtype=np.int64)
    short = np.arange(num_rows)
    more = np.ones(num_rows, dtype=bool)  # whether the index may have more for a row
    depth = min(k + EXTRA, len(keys))
    while len(short) and depth:
        at_once = max(1, RESULTS_AT_ONCE // depth)
        for start in range(0, len(short), at_once):
            rows = short[start : start + at_once]
            near_scores, near = index.search(asking.queries[rows], depth)
            more[rows] = near[:, -1] >= 0
            scores[rows], samples[rows] = keep_kindred(near_scores, near, asking.take(rows), k, keys=keys)
        short = short[(samples[short] < 0).any(axis=1) & more[short]]
        depth = 0 if depth == len(keys) else min(depth * DEEPER, len(keys))
    return scores, samples


def keep_kindred(scores: Floats, samples: Ints, asking: Asking[Query], k: int, *, keys: Keys) -> tuple[Floats, Ints]:
    """The first k of each sorted row [B, depth] that may be neighbours, as [B, k]."""
    num_rows = len(samples)
    positions = keys.position_of(samples)
    users = keys.user[positions]
    allowed = (samples >= 0) & (users != asking.user[:, None])
    if asking.before is not None:
        assert keys.last_time is not None
        allowed &= keys.last_time[positions] < asking.before[:, None]
    allowed &= _first_of_user(users, allowed)
    rank = np.cumsum(allowed, axis=1)
    rows, columns = np.nonzero(allowed & (rank <= k))
    kept_scores, kept = pad_results(np.empty((num_rows, 0), np.float32), np.empty((num_rows, 0), np.int64), k)
    kept_scores[rows, rank[rows, columns] - 1] = scores[rows, columns]
    kept[rows, rank[rows, columns] - 1] = samples[rows, columns]
    return kept_scores, kept


def _first_of_user(users: Ints, allowed: np.typing.NDArray[np.bool_]) -> np.typing.NDArray[np.bool_]:
    """Of the allowed places [B, depth], each user's first in the row."""
    depth = users.shape[1]
    grouped = np.argsort(np.where(allowed, users, -1), axis=1, kind="stable")
    sorted_users = np.take_along_axis(users, grouped, 1)
    sorted_allowed = np.take_along_axis(allowed, grouped, 1)
    first = np.ones((len(users), depth), dtype=bool)
    first[:, 1:] = (sorted_users[:, 1:] != sorted_users[:, :-1]) | ~sorted_allowed[:, :-1]
    is_first = np.empty_like(first)
    np.put_along_axis(is_first, grouped, first, 1)
    return is_first
