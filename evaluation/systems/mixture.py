"""The two fusions of a report, both chosen on valid: `baseline_fusion`, and `fusion`, of the lists with it."""

import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluation.candidates.asked import Scorer
from evaluation.config import EvaluationConfig
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples, list_ranks, without_history
from evaluation.metrics.shared import Batches
from evaluation.ranked_lists import RankedLists
from evaluation.systems.fusion import Scale, Weights, fuse, scale_list, spread_list
from evaluation.systems.selection import Choice, fused_ranks, simplest_of
from launch.systems import FUSED
from pairs.tables import Items, Samples

log = logging.getLogger(__name__)
SCALES: tuple[Scale, ...] = ("row_max", "reciprocal")
BASELINE_SETS = (
    ("ridge", "item_cosine", "text"),
    ("ridge", "item_cosine", "text_squares"),
    ("ridge", "item_cosine", "text", "markov"),
    ("ridge", "text", "markov"),
    ("ridge", "text"),
    ("item_cosine", "text"),
    ("ridge", "item_cosine"),
    ("ridge", "markov"),
    ("recent", "item_cosine", "text_squares"),
    ("recent", "item_cosine"),
)
"""Baselines that are added with equal weights, the method's set first."""
ALONE = ("ridge", "item_cosine", "text", "text_squares", "markov", "recent", "recent_cosine", "popularity")
"""The order in which single baselines are tried, behind all sets; one that is not named here comes last."""
FUSION_SOURCES = ("baseline_fusion", *FUSED)
FUSION_WEIGHTS = (
    *((1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)),
    *((2, 1, 1), (2, 1, 0), (2, 0, 1), (1, 2, 2), (1, 2, 0), (1, 0, 2), (1, 2, 1)),
    *((4, 2, 1), (4, 1, 1), (4, 1, 0), (4, 0, 1), (1, 4, 0), (1, 0, 4)),
    *((1, 0, 0), (0, 1, 0), (0, 0, 1)),
)
"""Weights of `FUSION_SOURCES`: equal ones first, a single source last."""


@dataclass(frozen=True)
class Mixture:
    """How the two fusions are made."""

    baselines: Weights
    fusion: Weights
    """Weights of `baseline_fusion` and of `SYSTEM/SCALE` for the lists."""


@dataclass(frozen=True)
class Ingredients:
    """What a split's batches are scored from."""

    scorers: Mapping[str, Scorer]
    scaled: Mapping[str, RankedLists]
    """`SYSTEM/SCALE` -> scaled lists aligned with the split."""
    filter_history: bool

    def baseline_parts(self, batch: DomainSamples, raw: Mapping[str, Floats] | None = None) -> dict[str, Floats]:
        """The baselines' scores of a batch, the history excluded if asked; from `raw` scores where given."""
        scores = raw or batch.scores(self.scorers)
        return {name: self.exclude(scores_BC, batch) for name, scores_BC in scores.items()}

    def fusion_parts(self, batch: DomainSamples, baseline_fusion_BC: Floats) -> dict[str, Floats]:
        """What `fusion` is fused from: the baselines' fusion and every scaled list."""
        lists = {name: self.exclude(spread_list(lists, batch), batch) for name, lists in self.scaled.items()}
        return {"baseline_fusion": baseline_fusion_BC, **lists}

    def exclude(self, scores_BC: Floats, batch: DomainSamples) -> Floats:
        """The scores without the history's items, if the ranking leaves them out."""
        return without_history(scores_BC, batch) if self.filter_history else scores_BC


def make_ingredients(
    scorers: Mapping[str, Scorer],
    lists: Mapping[str, RankedLists],
    samples: Samples,
    items: Items,
    *,
    filter_history: bool,
) -> Ingredients:
    """Scale every list of a split in every way."""
    scaled = {
        f"{system}/{how}": scale_list(ranked, samples, how, num_items=items.num_items, filter_history=filter_history)
        for system, ranked in lists.items()
        for how in SCALES
    }
    return Ingredients(scorers, scaled, filter_history)


def choose_mixture(
    batches: Batches, scorers: Mapping[str, Scorer], lists: Mapping[str, RankedLists], config: EvaluationConfig
) -> tuple[Mixture, dict[str, Choice[Weights]]]:
    """Choose both fusions on valid, whose `batches` are given; neither falls below its parts there."""
    valid, items = batches.samples, batches.items
    ingredients = make_ingredients(scorers, lists, valid, items, filter_history=config.filter_history)
    metric = config.selection_metric

    telling = [name for name, scorer in scorers.items() if not (getattr(scorer, "is_blank", False))]
    if len(telling) < len(scorers):
        log.warning("no two items share a word: text is left out of the fusions")
    sets: list[Weights] = [dict.fromkeys(names, 1.0) for names in baseline_sets(telling)]
    ranks = fused_ranks(batches, ingredients.baseline_parts, sets)
    singles = [ranks_N for weights, ranks_N in zip(sets, ranks, strict=True) if len(weights) == 1]
    baseline = simplest_of(sets, ranks, valid.user, metric, singles)

    def fusion_parts(batch: DomainSamples) -> dict[str, Floats]:
        return ingredients.fusion_parts(batch, fuse(ingredients.baseline_parts(batch), baseline.candidate))

    candidates = fusion_candidates(list(lists))
    ranks_of_fusions = fused_ranks(batches, fusion_parts, candidates)
    floors = [ranks_of_fusions[candidates.index({"baseline_fusion": 1.0})]]
    floors += [
        list_ranks(ranked, valid, num_items=items.num_items, filter_history=config.filter_history)
        for ranked in lists.values()
    ]
    fusion = simplest_of(candidates, ranks_of_fusions, valid.user, metric, floors)
    return Mixture(baseline.candidate, fusion.candidate), {"baseline_fusion": baseline, "fusion": fusion}


def baseline_sets(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The sets of baselines to try: those of `BASELINE_SETS` that are there, then every baseline alone."""
    names = list(names)
    alone = sorted(names, key=lambda name: ALONE.index(name) if name in ALONE else len(ALONE))
    return [*(baselines for baselines in BASELINE_SETS if set(baselines) <= set(names)), *((name,) for name in alone)]


def fusion_candidates(systems: list[str]) -> list[Weights]:
    """The weights to try when the run has lists of `systems`, simplest first, each once."""
    present = {"baseline_fusion", *systems}
    candidates: list[Weights] = []
    for pattern, how in itertools.product(FUSION_WEIGHTS, SCALES):
        used = {source: weight for source, weight in zip(FUSION_SOURCES, pattern, strict=True) if weight > 0}
        weights = {
            source if source == "baseline_fusion" else f"{source}/{how}": float(weight)
            for source, weight in used.items()
        }
        if present.issuperset(used) and weights not in candidates:
            candidates.append(weights)
    return candidates
