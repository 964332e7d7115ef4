"""Find the users who hold what is expected: each alone the most of it or, with coverage, together."""

from dataclasses import dataclass

import numpy as np
import torch

from launch.distributed import World
from pairs.tables import Ints, Samples
from retrieval.config import CANDIDATES
from retrieval.fixed_point import Floats
from retrieval.index import TopKIndex
from retrieval.keys import Keys
from retrieval.kindred import Asking, Query, find_kindred, keep_kindred
from retrieval.posterior.coverage import cover
from retrieval.posterior.expected import ExpectedItems


@dataclass(frozen=True)
class Holders:
    """Train users by what they hold, ready to be searched."""

    index: TopKIndex[ExpectedItems]
    train: Samples
    """With histories as far as they count."""
    keys: Keys
    num_held: Ints
    """How many items each key's history has."""

    def find(
        self, asking: Asking[ExpectedItems], k: int, *, coverage: bool, world: World | None = None
    ) -> tuple[Floats, Ints]:
        """Scores [B, k] and sample ids [B, k], ended by -inf, -1 where fewer hold anything of what is expected.

        A collective where there is a `world`: with coverage, every rank chooses for its share of the rows among
        candidates that all ranks have found.
        """
        if not coverage:
            return find_kindred(self.index, asking, k, keys=self.keys)
        candidates = find_kindred(self.index, asking, max(CANDIDATES, k), keys=self.keys)[1]
        if world is None:
            return self._covering(asking, candidates, k)
        share = world.share(len(candidates))
        own = np.arange(share.start, share.stop)
        chosen = self._covering(asking.take(own), candidates[own], k)
        scores, samples = (torch.cat(world.gather(torch.from_numpy(part))).cpu().numpy() for part in chosen)
        return scores, samples

    def _covering(self, asking: Asking[ExpectedItems], candidates: Ints, k: int) -> tuple[Floats, Ints]:
        """k of the candidates [B, C] (sample ids) that cover what is expected; then the best who add nothing."""
        positions = self.keys.position_of(candidates)
        nobody = candidates < 0
        rows = np.where(nobody, -1, self.keys.row[positions])
        num_held = np.where(nobody, 1, self.num_held[positions])
        scores, places = cover(asking.queries, rows, k, train=self.train, num_held_BC=num_held)
        samples = np.where(places < 0, -1, np.take_along_axis(candidates, np.maximum(places, 0), axis=1))
        short = np.flatnonzero((samples < 0).any(axis=1))
        scores[short], samples[short] = filled_up(
            scores[short], samples[short], candidates[short], asking.take(short), keys=self.keys
        )
        return scores, samples


def filled_up(
    scores: Floats, neighbours: Ints, nearest: Ints, asking: Asking[Query], *, keys: Keys
) -> tuple[Floats, Ints]:
    """Rows [B, k] that are short go on with those of `nearest` [B, n] whom they have not got, at score 0."""
    joined = np.concatenate([neighbours, nearest], axis=1)
    joined_scores = np.concatenate([scores, np.zeros(nearest.shape, np.float32)], axis=1)
    return keep_kindred(joined_scores, joined, asking, neighbours.shape[1], keys=keys)
