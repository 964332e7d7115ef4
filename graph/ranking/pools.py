"""Two-stage ranking: a few candidates of each sample, and what the ranker and its parts say of those alone.

Candidates are the companions of the history's items, the items nearest to them by the tables of late interaction,
those that share the words that weigh most, and the domain's most popular ones, of all times and of late. Their scores
are the very ones that full ranking gives them; an item that is none of them is not ranked, and a sample costs the same
however many items its domain has.

Shapes: B samples, M cells, P pairs of a sample and a candidate that come more than once, D items of the domain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor, nn

from graph.batches import Batch
from graph.build import Graphs
from graph.clock import NOW, WINDOWS_DAYS, Sold
from graph.config import GraphConfig
from graph.evidence import Evidence, EvidenceGraph, Gathered, gather_companions
from graph.late.interaction import LateInteraction
from graph.ranker import GraphRanker
from graph.ranking.pooled import CellRows, Pooled, cell_rows
from graph.sampled.cells import Cells, gather_cells
from graph.sampled.evidence_of_cells import evidence_of_cells, sold_of_cells
from graph.sampled.negatives import Drawn
from graph.sampled.words_of_cells import SharedWords, shared_words

LEAST_POPULAR = 500
LATELY = WINDOWS_DAYS.index(30)
"""Of the facts of sales, what popular of late is told by."""
SHARING_WORDS = 10_000
"""Items, a shared word each, by the words that weigh most in a history."""

SystemPools: TypeAlias = Callable[[Batch, int], dict[str, Pooled]]


def is_two_stage(settings: GraphConfig, num_items: int) -> bool:
    """Whether a domain of so many items is ranked by candidates."""
    if settings.model.encoder != "late" or settings.ranking == "all":
        return False
    return settings.ranking == "candidates" or num_items > settings.loss.full_softmax_items


def pool_scores(
    ranker: GraphRanker,
    graphs: Graphs,
    *,
    depth: int,
    systems: Sequence[str],
    untrained: nn.ModuleList | None = None,
) -> SystemPools:
    """A scorer of candidates, the same for all `systems`; lists of `depth` are always full where the domain has as many
    items.

    Args:
        systems: the ranker, `graph`, and its parts; where it has no evidence, the first alone.
        untrained: evidence as it was before it was trained, for `evidence_untrained`.
    """
    assert graphs.votes is not None
    most = max(LEAST_POPULAR, 2 * depth)
    popular = [_popular(graphs.votes[domain].num_users, graphs, domain, most) for domain in (0, 1)]

    def scores(batch: Batch, domain: int) -> dict[str, Pooled]:
        late = ranker.late[domain]
        assert isinstance(late, LateInteraction)
        pool = _make_pool(late, ranker.evidence, graphs, batch, domain, popular[domain](batch))
        if graphs.evidence is None:
            return {"graph": pool.rows(pool.late)}
        said = {"encoders": pool.late}
        if "evidence" in systems or "graph" in systems:
            said["evidence"] = pool.evidence(ranker.evidence[domain])
        if "graph" in systems:
            said["graph"] = torch.stack([said["evidence"], ranker.blend[domain].exp() * pool.late]).sum(dim=0)
        if "evidence_untrained" in systems:
            assert untrained is not None
            said["evidence_untrained"] = pool.evidence(untrained[domain])
        return {name: pool.rows(said[name]) for name in systems}

    return scores


def evidence_pools(
    evidence: nn.ModuleList, graphs: Graphs, *, depth: int, leave_own: bool
) -> Callable[[Batch, int], Pooled]:
    """A scorer of candidates by evidence alone, without votes; with `leave_own`, to train users as if their samples did
    not exist (but for which items are popular, some hundreds of which are candidates of everybody)."""
    assert graphs.evidence is not None
    of_domain, most = graphs.evidence, max(LEAST_POPULAR, 2 * depth)
    popular = [
        _popular(graph.num_users[graph.first : graph.first + graph.size], graphs, domain, most)
        for domain, graph in enumerate(of_domain)
    ]

    def scores(batch: Batch, domain: int) -> Pooled:
        graph, weights, num_rows = of_domain[domain], evidence[domain], len(batch)
        assert isinstance(weights, Evidence)
        gathered = gather_companions(graph, batch.history, batch.user if leave_own else None)
        keys = _evidence_keys(weights, graph, batch.history, gathered)
        cells, cell_P = _cells_of(keys, popular[domain](batch), num_rows, graph.size)
        _, _, near_P = weights.near_pairs(graph, gathered)
        near_M = torch.zeros(len(cells.row), device=near_P.device).index_add(0, cell_P[: len(near_P)], near_P)
        said_M = evidence_of_cells(weights, graph, batch, cells, near_M, leave_own=leave_own)
        return cell_rows(cells).filled(said_M)

    return scores


def _popular(num_users: Tensor, graphs: Graphs, domain: int, most: int) -> Callable[[Batch], Tensor]:
    """The items that most users have and, where there are times, those that sold most of late [S]: of late before the
    first of a batch's questions, so that what sells after them says nothing."""
    most = min(most, len(num_users))
    best = torch.topk(num_users, most).indices
    clock = None if graphs.evidence is None else graphs.evidence[domain].clock

    def lately(moment: int) -> Tensor:
        assert clock is not None
        sold = clock.of_all(torch.full((1,), moment, device=num_users.device))
        column_S: Tensor = torch.unique(torch.cat([best, torch.topk(sold.facts[0, :, LATELY], most).indices]))
        return column_S

    at_end = torch.unique(best) if clock is None else lately(NOW)

    def popular(batch: Batch) -> Tensor:
        first = NOW if clock is None or len(batch) == 0 else int(batch.moment.min())
        return at_end if clock is None or first >= clock.end else lately(first)

    return popular


