"""What the language model adds to the final list: a weight for its lists, or none.

Weights are tried on valid by two halves of its users: each half is judged with the weight that is best on the other.
The language model has a share in the final list only where the gain by user, all users together, has an interval above
zero; its weight is then the best on all of valid. On test the list with it and the list without it are compared.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.candidates.choice import is_by_candidates
from evaluation.config import EvaluationConfig
from evaluation.list_ranker.final import TREES, ListRanker
from evaluation.metrics.intervals import Difference, paired_difference
from evaluation.metrics.metrics import METRICS, metric_values, one_metric, sample_slices
from evaluation.metrics.ranks import DomainSamples, Ranks, target_ranks
from evaluation.metrics.shared import Batches, fill_rows, share_rows
from evaluation.ranked_lists import RankedLists
from evaluation.systems.blocks import own_blocks
from evaluation.systems.judging import all_scores
from evaluation.systems.mixture import Ingredients, Mixture, make_ingredients
from evaluation.systems.sources import AnySources
from launch.distributed import World
from pairs.tables import Items, Samples

LLM = "llm/row_max"
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Beside trees and graph, whose lists run from 0 to 1 as well."""
SHOWN = ("hr@10", "mrr")
Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class LlmShare:
    """What was tried on valid and what came of it."""

    weight: float
    """In the final list; 0: the language model has no part in it."""
    best: float
    """The best of the weights that were tried."""
    gain: dict[str, Difference]
    """Of the final list with the language model over the one without, by metric, on valid."""
    slices: dict[str, dict[str, Difference]]
    """The same on slices of valid."""

    def to_json(self, test: Mapping[str, Difference] | None = None) -> Json:
        """For metrics.json; `test`: the same of the chosen weight on test."""
        splits = {"valid": self.gain, **({} if test is None else {"test": test})}
        values = {split: _gain_json(gain) for split, gain in splits.items()}
        slices = {label: _gain_json(gain) for label, gain in self.slices.items()}
        return {"weight": self.weight, "best_tried": self.best, **values, "valid_slices": slices}


def choose_llm_share(
    batches: Batches,
    ranker: ListRanker | None,
    mixture: Mixture,
    lists: Mapping[str, RankedLists],
    config: EvaluationConfig,
    *,
    seed: int,
) -> tuple[ListRanker | None, LlmShare | None]:
    """The final list with the language model's share, and how it was chosen; None where there is nothing to choose."""
    if ranker is None or LLM.partition("/")[0] not in lists:
        return ranker, None
    valid = batches.samples
    tried = [ranker, *(with_llm(ranker, weight) for weight in WEIGHTS)]
    ranks = ranks_of(tried, batches, mixture, lists, config)
    gains_KN = np.stack([one_metric(ranks_N, config.selection_metric) for ranks_N in ranks])
    crossed_N = _cross_chosen(gains_KN, valid, seed)
    columns = np.arange(len(valid))
    with_N = np.stack(ranks)[crossed_N, columns]
    gain = _differences(with_N, ranks[0], valid, config, seed)
    best = 1 + int(np.argmax(gains_KN[1:].mean(axis=1)))
    is_worth_it = gain[config.selection_metric].low > 0
    share = LlmShare(
        weight=WEIGHTS[best - 1] if is_worth_it else 0.0,
        best=WEIGHTS[best - 1],
        gain={name: gain[name] for name in SHOWN},
        slices=_by_slice(with_N, ranks[0], valid, ranker.bank.items, config, seed),
    )
    return (tried[best] if is_worth_it else ranker), share


def gain_on(
    samples: Samples,
    ranker: ListRanker,
    mixture: Mixture,
    sources: AnySources,
    config: EvaluationConfig,
    *,
    seed: int,
    world: World | None = None,
) -> dict[str, Difference]:
    """The final list over itself without the language model, by metric, paired by user; a collective."""
    kept = {name: weight for name, weight in ranker.weights.items() if name != LLM}
    rankers, items = [ranker, dataclasses.replace(ranker, weights=kept)], ranker.bank.items
    ranks = [np.empty(len(samples)) for _ in rankers]
    for block in own_blocks(samples, items, sources, ranker.bank.scorers, config, world):
        asked = [one.asking(one.bank, block.sources.lists) for one in rankers]
        ingredients = _ingredients(ranker, block.samples, block.sources.fused, config)
        fill_rows(ranks, block.over_batches(_ranked_by(asked, mixture, ingredients)))
    share_rows(ranks, samples, items, world, few=is_by_candidates(items, config))
    gain = _differences(ranks[0], ranks[1], samples, config, seed)
    return {name: gain[name] for name in SHOWN}


