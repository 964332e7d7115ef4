"""Two-stage ranking: a few candidates of each sample, and what the ranker and its parts say of those alone.

Candidates are the companions of the history's items, the items nearest to them by the tables of late interaction,
those that share the words that weigh most, and the domain's most popular ones. Their scores are the very ones that full
ranking gives them; an item that is none of them is not ranked, and a sample costs the same however many items its
domain has.

Shapes: B samples, M cells, P places of the longest pool, D items of the domain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from graph.batches import Batch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.evidence import Evidence
from graph.late.interaction import LateInteraction
from graph.sampled.cells import gather_cells
from graph.sampled.negatives import Drawn

LEAST_POPULAR = 500
SHARING_WORDS = 10_000
"""Items, a shared word each, by the words that weigh most in a history."""


@dataclass(frozen=True)
class Pooled:
    """Candidates with their scores."""

    column: Tensor  # [B, P], ascending, from the domain's first item; D behind them
    score: Tensor  # [B, P], -inf behind them


PoolScores: TypeAlias = Callable[[Batch, int], Pooled]


@dataclass(frozen=True)
class PoolParts:
    """What makes a score, by domain: late interaction, evidence, or both with the logarithm of late's weight."""

    late: nn.ModuleList | None
    evidence: nn.ModuleList | None
    blend: nn.ParameterList | None = None


def is_two_stage(settings: GraphConfig, num_items: int) -> bool:
    """Whether a domain of so many items is ranked by candidates."""
    if settings.model.encoder != "late" or settings.ranking == "all":
        return False
    return settings.ranking == "candidates" or num_items > settings.loss.full_softmax_items


def pool_scores(parts: PoolParts, graphs: Graphs, *, depth: int) -> PoolScores:
    """A scorer of candidates; lists of `depth` are always full where the domain has as many items."""
    assert graphs.votes is not None
    popular = tuple(
        torch.topk(votes.num_users, min(len(votes.num_users), max(LEAST_POPULAR, 2 * depth))).indices
        for votes in graphs.votes
    )

    def scores(batch: Batch, domain: int) -> Pooled:
        return _pooled(parts, graphs, batch.history, domain, popular[domain])

    return scores


def _pooled(parts: PoolParts, graphs: Graphs, history_BL: Tensor, domain: int, popular_S: Tensor) -> Pooled:
    assert graphs.votes is not None
    size, num_rows, votes = len(graphs.ids(domain)), len(history_BL), graphs.votes[domain]
    late = parts.late[domain] if parts.late is not None else LateInteraction().to(history_BL.device)
    assert isinstance(late, LateInteraction)
    evidence = parts.evidence[domain] if parts.evidence is not None else Evidence().to(history_BL.device)
    assert isinstance(evidence, Evidence)
    pairs = [late.vote_pairs(votes, history_BL, graphs.num_items)]
    if graphs.evidence is not None:
        pairs.append(evidence.near_pairs(graphs.evidence[domain], history_BL, None))
    num_near = sum(len(row_P) for row_P, _, _ in pairs)
    if graphs.evidence is not None and graphs.evidence[domain].terms.words:
        row_P, column_P = evidence.word_candidates(graphs.evidence[domain], history_BL, most=SHARING_WORDS)
        pairs.append((row_P, column_P, torch.zeros(len(row_P), device=row_P.device)))
    key_P = torch.cat([row_P * size + column_P for row_P, column_P, _ in pairs])
    drawn = Drawn(popular_S, torch.zeros(len(popular_S), device=popular_S.device))
    cells, cell_P = gather_cells(key_P, popular_S[:1].expand(num_rows), drawn, size=size)

    def added_up(part: slice, value_P: Tensor) -> Tensor:
        return torch.zeros(len(cells.row), device=value_P.device).index_add(0, cell_P[part], value_P)

    num_votes = len(pairs[0][0])
    scores = []
    if parts.evidence is not None:
        assert graphs.evidence is not None
        graph = graphs.evidence[domain]
        words_M = evidence.words_of(graph, history_BL, cells.row, cells.column)
        users_M = graph.num_users[graph.first + cells.column]
        scores.append(evidence.mixed(graph.terms, added_up(slice(num_votes, num_near), pairs[1][2]), words_M, users_M))
    if parts.late is not None:
        late_M = late.mixed(added_up(slice(num_votes), pairs[0][2]), votes.num_users[cells.column])
        scores.append(late_M if parts.blend is None else parts.blend[domain].exp() * late_M)
    return _in_rows(cells.row, cells.column, torch.stack(scores).sum(dim=0), num_rows, size)


def _in_rows(row_M: Tensor, column_M: Tensor, score_M: Tensor, num_rows: int, size: int) -> Pooled:
    order_M = torch.argsort(row_M * size + column_M)
    row_M, length_B = row_M[order_M], torch.bincount(row_M, minlength=num_rows)
    place_M = torch.arange(len(row_M), device=row_M.device) - (length_B.cumsum(0) - length_B)[row_M]
    width = int(length_B.max()) if num_rows else 0
    column_BP = torch.full((num_rows, width), size, device=row_M.device)
    score_BP = torch.full((num_rows, width), -torch.inf, device=row_M.device)
    column_BP[row_M, place_M], score_BP[row_M, place_M] = column_M[order_M], score_M[order_M]
    return Pooled(column_BP, score_BP)


def pooled_target_ranks(pooled: Pooled, target_B: Tensor, history_BL: Tensor, ids: range) -> Tensor:
    """Rank of each target among the candidates outside the history [B]; ties count against it.

    Infinite where the target is no candidate, or in the history.
    """
    seen_BP = torch.zeros_like(pooled.column, dtype=torch.bool)
    for item_B in history_BL.T:
        seen_BP |= pooled.column == (item_B - ids.start)[:, None]
    allowed_BP = pooled.score.masked_fill(seen_BP, -torch.inf)
    is_target_BP = pooled.column == (target_B - ids.start)[:, None]
    own_B1 = allowed_BP.masked_fill(~is_target_BP, -torch.inf).amax(dim=1, keepdim=True)
    rank_B = (allowed_BP >= own_B1).sum(dim=1).double()
    return rank_B.masked_fill(own_B1[:, 0] == -torch.inf, torch.inf)
