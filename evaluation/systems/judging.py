"""Rank every sample's target by every system, with and without the history's items, and make the lists to keep."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.candidates.asked import Scorer
from evaluation.candidates.choice import is_by_candidates
from evaluation.config import EvaluationConfig
from evaluation.list_parts import Keep
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples, Ranks, list_ranks, target_ranks
from evaluation.metrics.shared import share_rows
from evaluation.ranked_lists import NO_ITEM, RankedLists, top_k
from evaluation.systems.blocks import SplitBlock, own_blocks
from evaluation.systems.fusion import fuse, is_replaced
from evaluation.systems.mixture import Ingredients, Mixture, make_ingredients
from evaluation.systems.sources import AnySources, Sources
from launch.distributed import World
from launch.systems import SYSTEMS
from pairs.tables import Items, Samples


@dataclass
class Verdict:
    """Target ranks of every system on a split."""

    ranks: dict[str, Ranks] = field(default_factory=dict)
    """As configured: with `filter_history` or without."""
    other_ranks: dict[str, Ranks] = field(default_factory=dict)
    """The other way."""
    listed: int = 0
    """Items on the final lists, as configured."""
    strays: int = 0
    """Those of them that are not of the asked domain."""
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
    sources: AnySources,
    config: EvaluationConfig,
    final: Callable[[Sources], FinalScorer | None] = lambda _: None,
    ways: Sequence[bool] = (True, False),
    keep: Keep | None = None,
    world: World | None = None,
) -> Verdict:
    """Judge a split once: baselines and fusions by their full scores, graph and LLM by their lists. A collective.

    Args:
        final: what ranks samples finally, from the lists that other stages left of them; None: the simple fusion.
        ways: whether the history's items are left out of the ranking; both, or one.
        keep: told the lists of this rank's samples.
    """
    names = (*made_here(scorers), *sources.lists)
    ranks = {way: {name: np.full(len(samples), np.inf) for name in names} for way in ways}
    counts = torch.zeros(2, dtype=torch.int64)
    kept_way = None if keep is None else config.filter_history
    for block in own_blocks(samples, items, sources, scorers, config, world):
        ranker, way_of = final(block.sources), _ways(block, scorers, ways)
        depths = {way: config.list_depth if way == kept_way else 0 for way in ways}
        for rows, judged in block.over_batches(partial(_judged, ranker, scorers, way_of, mixture, depths)):
            for way, of_batch in judged.items():
                for name, ranks_B in of_batch.ranks.items():
                    ranks[way][name][rows] = ranks_B
                if keep is not None:
                    counts += of_batch.keep(keep, items)
        for way in ways:
            for name, lists in block.sources.lists.items():
                ranks_R = list_ranks(lists, block.samples, num_items=items.num_items, filter_history=way)
                ranks[way][name][block.rows] = ranks_R
    few = is_by_candidates(items, config)
    share_rows([ranks_N for of_way in ranks.values() for ranks_N in of_way.values()], samples, items, world, few=few)
    listed, strays = (counts if world is None else world.sum(counts)).tolist()
    verdict = Verdict(listed=listed, strays=strays)
    if {"graph", "llm"} <= set(sources.lists):
        verdict.replaced = is_replaced(sources.in_domain, top=config.refine_top)
        for of_way in ranks.values():
            of_way["paper_refined"] = np.where(verdict.replaced, of_way["graph"], of_way["llm"])
    verdict.ranks = _in_order(ranks.get(config.filter_history, {}))
    verdict.other_ranks = _in_order(ranks.get(not config.filter_history, {}))
    return verdict


@dataclass(frozen=True)
class JudgedBatch:
    """What is left of a batch when it has been scored, in one way."""

    domain: int
    ranks: dict[str, Ranks]
    """[B] by system."""
    lists: dict[str, RankedLists]
    """By system, where lists are to be kept."""

    def keep(self, keep: Keep, items: Items) -> Tensor:
        """Have the lists kept: [2] how many items the final ones hold, and how many of another domain."""
        for name, lists in self.lists.items():
            keep(name, lists)
        if not self.lists:
            return torch.zeros(2, dtype=torch.int64)
        listed = self.lists["kinrec"].items
        listed = listed[listed != NO_ITEM]
        return torch.tensor([len(listed), np.count_nonzero(items.domain[listed] != self.domain)])


def _ways(block: SplitBlock, scorers: Mapping[str, Scorer], ways: Sequence[bool]) -> dict[bool, Ingredients]:
    """What a block is scored from, by whether its history is left out."""
    return {
        way: make_ingredients(scorers, block.sources.fused, block.samples, block.items, filter_history=way)
        for way in ways
    }


def _judged(
    final: FinalScorer | None,
    scorers: Mapping[str, Scorer],
    ways: Mapping[bool, Ingredients],
    mixture: Mixture,
    depths: Mapping[bool, int],
    batch: DomainSamples,
) -> dict[bool, JudgedBatch]:
    """A batch judged by every system that scores all items, by way.

    Args:
        depths: by way, items of each list to keep; 0: none.
    """
    raw = batch.scores(scorers)
    judged = {}
    for way, ingredients in ways.items():
        scores, fused = all_scores(ingredients, batch, raw, mixture)
        fusion_BC = scores["fusion"]
        scores["kinrec"] = fusion_BC if final is None else final.score(batch, raw, fusion_BC, fused, filter_history=way)
        ranks = {name: target_ranks(scores_BC, batch) for name, scores_BC in scores.items()}
        lists = {
            name: RankedLists(batch.samples.sample, *top_k(scores_BC, depths[way], batch.columns))
            for name, scores_BC in scores.items()
            if depths[way]
        }
        judged[way] = JudgedBatch(batch.domain, ranks, lists)
    return judged


def made_here(scorers: Iterable[str]) -> tuple[str, ...]:
    """The systems whose lists come from scores of all items."""
    return (*scorers, "baseline_fusion", "fusion", "kinrec")


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
