"""The target's losses of late interaction and evidence over cells; the dense path says the same of whole domains."""

import torch
from torch import Tensor

from graph.batches import Batch
from graph.build import Graphs
from graph.evidence import Evidence, gather_companions
from graph.late.interaction import LateInteraction
from graph.noise import Noise
from graph.ranker import GraphRanker
from graph.sampled.cells import Cells, gather_cells, sampled_cross_entropy_sum
from graph.sampled.evidence_of_cells import evidence_of_cells
from graph.sampled.negatives import Drawn
from graph.sampled.thinning import drawn_cells, kept_share


def sampled_losses(
    ranker: GraphRanker,
    graphs: Graphs,
    rows: Batch,
    domain: int,
    drawn: Drawn,
    *,
    smoothing: float,
    budget: int = 0,
    noise: Noise | None = None,
) -> tuple[Tensor, Tensor]:
    """The target under late interaction's scores, and under those fused with evidence; sums over the samples.

    Args:
        rows: train samples whose target is in `domain`; what they bought is left out, as in the dense path.
        budget: candidates of a sample above which `noise` draws some of them (graph/sampled/thinning.py); 0: all.
    """
    late = ranker.late[domain]
    assert isinstance(late, LateInteraction)
    if len(rows) == 0:
        return late.nothing(), late.nothing() + _no_evidence(ranker, domain)
    size, first = len(graphs.ids(domain)), graphs.ids(domain).start
    block_R = torch.full_like(rows.sample, -1) if graphs.left_out is None else graphs.left_out.block_of(rows.sample)
    votes = _votes(late, graphs, rows, block_R, domain)
    pairs = [(row_P * size + column_P, value_P) for row_P, column_P, value_P in votes]
    num_votes = sum(len(key_P) for key_P, _ in pairs)
    evidence = ranker.evidence[domain] if graphs.evidence is not None else None
    if evidence is not None:
        assert isinstance(evidence, Evidence)
        assert graphs.evidence is not None
        graph = graphs.evidence[domain]
        row_P, column_P, value_P = evidence.near_pairs(graph, gather_companions(graph, rows.history, rows.user))
        pairs.append((row_P * size + column_P, value_P))
    nothing = rows.sample[:0]
    value_P = torch.cat([nothing.float(), *(value_P for _, value_P in pairs)])

    def thin(row_A: Tensor, column_A: Tensor, cell_P: Tensor, target_R: Tensor) -> Tensor:
        assert noise is not None
        mass_A = torch.zeros(len(row_A), device=value_P.device).index_add(0, cell_P, value_P.detach())
        share_A = kept_share(row_A, mass_A, target_R, budget=budget)
        key_A = rows.sample[row_A] * size + column_A
        return torch.where(drawn_cells(share_A, key_A, noise), share_A, 0.0)

    cells, cell_P = gather_cells(
        torch.cat([nothing, *(key_P for key_P, _ in pairs)]),
        rows.target - first,
        drawn,
        size=size,
        thin=thin if budget and noise is not None else None,
    )

    def added_up(part: slice) -> Tensor:
        kept_K = torch.nonzero(cell_P[part] >= 0)[:, 0]
        into = torch.zeros(len(cells.row), device=value_P.device)
        return into.index_add(0, cell_P[part][kept_K], value_P[part].index_select(0, kept_K))

    late_M = _late_scores(late, graphs, cells, block_R, added_up(slice(num_votes)), domain)
    target = sampled_cross_entropy_sum(late_M, cells, smoothing=smoothing)
    if evidence is None:
        return target, target
    near_M = added_up(slice(num_votes, None))
    evidence_M = evidence_of_cells(evidence, graph, rows, cells, near_M, leave_own=True)
    fused_M = evidence_M + ranker.blend[domain].exp() * late_M
    return target, sampled_cross_entropy_sum(fused_M, cells, smoothing=smoothing)


def _votes(
    late: LateInteraction, graphs: Graphs, rows: Batch, block_R: Tensor, domain: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(row, column, vote) of the samples of each block."""
    votes = []
    for block, of_domain in enumerate(graphs.left_out.votes if graphs.left_out is not None else ()):
        row_B = torch.nonzero(block_R == block)[:, 0]
        if len(row_B):
            own_P, column_P, value_P = late.vote_pairs(of_domain[domain], rows.history[row_B], graphs.num_items)
            votes.append((row_B[own_P], column_P, value_P))
    return votes


def _late_scores(
    late: LateInteraction, graphs: Graphs, cells: Cells, block_R: Tensor, votes_M: Tensor, domain: int
) -> Tensor:
    """0 for a sample of no block."""
    block_M = block_R[cells.row]
    users_M = torch.zeros_like(votes_M)
    for block, of_domain in enumerate(graphs.left_out.votes if graphs.left_out is not None else ()):
        own_M = torch.nonzero(block_M == block)[:, 0]
        users_M[own_M] = of_domain[domain].num_users[cells.column[own_M]]
    return torch.where(block_M >= 0, late.mixed(votes_M, users_M), 0.0) + late.nothing()


def _no_evidence(ranker: GraphRanker, domain: int) -> Tensor:
    """Zero, with a gradient for every weight of evidence and blend."""
    weights = [*ranker.evidence[domain].parameters(), ranker.blend[domain]] if len(ranker.evidence) else []
    return torch.cat([weight.flatten() for weight in weights]).sum() * 0 if weights else torch.zeros(())
