"""Find the users who hold what is expected: each alone the most of it or, with coverage, together."""

from dataclasses import dataclass

import numpy as np

from pairs.tables import Ints, Samples
from retrieval.config import CANDIDATES
from retrieval.fixed_point import Floats
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys
from retrieval.kindred import Asking, Query, find_kindred, keep_kindred
from retrieval.posterior.coverage import cover
from retrieval.posterior.expected import ExpectedItems


@dataclass(frozen=True)
class Holders:
    """Train users by what they hold, ready to be searched."""

    index: ShardedIndex[ExpectedItems]
    train: Samples
    """With histories as far as they count."""
    keys: Keys
    num_held: Ints
    """How many items each key's history has."""

    def find(self, asking: Asking[ExpectedItems], k: int, *, coverage: bool) -> tuple[Floats, Ints]:
        """Scores [b, k] and positions among the keys [b, k], for the rows of this rank; a collective.

        Rows end with -inf, -1 where fewer hold anything of what is expected.
        """
        if not coverage:
            return find_kindred(self.index, asking, k, keys=self.keys)
        candidates = find_kindred(self.index, asking, max(CANDIDATES, k), keys=self.keys)[1]
        return self._covering(asking.take(asking.of_rank(self.index.world.rank)), candidates, k)

    def _covering(self, asking: Asking[ExpectedItems], candidates: Ints, k: int) -> tuple[Floats, Ints]:
        """k of the candidates [B, C] that cover what is expected; then the best who add nothing."""
        nobody = candidates < 0
        rows = np.where(nobody, -1, self.keys.row[candidates])
        num_held = np.where(nobody, 1, self.num_held[candidates])
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
