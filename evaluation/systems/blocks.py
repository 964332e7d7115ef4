"""A split in blocks: what other stages left of it is read for some thousand samples at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.candidates.asked import Scorer
from evaluation.candidates.choice import is_by_candidates, pool_of
from evaluation.candidates.pool import Pool
from evaluation.config import EvaluationConfig
from evaluation.metrics.ranks import DomainSamples
from evaluation.metrics.shared import Cut, Made, over_cuts, own_cuts
from evaluation.systems.sources import AnySources, Sources
from launch.distributed import World
from pairs.tables import Ints, Items, Samples

ROWS_AT_ONCE = 8192
"""Samples of a block, or a batch more."""


@dataclass(frozen=True)
class SplitBlock:
    """Samples that a rank has to itself, with what other stages say of them."""

    rows: Ints
    """In the split, ascending."""
    samples: Samples
    sources: Sources
    items: Items
    cuts: list[Cut]
    """By rows in the split."""
    pool: Pool | None

    def over_batches(self, work: Callable[[DomainSamples], Made]) -> Iterator[tuple[Ints, Made]]:
        """The rows in the split and what `work` makes of each batch, which are those that the whole split is cut into,
        whatever the blocks; the rows of a batch are the block's."""
        cuts = ((domain, np.searchsorted(self.rows, rows)) for domain, rows in self.cuts)
        for rows, made in over_cuts(work, cuts, self.samples, self.items, self.pool):
            yield self.rows[rows], made


def own_blocks(
    samples: Samples,
    items: Items,
    sources: AnySources,
    scorers: Mapping[str, Scorer],
    config: EvaluationConfig,
    world: World | None,
) -> Iterator[SplitBlock]:
    """This rank's share of a split, each sample once."""
    few = is_by_candidates(items, config)
    for cuts in _grouped(own_cuts(samples, items, world, few=few)):
        rows = np.sort(np.concatenate([rows for _, rows in cuts]))
        said = sources.take(rows)
        yield SplitBlock(rows, samples.take(rows), said, items, cuts, pool_of(scorers, said.nominating, items, config))


def _grouped(cuts: Iterable[Cut]) -> Iterator[list[Cut]]:
    group: list[Cut] = []
    size = 0
    for domain, rows in cuts:
        group.append((domain, rows))
        size += len(rows)
        if size >= ROWS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
