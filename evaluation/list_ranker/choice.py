"""What the final list is made by: the list ranker beside the graph's list, either alone, or the simple fusion.

The first of these on valid that is below none of its parts and within one standard error of the best.
"""

import dataclasses
import logging
from collections.abc import Mapping

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.final import TREES, ListRanker
from evaluation.metrics.metrics import one_metric
from evaluation.metrics.ranks import DomainSamples, Ranks, target_ranks
from evaluation.metrics.shared import Batches
from evaluation.ranked_lists import RankedLists
from evaluation.systems.fusion import Weights
from evaluation.systems.judging import all_scores
from evaluation.systems.mixture import Mixture, make_ingredients
from evaluation.systems.selection import simplest_of

log = logging.getLogger(__name__)
GRAPH = "graph/row_max"
WEIGHTS: tuple[Weights, ...] = (
    {TREES: 1.0, GRAPH: 1.0},
    {TREES: 1.0, GRAPH: 2.0},
    {TREES: 1.0, GRAPH: 4.0},
    {TREES: 1.0},
    {GRAPH: 1.0},
)
"""To try, the method's first; the simple fusion comes last."""


def choose_final(
    batches: Batches,
    ranker: ListRanker | None,
    mixture: Mixture,
    lists: Mapping[str, RankedLists],
    config: EvaluationConfig,
) -> ListRanker | None:
    """The chosen ranker; None: the fusion.

    Args:
        batches: valid's.
        lists: of the stages, aligned with valid.
    """
    if ranker is None:
        return None
    valid = batches.samples
    ingredients = make_ingredients(
        ranker.bank.scorers, lists, valid, ranker.bank.items, filter_history=config.filter_history
    )
    candidates: list[ListRanker | None] = [
        *(
            dataclasses.replace(ranker, weights=weights)
            for weights in WEIGHTS
            if GRAPH not in weights or GRAPH in ingredients.scaled
        ),
        None,
    ]

    def of_batch(batch: DomainSamples) -> list[Ranks]:
        raw = ranker.bank.scores(batch)
        scores, scaled = all_scores(ingredients, batch, raw, mixture)
        said, fusion_BC = ranker.say(batch, raw, filter_history=config.filter_history), scores["fusion"]
        return [
            target_ranks(fusion_BC if one is None else one.mix(said, fusion_BC, scaled), batch) for one in candidates
        ]

    ranks = batches.ranks(of_batch, len(candidates))
    for one, ranks_N in zip(candidates, ranks, strict=True):
        hits, reciprocal = (one_metric(ranks_N, name).mean() for name in ("hr@10", "mrr"))
        log.info("on valid: hr@10 %.4f, mrr %.4f: %s", hits, reciprocal, "fusion" if one is None else dict(one.weights))
    parts = [ranks_N for one, ranks_N in zip(candidates, ranks, strict=True) if one is None or len(one.weights) == 1]
    choice = simplest_of(candidates, ranks, valid.user, config.selection_metric, parts)
    chosen = choice.candidate
    log.info("kinrec: %s", "the simple fusion" if chosen is None else dict(chosen.weights))
    return chosen
