"""Two ways to find kindred users: by vectors of what was bought, or by what it is expected to lead to.

Every rank holds its share of the train histories; all of them answer together, each has the answers to its share
of the questions.
"""

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from launch.distributed import World
from launch.errors import InputError
from pairs.tables import Ints, Samples, Split
from retrieval.config import RetrievalConfig
from retrieval.fixed_point import Floats
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import Keys
from retrieval.kindred import Asking, Query, cuts_of, find_kindred
from retrieval.posterior.expected import Expectations, has_expectations
from retrieval.posterior.find import Holders, filled_up
from retrieval.posterior.holders import HoldersIndex, item_sets, latest_items
from retrieval.vector_indexes import open_index, train_indexes, vector_keys
from retrieval.vectors import UserVectors

log = logging.getLogger(__name__)
Score = Literal["posterior", "vectors"]


class Way(Protocol):
    """One way to find kindred users."""

    @property
    def score(self) -> Score:
        """What it is called."""
        ...

    def answer(self, split: Split, samples: Samples, rows: Ints, cuts: Sequence[int]) -> tuple[Floats, Ints]:
        """Scores and keys' positions [b, k], nearest first, for `rows[cuts[rank] : cuts[rank + 1]]` of a split.

        A collective: all ranks ask with the same rows, which increase.
        """
        ...

    def exactly(self) -> "Way | None":
        """The same by exact search; None where this is exact."""
        ...


@dataclass(frozen=True)
class Rules:
    """Who may be a neighbour, and how many are sought."""

    keys: Keys
    past_only: bool
    k: int

    def times_of(self, share: range) -> Ints | None:
        """When the histories of some keys end, where that counts."""
        times = self.keys.last_time
        return times[share.start : share.stop] if self.past_only and times is not None else None

    def asking(self, samples: Samples, rows: Ints, queries: Query, cuts: Sequence[int]) -> Asking[Query]:
        """Who asks, for `rows` of `samples`, cut by whose the answers are."""
        before = samples.target_time[rows] if self.past_only and samples.target_time is not None else None
        return Asking(queries, samples.user[rows], before, tuple(cuts))


@dataclass(frozen=True)
class ByVectors:
    """The nearest by inner product of user vectors, each row towards its target's domain."""

    rules: Rules
    vectors: UserVectors
    indexes: tuple[ShardedIndex[Floats], ShardedIndex[Floats]]
    """Towards X and towards Y."""
    score: Score = "vectors"

    def answer(self, split: Split, samples: Samples, rows: Ints, cuts: Sequence[int]) -> tuple[Floats, Ints]:
        """See `Way`."""
        own = range(cuts[self.world.rank], cuts[self.world.rank + 1])
        scores = np.empty((len(own), self.rules.k), dtype=np.float32)
        neighbours = np.empty((len(own), self.rules.k), dtype=np.int64)
        for domain in (0, 1):
            places = np.flatnonzero(samples.domain[rows] == domain)
            queries = self.vectors.rows(split, samples, rows[places], domain)
            asking = self.rules.asking(samples, rows[places], queries, cuts_of(places, cuts))
            mine = places[asking.of_rank(self.world.rank)] - own.start
            scores[mine], neighbours[mine] = find_kindred(
                self.indexes[domain], asking, self.rules.k, keys=self.rules.keys
            )
        return scores, neighbours

    def exactly(self) -> "ByVectors | None":
        """The same by exact search; None where this is exact."""
        first, second = (index.exact for index in self.indexes)
        return None if first is None or second is None else ByVectors(self.rules, self.vectors, (first, second))

    @property
    def world(self) -> World:
        """The ranks that answer."""
        return self.indexes[0].world


