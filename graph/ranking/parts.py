"""What the parts of a ranker say alone: its evidence, the same before it was trained, its encoders."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graph.batches import Batch
from graph.build import Graphs
from graph.evidence import Evidence, gather_companions
from graph.ranker import GraphRanker
from graph.ranking.full_ranking import Judge, Scores, SystemScores, WholeScores
from graph.ranking.pooled import Pooled
from graph.ranking.pools import evidence_pools, is_two_stage
from launch.systems import GRAPH_SYSTEMS


def system_scores(judge: Judge, systems: Sequence[str]) -> SystemScores:
    """Of some of the systems that the graph stage has lists of: the ranker and, unless it is encoders alone, its parts.

    What they share is worked out once: the ranker's score is the sum of its parts', and trained and untrained evidence
    weigh the same companions.
    """
    ranker, graphs, evidence = judge.ranker, judge.graphs, judge.graphs.evidence
    if evidence is None:
        whole = judge.whole()
        return lambda batch, domain: {"graph": whole(batch, domain)}
    untrained = nn.ModuleList([Evidence(), Evidence()]).to(judge.world.device)
    encoders = encoder_scores(ranker, graphs)
    asks_evidence = any(name != "encoders" for name in systems)

    def scores(batch: Batch, domain: int) -> dict[str, Tensor | Pooled]:
        graph, history_BL = evidence[domain], batch.history
        gathered = gather_companions(graph, history_BL, None) if asks_evidence else None
        sold = graph.sold(batch.moment, None, len(history_BL)) if asks_evidence else None

        def by(weights: nn.ModuleList) -> Tensor:
            said_BD: Tensor = weights[domain](
                graph, history_BL, None, moment_B=batch.moment, gathered=gathered, sold=sold
            )
            return said_BD

        said = {}
        if "evidence" in systems or "graph" in systems:
            said["evidence"] = by(ranker.evidence)
        if "encoders" in systems or "graph" in systems:
            said["encoders"] = encoders(batch, domain)
        if "graph" in systems:
            said["graph"] = ranker.blended(said["evidence"], said["encoders"], domain)
        if "evidence_untrained" in systems:
            said["evidence_untrained"] = by(untrained)
        return {name: said[name] for name in systems}

    return judge.by_size(scores, systems, untrained)


def systems_of(judge: Judge) -> tuple[str, ...]:
    """Those that `system_scores` has."""
    return GRAPH_SYSTEMS if judge.graphs.evidence is not None else ("graph",)


def evidence_scores(evidence: nn.ModuleList, graphs: Graphs, *, leave_own: bool = False) -> WholeScores:
    """What evidence alone says; with `leave_own`, to train users as if their samples did not exist."""
    assert graphs.evidence is not None
    of_domain = graphs.evidence

    def scores(batch: Batch, domain: int) -> Tensor:
        own_user_B = batch.user if leave_own else None
        said_BD: Tensor = evidence[domain](of_domain[domain], batch.history, own_user_B, moment_B=batch.moment)
        return said_BD

    return scores


def evidence_by_size(judge: Judge, *, leave_own: bool = False) -> Scores:
    """The same over a judge's graphs; in domains that are ranked by candidates, of each history's candidates."""
    whole = evidence_scores(judge.ranker.evidence, judge.graphs, leave_own=leave_own)
    two_stage = [is_two_stage(judge.settings, len(judge.graphs.ids(domain))) for domain in (0, 1)]
    if not any(two_stage):
        return whole
    few = evidence_pools(judge.ranker.evidence, judge.graphs, depth=judge.settings.list_depth, leave_own=leave_own)
    return lambda batch, domain: few(batch, domain) if two_stage[domain] else whole(batch, domain)


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