def with_llm(ranker: ListRanker, weight: float) -> ListRanker:
    """The same with the language model's lists beside its own."""
    return dataclasses.replace(ranker, weights={**ranker.weights, LLM: weight})


def keeping_llm(ranker: ListRanker | None, chosen: ListRanker | None) -> ListRanker | None:
    """Another ranker, with the language model at the weight that it has beside the chosen trees."""
    weight = 0.0 if chosen is None else chosen.weights.get(LLM, 0.0)
    return with_llm(ranker, weight) if ranker is not None and weight and TREES in ranker.weights else ranker


def ranks_of(
    rankers: list[ListRanker],
    batches: Batches,
    mixture: Mixture,
    lists: Mapping[str, RankedLists],
    config: EvaluationConfig,
) -> list[Ranks]:
    """[N] target ranks by each of several rankers that differ in their weights alone."""
    ingredients = _ingredients(rankers[0], batches.samples, lists, config)
    return batches.ranks(_ranked_by(rankers, mixture, ingredients), len(rankers))


def _ingredients(
    ranker: ListRanker, samples: Samples, lists: Mapping[str, RankedLists], config: EvaluationConfig
) -> Ingredients:
    filtering = config.filter_history
    return make_ingredients(ranker.bank.scorers, lists, samples, ranker.bank.items, filter_history=filtering)


def _ranked_by(
    rankers: Sequence[ListRanker], mixture: Mixture, ingredients: Ingredients
) -> Callable[[DomainSamples], list[Ranks]]:
    """[B] target ranks of a batch by each of several rankers that differ in their weights alone."""
    first = rankers[0]

    def of_batch(batch: DomainSamples) -> list[Ranks]:
        raw = first.bank.scores(batch)
        scores, scaled = all_scores(ingredients, batch, raw, mixture)
        said = first.say(batch, raw, filter_history=ingredients.filter_history)
        return [target_ranks(one.mix(said, scores["fusion"], scaled), batch) for one in rankers]

    return of_batch


def _cross_chosen(gains_KN: NDArray[np.float64], valid: Samples, seed: int) -> NDArray[np.int64]:
    """[N] for each sample the weight, from 1, that is best on the half of the users it does not belong to."""
    users, of_user_N = np.unique(valid.user, return_inverse=True)
    half_N = (np.random.default_rng(seed).permutation(len(users)) % 2)[of_user_N]
    chosen_N = np.ones(len(valid), dtype=np.int64)
    for half in (0, 1):
        if (half_N != half).any():
            chosen_N[half_N == half] = 1 + int(np.argmax(gains_KN[1:, half_N != half].mean(axis=1)))
    return chosen_N


def _differences(
    first: Ranks, second: Ranks, samples: Samples, config: EvaluationConfig, seed: int
) -> dict[str, Difference]:
    differences = paired_difference(
        metric_values(first), metric_values(second), samples.user, resamples=config.bootstrap_resamples, seed=seed
    )
    return dict(zip(METRICS, differences, strict=True))


def _by_slice(
    first: Ranks, second: Ranks, samples: Samples, items: Items, config: EvaluationConfig, seed: int
) -> dict[str, dict[str, Difference]]:
    """The gain on each slice of the samples, by metric; which users were asked does not follow from the ranks."""
    gains = {}
    for label, mask_N in sample_slices(samples, items).items():
        gain = _differences(first[mask_N], second[mask_N], samples.take(np.flatnonzero(mask_N)), config, seed)
        gains[label] = {name: gain[name] for name in SHOWN}
    return gains


def _gain_json(gain: Mapping[str, Difference]) -> Json:
    return {
        name: {"difference": _short(one.mean), "ci95": [_short(one.low), _short(one.high)]}
        for name, one in gain.items()
    }


def _short(value: float) -> float:
    return round(float(value), 6)
