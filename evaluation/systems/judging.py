"""Rank every sample's target by every system, with and without the history's items, and make the lists to keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.candidates.asked import Scorer
from evaluation.candidates.choice import pool_of
from evaluation.config import EvaluationConfig
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples, Ranks, list_ranks, target_ranks
from evaluation.metrics.shared import own_rows, share_rows, shared_batches
from evaluation.ranked_lists import RankedLists, top_k
from evaluation.systems.fusion import fuse, refine_as_paper
from evaluation.systems.mixture import Ingredients, Mixture, make_ingredients
from evaluation.systems.sources import Sources
from launch.distributed import World
from launch.systems import SYSTEMS
from pairs.tables import Ints, Items, Samples


@dataclass
class Verdict:
    """Target ranks of every system on a split."""

    ranks: dict[str, Ranks] = field(default_factory=dict)
    """As configured: with `filter_history` or without."""
    other_ranks: dict[str, Ranks] = field(default_factory=dict)
    """The other way."""
    lists: dict[str, RankedLists] = field(default_factory=dict)
    """The lists of the systems that this stage makes, as configured: of the samples that this rank has judged."""
    own: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The rows of those samples, ascending."""
    replaced: NDArray[np.bool_] | None = None
    """[N] where the paper's refinement took the graph's list."""


class FinalScorer(Protocol):
    """What puts the final list in order."""

    def score(
        self,
        batch: DomainSamples,
        scores: Mapping[str, Floats],
        fusion_BC: Floats,
        lists: Mapping[str, Floats],
        *,
        filter_history: bool,
    ) -> Floats:
        """[B, C] from the baselines' scores, the simple fusion and the scaled lists, -inf where the fusion is."""
        ...


def judge(
    samples: Samples,
    items: Items,
    *,
    scorers: Mapping[str, Scorer],
    mixture: Mixture,
    sources: Sources,
    config: EvaluationConfig,
    final: FinalScorer | None = None,
    both_ways: bool = True,
    world: World | None = None,
) -> Verdict:
    """Judge a split once: baselines and fusions by their full scores, graph and LLM by their lists.

    Args:
        final: without it the simple fusion is the final list.
        both_ways: whether to rank with and without the history's items, not only as configured.
    """
    verdict = Verdict()
    ways = (True, False) if both_ways else (config.filter_history,)
    modes = {way: make_ingredients(scorers, sources.fused, samples, items, filter_history=way) for way in ways}
    ranks = {
        way: {name: np.empty(len(samples)) for name in (*scorers, "baseline_fusion", "fusion", "kinrec")}
        for way in modes
    }
    pool = pool_of(scorers, sources.nominating, items, config)
    verdict.own = own_rows(samples, items, pool, world)
    kept = {name: _blank_lists(samples.sample[verdict.own], config.list_depth) for name in ranks[config.filter_history]}
    for _, batch in shared_batches(samples, items, pool, world):
        raw = batch.scores(scorers)
        for way, ingredients in modes.items():
            scores, fused = all_scores(ingredients, batch, raw, mixture)
            scores["kinrec"] = (
                scores["fusion"]
                if final is None
                else final.score(batch, raw, scores["fusion"], fused, filter_history=way)
            )
            for name, scores_BC in scores.items():
                ranks[way][name][batch.rows] = target_ranks(scores_BC, batch)
                if way == config.filter_history:
                    best = top_k(scores_BC, config.list_depth, batch.columns)
                    places = np.searchsorted(verdict.own, batch.rows)
                    kept[name].items[places], kept[name].scores[places] = best
    share_rows([ranks_N for of_way in ranks.values() for ranks_N in of_way.values()], samples, items, pool, world)
    given = dict(sources.lists)
    if sources.graph is not None and sources.llm is not None:
        given["paper_refined"], verdict.replaced = refine_as_paper(
            sources.graph, sources.llm, sources.in_domain, top=config.refine_top
        )
        kept["paper_refined"] = given["paper_refined"].take(verdict.own)
    for way in modes:
        for name, lists in given.items():
            ranks[way][name] = list_ranks(lists, samples, num_items=items.num_items, filter_history=way)
    verdict.ranks = _in_order(ranks[config.filter_history])
    verdict.other_ranks = _in_order(ranks.get(not config.filter_history, {}))
    verdict.lists = kept
    return verdict


def all_scores(
    ingredients: Ingredients, batch: DomainSamples, raw: Mapping[str, Floats], mixture: Mixture
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Scores of a batch by every system that has full scores, and what was fused: lists scaled from 1 to 0."""
    parts = ingredients.baseline_parts(batch, raw)
    baseline_fusion_BC = fuse(parts, mixture.baselines)
    fused = ingredients.fusion_parts(batch, baseline_fusion_BC)
    fusion_BC = fuse(fused, mixture.fusion)
    return {**parts, "baseline_fusion": baseline_fusion_BC, "fusion": fusion_BC}, fused


def _in_order(ranks: Mapping[str, Ranks]) -> dict[str, Ranks]:
    assert set(ranks) <= set(SYSTEMS), set(ranks) - set(SYSTEMS)
    return {name: ranks[name] for name in SYSTEMS if name in ranks}


def _blank_lists(sample_N: Ints, depth: int) -> RankedLists:
    return RankedLists(
        sample_N,
        np.empty((len(sample_N), depth), dtype=np.int64),
        np.empty((len(sample_N), depth), dtype=np.float32),
    )
