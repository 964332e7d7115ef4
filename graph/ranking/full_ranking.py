"""Full ranking outside training: target ranks, metrics, top lists, user vectors, in chunks shared over the ranks.

Chunks are cut alike whatever the world size, and a rank takes whole ones: so every number is the same for any number
of ranks, to the bit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from evaluation.ranked_lists import RankedLists, concatenated_lists, no_lists, top_k
from graph.batches import Batch, make_batch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.ranker import GraphRanker
from graph.ranking.pooled import Pooled, pooled_target_ranks
from graph.ranking.pools import is_two_stage, pool_scores
from launch.distributed import World
from launch.watch.beats import beat
from pairs.tables import Ints, Samples

WholeScores: TypeAlias = Callable[[Batch, int], Tensor]
"""Of all items of a domain [B, size], for a batch of histories."""
Scores: TypeAlias = Callable[[Batch, int], Tensor | Pooled]
"""The same, or of each history's candidates alone."""
SystemScores: TypeAlias = Callable[[Batch, int], dict[str, Tensor | Pooled]]
"""The same by several systems."""


@dataclass(frozen=True)
class Chunk:
    """Samples of one target domain that are scored together."""

    rows: Ints
    domain: int


def cut_chunks(samples: Samples, size: int) -> list[Chunk]:
    """All samples once, by domain, at most `size` at a time; where there are times, those that ask at about the same:
    what sold of late before the first of them is what sold before them all."""
    chunks = []
    for domain in (0, 1):
        rows = np.flatnonzero(samples.domain == domain)
        if samples.target_time is not None:
            rows = rows[np.argsort(samples.target_time[rows], kind="stable")]
        chunks += [Chunk(rows[start : start + size], domain) for start in range(0, len(rows), size)]
    return chunks


def target_ranks(scores_BD: Tensor, target_B: Tensor, history_BL: Tensor, ids: range) -> Tensor:
    """Rank of each target among the domain's items outside the history [B]; ties, and scores that are no numbers, count
    against it.

    Infinite where the target is itself in the history: it cannot be recommended.
    """
    allowed_BD = scores_BD.masked_fill(_in_history(history_BL, ids), -torch.inf)
    own_B1 = allowed_BD.gather(1, (target_B - ids.start)[:, None])
    rank_B = (~(allowed_BD < own_B1)).sum(dim=1).double()
    return rank_B.masked_fill(own_B1[:, 0] == -torch.inf, torch.inf)


def _in_history(history_BL: Tensor, ids: range) -> Tensor:
    column_BL = history_BL - ids.start
    inside_BL = (column_BL >= 0) & (column_BL < len(ids))
    seen_BD = torch.zeros(len(history_BL), len(ids) + 1, dtype=torch.bool, device=history_BL.device)
    seen_BD.scatter_(1, torch.where(inside_BL, column_BL, len(ids)), True)
    return seen_BD[:, :-1]