@dataclass(frozen=True)
class _Pool:
    """The candidates of a batch of histories, and what its parts say of them."""

    cells: Cells
    late: Tensor  # [M]
    batch: Batch
    graph: EvidenceGraph | None
    gathered: Gathered | None
    near_cell: Tensor  # [P], of each companion

    def evidence(self, evidence: nn.Module) -> Tensor:
        """[M] with these weights."""
        assert isinstance(evidence, Evidence)
        assert self.graph is not None
        assert self.gathered is not None
        _, _, near_P = evidence.near_pairs(self.graph, self.gathered)
        near_M = torch.zeros(len(self.cells.row), device=near_P.device).index_add(0, self.near_cell, near_P)
        cells, sold, shared = self.cells, self._sold, self._shared
        return evidence_of_cells(
            evidence, self.graph, self.batch, cells, near_M, leave_own=False, sold=sold, shared=shared
        )

    @cached_property
    def _sold(self) -> Sold | None:
        """What sold of each cell's item before its sample's moment, for trained and untrained weights."""
        assert self.graph is not None
        return sold_of_cells(self.graph, self.batch, self.cells)

    @cached_property
    def _shared(self) -> SharedWords:
        """The words that cells' items share with histories, for both."""
        assert self.graph is not None
        return shared_words(self.graph, self.batch.history, self.cells)

    def rows(self, score_M: Tensor) -> Pooled:
        """Scores of the cells as rows."""
        return self._places.filled(score_M)

    @cached_property
    def _places(self) -> CellRows:
        """Where the cells stand, for all systems."""
        return cell_rows(self.cells)


def _make_pool(
    late: LateInteraction,
    evidence: nn.ModuleList,
    graphs: Graphs,
    batch: Batch,
    domain: int,
    popular_S: Tensor,
) -> _Pool:
    assert graphs.votes is not None
    history_BL = batch.history
    size, num_rows, votes = len(graphs.ids(domain)), len(history_BL), graphs.votes[domain]
    row_V, column_V, vote_V = late.vote_pairs(votes, history_BL, graphs.num_items)
    keys = [row_V * size + column_V]
    graph = gathered = None
    if graphs.evidence is not None:
        weights = evidence[domain]
        assert isinstance(weights, Evidence)
        graph = graphs.evidence[domain]
        gathered = gather_companions(graph, history_BL, None)
        keys += _evidence_keys(weights, graph, history_BL, gathered)
    cells, cell_P = _cells_of(keys, popular_S, num_rows, size)
    votes_M = torch.zeros(len(cells.row), device=vote_V.device).index_add(0, cell_P[: len(vote_V)], vote_V)
    near_cell = cell_P[len(vote_V) : len(vote_V) + (0 if gathered is None else len(gathered.pairs.entry))]
    late_M = late.mixed(votes_M, votes.num_users[cells.column])
    return _Pool(cells, late_M, batch, graph, gathered, near_cell)


def _evidence_keys(weights: Evidence, graph: EvidenceGraph, history_BL: Tensor, gathered: Gathered) -> list[Tensor]:
    """row * D + column of the companions, in their order, and of the items that share words."""
    keys = [gathered.entries.row[gathered.pairs.entry] * graph.size + gathered.pairs.candidate]
    if graph.terms.words:
        row_P, column_P = weights.word_candidates(graph, history_BL, most=SHARING_WORDS)
        keys.append(row_P * graph.size + column_P)
    return keys


def _cells_of(keys: list[Tensor], popular_S: Tensor, num_rows: int, size: int) -> tuple[Cells, Tensor]:
    """The candidates of all rows, popular items among them, and which of them each key is of."""
    drawn = Drawn(popular_S, torch.zeros(len(popular_S), device=popular_S.device))
    return gather_cells(torch.cat(keys), popular_S[:1].expand(num_rows), drawn, size=size)
