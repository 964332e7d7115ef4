"""Who may be a neighbour: other users, each once, and only the past where times are known.

An index searches the past alone where only that counts; users are told apart in its results, so a row may be left
with too few. It is then searched deeper until it has k, or until every key was seen. Keys are spoken of by their
positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from pairs.tables import Ints
from retrieval.fixed_point import Floats
from retrieval.indexes.sharded import ShardedIndex
from retrieval.indexes.topk import pad_results
from retrieval.keys import Keys

EXTRA = 16  # searched at first beyond k users with as many keys as usual: own samples, and more of one neighbour
DEEPER = 4  # times as deep, for rows that fell short
RESULTS_AT_ONCE = 1 << 23


class Rows(Protocol):
    """B rows of which some can be picked, as of an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Ints, /) -> Self: ...


Query = TypeVar("Query", bound=Rows)


@dataclass(frozen=True)
class Asking(Generic[Query]):
    """Who asks: queries, users and, where only the past counts, when; and which rank has the answers."""

    queries: Query  # [B, d] vectors, or what else an index takes
    user: Ints  # [B]
    before: Ints | None  # [B], seconds; neighbours' histories must end earlier
    cuts: tuple[int, ...]
    """Answers of rows `cuts[r]` to `cuts[r + 1]` are rank r's."""

    def __len__(self) -> int:
        return len(self.user)

    def of_rank(self, rank: int) -> Ints:
        """The rows whose answers are one rank's."""
        return np.arange(self.cuts[rank], self.cuts[rank + 1])

    def take(self, rows: Ints) -> "Asking[Query]":
        """Only `rows`, which increase."""
        before = None if self.before is None else self.before[rows]
        return Asking(self.queries[rows], self.user[rows], before, cuts_of(rows, self.cuts))


def alone(queries: Query, user: Ints, before: Ints | None = None) -> Asking[Query]:
    """Whoever asks, with all answers on one rank."""
    return Asking(queries, user, before, (0, len(user)))


def cuts_of(rows: Ints, cuts: Sequence[int]) -> tuple[int, ...]:
    """Where `cuts` lie among some of the rows, which increase."""
    return tuple(int(place) for place in np.searchsorted(rows, cuts))


def find_kindred(
    index: ShardedIndex[Query], asking: Asking[Query], k: int, *, keys: Keys, per_user: float | None = None
) -> tuple[Floats, Ints]:
    """The k nearest other users' keys for the rows of this rank: scores [b, k] and positions among the keys [b, k].

    Rows end with -inf, -1 where fewer exist. A collective: the ranks agree on which rows are searched deeper.

    Args:
        per_user: how many keys of one user stand together in what the index finds; None: all of hers.
    """
    own = asking.of_rank(index.world.rank)
    scores, positions = pad_results(np.empty((len(own), 0), np.float32), np.empty((len(own), 0), np.int64), k)
    more = np.ones(len(own), dtype=bool)  # whether the index may have more for a row
    short = np.arange(len(asking))
    depth = min(math.ceil(k * (keys.per_user if per_user is None else per_user)) + EXTRA, len(keys))
    while len(short) and depth:
        at_once = max(1, RESULTS_AT_ONCE // depth)
        for start in range(0, len(short), at_once):
            rows = short[start : start + at_once]
            part = asking.take(rows)
            near_scores, near = index.search(part.queries, depth, before=part.before, cuts=part.cuts)
            of_part = part.of_rank(index.world.rank)
            mine = rows[of_part] - asking.cuts[index.world.rank]
            more[mine] = near[:, -1] >= 0
            scores[mine], positions[mine] = keep_kindred(near_scores, near, part.take(of_part), k, keys=keys)
        short = index.agree(own[(positions < 0).any(axis=1) & more])
        depth = 0 if depth == len(keys) else min(depth * DEEPER, len(keys))
    if index.exact is not None:
        mine = np.flatnonzero((positions < 0).any(axis=1))
        short = index.agree(own[mine])
        if len(short):
            scores[mine], positions[mine] = find_kindred(index.exact, asking.take(short), k, keys=keys)
    return scores, positions


def keep_kindred(scores: Floats, positions: Ints, asking: Asking[Query], k: int, *, keys: Keys) -> tuple[Floats, Ints]:
    """The first k of each sorted row [B, depth] of keys that may be neighbours, as [B, k]."""
    num_rows = len(positions)
    users = keys.user[positions]
    allowed = (positions >= 0) & (users != asking.user[:, None])
    if asking.before is not None:
        assert keys.last_time is not None
        allowed &= keys.last_time[positions] < asking.before[:, None]
    allowed &= _first_of_user(users, allowed)
    rank = np.cumsum(allowed, axis=1)
    rows, columns = np.nonzero(allowed & (rank <= k))
    kept_scores, kept = pad_results(np.empty((num_rows, 0), np.float32), np.empty((num_rows, 0), np.int64), k)
    kept_scores[rows, rank[rows, columns] - 1] = scores[rows, columns]
    kept[rows, rank[rows, columns] - 1] = positions[rows, columns]
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