@dataclass(frozen=True)
class Judge:
    """A trained (or half trained) ranker with all that ranking needs."""

    ranker: GraphRanker
    graphs: Graphs
    settings: GraphConfig
    world: World

    @torch.no_grad()
    def metrics(self, samples: Samples, *, leave: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """hr@10 and mrr over all samples of a split, history left out; None on all ranks if one was to `leave`."""
        totals = torch.zeros(3, dtype=torch.float64)
        left = 0.0
        scores = self.whole()
        for chunk, batch in self._chunks(samples):
            if leave():
                left = 1.0
                break
            scored, ids = scores(batch, chunk.domain), self.graphs.ids(chunk.domain)
            whole_BL = _whole_histories(samples, chunk.rows, self.graphs.num_items).to(self.world.device)
            if isinstance(scored, Pooled):
                rank_B = pooled_target_ranks(scored, batch.target, whole_BL, ids).cpu()
            else:
                rank_B = target_ranks(scored, batch.target, whole_BL, ids).cpu()
            totals += torch.stack([(rank_B <= 10).double().sum(), (1 / rank_B).sum(), torch.tensor(float(len(rank_B)))])
        hits, reciprocal, count, left = self.world.sum(torch.cat([totals, totals.new_tensor([left])])).tolist()
        if left:
            return None
        return {"hr@10": hits / max(1.0, count), "mrr": reciprocal / max(1.0, count)}

    def whole(self) -> Scores:
        """The scores that rank, with the tables propagated now; of candidates alone in large domains."""
        ranker, graphs = self.ranker, self.graphs
        with torch.no_grad():
            tables = ranker.propagate(graphs)
        scores = self.by_size(lambda batch, domain: {"graph": ranker.rank(graphs, tables, batch, domain)}, ("graph",))
        return lambda batch, domain: scores(batch, domain)["graph"]

    def by_size(
        self, scores: SystemScores, systems: Sequence[str], untrained: nn.ModuleList | None = None
    ) -> SystemScores:
        """The systems' scores and, in domains that are ranked by candidates, theirs for candidates alone."""
        two_stage = [is_two_stage(self.settings, len(self.graphs.ids(domain))) for domain in (0, 1)]
        if not any(two_stage) or self.graphs.votes is None:
            return scores
        few = pool_scores(
            self.ranker, self.graphs, depth=self.settings.list_depth, systems=systems, untrained=untrained
        )

        def either(batch: Batch, domain: int) -> dict[str, Tensor | Pooled]:
            return {**few(batch, domain)} if two_stage[domain] else scores(batch, domain)

        return either

    @torch.no_grad()
    def own_lists(self, samples: Samples, depth: int, *, scores: Scores | None = None) -> Iterator[RankedLists]:
        """The best items of the target domain for the samples of this rank's share, a chunk at a time, history not left
        out.

        Args:
            scores: by which they are ranked, if not by the whole ranker's.
        """
        score = scores or self.whole()
        for chunk, batch in self._chunks(samples):
            yield self._listed(score(batch, chunk.domain), samples, chunk, depth)

    @torch.no_grad()
    def own_lists_of(self, samples: Samples, depth: int, scores: SystemScores) -> Iterator[dict[str, RankedLists]]:
        """The same by several systems."""
        for chunk, batch in self._chunks(samples):
            said = scores(batch, chunk.domain)
            yield {name: self._listed(one, samples, chunk, depth) for name, one in said.items()}

    def _listed(self, scored: Tensor | Pooled, samples: Samples, chunk: Chunk, depth: int) -> RankedLists:
        scores_BC, ids_C = numbered(scored, self.graphs.ids(chunk.domain))
        return RankedLists(samples.sample[chunk.rows], *top_k(scores_BC, depth, ids_C))

    def lists(self, samples: Samples, depth: int, *, scores: Scores | None = None) -> RankedLists:
        """The same for every sample, by sample id, in the memory of all ranks: of a few."""
        score = scores or self.whole()
        return self.lists_of(samples, depth, lambda batch, domain: {"": score(batch, domain)}, ("",))[""]

    def lists_of(
        self, samples: Samples, depth: int, scores: SystemScores, systems: Iterable[str]
    ) -> dict[str, RankedLists]:
        """The same by several systems."""
        own: dict[str, list[RankedLists]] = {name: [no_lists(depth)] for name in systems}
        for lists in self.own_lists_of(samples, depth, scores):
            for name, parts in own.items():
                parts.append(lists[name])
        return {name: self._of_all_ranks(concatenated_lists(parts)) for name, parts in own.items()}

    def _of_all_ranks(self, own: RankedLists) -> RankedLists:
        sample, items, best = (
            torch.cat(self.world.gather(torch.from_numpy(column))).cpu().numpy()
            for column in (own.sample, own.items, own.scores)
        )
        order = np.argsort(sample, kind="stable")
        return RankedLists(sample[order], items[order], best[order])

    @torch.no_grad()
    def vectors(self, samples: Samples, *, is_train: bool) -> Iterator[tuple[Ints, Tensor, Tensor]]:
        """(rows, vectors towards X, towards Y) [B, width] for this rank's chunks.

        A train sample's own edges are out of the graphs, as in training: a valid or test sample has none there.
        """
        drop = is_train and self.settings.model.drop_target_edges
        tables = self.ranker.propagate(self.graphs)
        for chunk, batch in self._chunks(samples):
            yield chunk.rows, *self.ranker.user_vectors(self.graphs, tables, batch, drop_edges=drop)

    def _chunks(self, samples: Samples) -> Iterator[tuple[Chunk, Batch]]:
        """This rank's chunks as batches."""
        chunks = cut_chunks(samples, self.settings.encode_batch)
        for index in self.world.share(len(chunks)):
            beat()
            yield chunks[index], self._batch(samples, chunks[index].rows)

    def _batch(self, samples: Samples, rows: Ints) -> Batch:
        return make_batch(
            samples,
            rows,
            max_history=self.settings.model.max_history,
            pad=self.graphs.num_items,
            device=self.world.device,
        )


def numbered(scored: Tensor | Pooled, ids: range) -> tuple[npt.NDArray[np.float32], Ints]:
    """Scores and the items that they are of, as `top_k` takes them."""
    if isinstance(scored, Pooled):
        return scored.score.cpu().numpy(), scored.column.cpu().numpy() + ids.start
    return scored.cpu().numpy(), np.array(ids)


def _whole_histories(samples: Samples, rows: Ints, pad: int) -> Tensor:
    """Histories that are not cut to what the model sees [B, longest]."""
    chosen = samples.take(rows)
    return torch.from_numpy(chosen.recent(max(1, int(chosen.lengths.max(initial=0))), pad))
