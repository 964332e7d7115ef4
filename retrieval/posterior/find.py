"""Find the users who hold what is expected: each alone the most of it or, with coverage, together."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pairs.tables import Ints, Samples
from retrieval.config import CANDIDATES
from retrieval.fixed_point import Floats
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys
from retrieval.kindred import Asking, Query, find_kindred, keep_kindred
from retrieval.posterior.coverage import cover
from retrieval.posterior.expected import ExpectedItems
from retrieval.posterior.likeliest import NAMED, best_by_all, holders_of_lists, likeliest


@dataclass(frozen=True)
class Holders:
    """Who may be kindred by what they hold, ready to be searched."""

    index: ShardedIndex[ExpectedItems]
    train: Samples
    """Train's and those of users of one domain, with histories as far as they count."""
    keys: Keys
    num_held: Ints
    """How many items each key's history has."""
    num_holders: Ints
    """How many histories each item is in."""
    most: int | None = None
    """Histories that are looked up for a sample; None: all that hold anything of its list."""

    def find(self, asking: Asking[ExpectedItems], k: int, *, coverage: bool) -> tuple[Floats, Ints]:
        """Scores [b, k] and positions among the keys [b, k], for the rows of this rank; a collective.

        Rows end with -inf, -1 where fewer hold anything of what is expected.
        """
        if not coverage:
            return self._best(asking, k)
        candidates = self._best(asking, max(CANDIDATES, k))[1]
        return self._covering(asking.take(asking.of_rank(self.index.world.rank)), candidates, k)

    def may_miss(self, depth: int) -> bool:
        """Whether lists of `depth` items may have more holders than are looked up."""
        commonest = np.sort(self.num_holders)[len(self.num_holders) - min(depth, len(self.num_holders)) :]
        return self.most is not None and int(commonest.sum()) > self.most

    def _best(self, asking: Asking[ExpectedItems], k: int) -> tuple[Floats, Ints]:
        """The k best, each alone: exactly, or out of those whom the likeliest items name."""
        if self.most is None:
            return find_kindred(self.index, asking, k, keys=self.keys)
        most_B = self._most_of(asking)
        is_within_B = holders_of_lists(asking.queries, self.num_holders).sum(axis=1) <= most_B
        own = asking.of_rank(self.index.world.rank)
        scores = np.empty((len(own), k), dtype=np.float32)
        positions = np.empty((len(own), k), dtype=np.int64)
        within, beyond = np.flatnonzero(is_within_B), np.flatnonzero(~is_within_B)
        if len(within):
            mine = is_within_B[own]
            scores[mine], positions[mine] = find_kindred(self.index, asking.take(within), k, keys=self.keys)
        if len(beyond):
            mine = ~is_within_B[own]
            scores[mine], positions[mine] = self._best_of_named(asking.take(beyond), most_B[beyond], k)
        return scores, positions

    def _best_of_named(self, asking: Asking[ExpectedItems], most_B: Ints, k: int) -> tuple[Floats, Ints]:
        by_these = dataclasses.replace(asking, queries=likeliest(asking.queries, self.num_holders, most_B))
        positions = find_kindred(self.index, by_these, math.ceil(NAMED * k), keys=self.keys)[1]
        rows, num_held = self._known_of(positions)
        own = asking.queries[asking.of_rank(self.index.world.rank)]
        return best_by_all(own, rows, positions, k, train=self.train, num_held_BC=num_held)

    def _most_of(self, asking: Asking[ExpectedItems]) -> Ints:
        """[B] `most`, and more for who asks early: of the holders that count there, about as many."""
        assert self.most is not None
        most_B = np.full(len(asking), self.most, dtype=np.int64)
        if asking.before is None:
            return most_B
        past_B = np.searchsorted(self._times, asking.before, side="left")
        return most_B * len(self.keys) // np.maximum(past_B, 1)

    @cached_property
    def _times(self) -> Ints:
        assert self.keys.last_time is not None
        return np.sort(self.keys.last_time)

    def _known_of(self, positions: Ints) -> tuple[Ints, Ints]:
        """Rows of train, -1 for nobody, and how many items each history has."""
        nobody = positions < 0
        return np.where(nobody, -1, self.keys.row[positions]), np.where(nobody, 1, self.num_held[positions])

    def _covering(self, asking: Asking[ExpectedItems], candidates: Ints, k: int) -> tuple[Floats, Ints]:
        """k of the candidates [B, C] that cover what is expected; then the best who add nothing."""
        rows, num_held = self._known_of(candidates)
        scores, places = cover(asking.queries, rows, k, train=self.train, num_held_BC=num_held)
        positions = np.where(places < 0, -1, np.take_along_axis(candidates, np.maximum(places, 0), axis=1))
        short = np.flatnonzero((positions < 0).any(axis=1))
        scores[short], positions[short] = filled_up(
            scores[short], positions[short], candidates[short], asking.take(short), keys=self.keys
        )
        return scores, positions


def filled_up(
    scores: Floats, neighbours: Ints, nearest: Ints, asking: Asking[Query], *, keys: Keys
) -> tuple[Floats, Ints]:
    """Rows [B, k] of keys that are short go on with those of `nearest` [B, n] whom they have not got, at score 0."""
    joined = np.concatenate([neighbours, nearest], axis=1)
    joined_scores = np.concatenate([scores, np.zeros(nearest.shape, np.float32)], axis=1)
    return keep_kindred(joined_scores, joined, asking, neighbours.shape[1], keys=keys)