@dataclass(frozen=True)
class ByExpectation:
    """Those who hold what is expected; where fewer than k hold any of it, the nearest by vectors follow, at score 0."""

    rules: Rules
    expectations: Expectations
    holders: Holders
    coverage: bool
    otherwise: ByVectors
    score: Score = "posterior"

    def exactly(self) -> "ByExpectation | None":
        """The same by all holders; None where this is exact."""
        if not self.holders.may_miss(self.expectations.depth):
            return None
        return dataclasses.replace(self, holders=dataclasses.replace(self.holders, most=None))

    def answer(self, split: Split, samples: Samples, rows: Ints, cuts: Sequence[int]) -> tuple[Floats, Ints]:
        """See `Way`."""
        asking = self.rules.asking(samples, rows, self.expectations.rows(split, samples, rows), cuts)
        scores, neighbours = self.holders.find(asking, self.rules.k, coverage=self.coverage)
        own = asking.of_rank(self.otherwise.world.rank)
        mine = np.flatnonzero((neighbours < 0).any(axis=1))
        short = self.holders.index.agree(own[mine])
        if len(short):
            _, nearest = self.otherwise.answer(split, samples, rows[short], cuts_of(short, cuts))
            scores[mine], neighbours[mine] = filled_up(
                scores[mine], neighbours[mine], nearest, asking.take(own[mine]), keys=self.rules.keys
            )
        return scores, neighbours


def by_vectors(
    config: IndexConfig,
    rules: Rules,
    *,
    run_dir: Path,
    vectors: UserVectors,
    longest: float | None,
    train: Samples,
    seed: int,
    world: World,
) -> ByVectors:
    """The sharded index towards X and the one towards Y; one and the same where no part knows domains.

    Args:
        config: resolved.
    """
    started = time.monotonic()
    keys = vector_keys(vectors, train, rules.keys, longest=longest)
    train_indexes(run_dir, config, keys, seed=seed, world=world)
    times = rules.times_of(range(len(rules.keys)))
    indexes = [
        open_index(
            run_dir, config, keys, domain, times=times, world=world, device=world.device,
            folder=run_dir / "neighbours" / "parts",
        )
        for domain in keys.directions
    ]  # fmt: skip
    log.info(
        "%s index of %d train histories, in %s%s, over %d rank(s) with %s; built in %.1f s",
        config.kind, len(rules.keys), config.storage, " on disk" if config.mapped else "", world.size,
        world.gather_objects(len(world.share(len(rules.keys)))), time.monotonic() - started,
    )  # fmt: skip
    return ByVectors(rules, vectors, (indexes[0], indexes[-1]))


def by_expectation(
    config: RetrievalConfig,
    rules: Rules,
    *,
    run_dir: Path,
    train: Samples,
    num_items: int,
    otherwise: ByVectors,
    world: World,
) -> ByExpectation | None:
    """The sharded index of who holds what; None where the graph stage left no lists to expect by."""
    if not world.ask_main(lambda: has_expectations(run_dir)):
        return None
    keys = rules.keys
    share = world.share(len(keys))
    counted = latest_items(train, config.recent_items)
    histories = item_sets(counted, keys.row[share.start : share.stop], num_items=num_items)
    index = ShardedIndex(world, HoldersIndex(histories, np.arange(share.start, share.stop), rules.times_of(share)))
    own_held = torch.from_numpy(np.diff(histories.indptr).astype(np.int64))
    num_held = torch.cat(world.gather(own_held)).cpu().numpy()
    num_holders = world.sum(torch.from_numpy(np.bincount(histories.indices, minlength=num_items))).cpu().numpy()
    holders = Holders(index, counted, keys, num_held, num_holders, config.most_holders)
    return ByExpectation(rules, Expectations(run_dir), holders, config.coverage, otherwise)


def decide_past_only(wanted: bool | None, samples: dict[Split, Samples], *, order: str) -> bool:
    """Whether neighbours must end before a sample's target: as configured, or as the pair's order says.

    Without it, a user who shopped later lends a sample what could not have been known when it was asked. Where the
    order is synthetic, times mean nothing and nothing is filtered.
    """
    timed = all(len(part) == 0 or part.target_time is not None for part in samples.values())
    if wanted and not timed:
        raise InputError("retrieval.past_only=true needs a pair with times, this one has none; set it to null or false")
    if wanted is None:
        return timed and order == "chronological"
    return wanted
