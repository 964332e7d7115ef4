"""What the parts of a ranker say alone: its evidence, the same before it was trained, its encoders."""

import torch
from torch import Tensor, nn

from graph.batches import Batch
from graph.build import Graphs
from graph.evidence import Evidence
from graph.ranker import GraphRanker
from graph.ranking.full_ranking import Judge, Scores, WholeScores
from graph.ranking.pools import PoolParts


def system_scores(judge: Judge) -> dict[str, Scores]:
    """Of every system that the graph stage has lists of: the ranker and, unless it is encoders alone, its parts."""
    if judge.graphs.evidence is None:
        return {"graph": judge.whole()}
    untrained = nn.ModuleList([Evidence(), Evidence()]).to(judge.world.device)
    ranker, graphs = judge.ranker, judge.graphs
    return {
        "graph": judge.whole(),
        "evidence": judge.by_size(evidence_scores(ranker.evidence, graphs), PoolParts(None, ranker.evidence)),
        "evidence_untrained": judge.by_size(evidence_scores(untrained, graphs), PoolParts(None, untrained)),
        "encoders": judge.by_size(encoder_scores(ranker, graphs), PoolParts(ranker.late, None)),
    }


def evidence_scores(evidence: nn.ModuleList, graphs: Graphs, *, leave_own: bool = False) -> WholeScores:
    """What evidence alone says; with `leave_own`, to train users as if their samples did not exist."""
    assert graphs.evidence is not None
    of_domain = graphs.evidence

    def scores(batch: Batch, domain: int) -> Tensor:
        said_BD: Tensor = evidence[domain](of_domain[domain], batch.history, batch.user if leave_own else None)
        return said_BD

    return scores


def encoder_scores(ranker: GraphRanker, graphs: Graphs) -> WholeScores:
    """What the encoders alone say."""
    with torch.no_grad():
        tables = ranker.propagate(graphs)

    def scores(batch: Batch, domain: int) -> Tensor:
        return ranker.encoder_scores(graphs, tables, batch.history, domain)

    return scores


def left_out_scores(ranker: GraphRanker, graphs: Graphs) -> WholeScores:
    """What late interaction says to train samples that its tables were told nothing of."""

    def scores(batch: Batch, domain: int) -> Tensor:
        return ranker.left_out_scores(graphs, batch, domain)

    return scores
