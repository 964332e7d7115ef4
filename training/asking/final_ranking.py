"""The final ranking, `kinrec`, for a user whom the run has never seen: the fusion that `evaluate` chose, made anew."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.matrices import Floats
from evaluation.metrics.ranks import batches
from evaluation.ranked_lists import NO_ITEM, RankedLists, top_k
from evaluation.systems.baseline_table import BASELINE_TABLE, Material
from evaluation.systems.baselines import Scorer
from evaluation.systems.fusion import Weights, fuse
from evaluation.systems.mixture import Mixture, make_ingredients
from pairs.tables import Items, Samples

Parameters = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Final:
    """One sample's final list, and where each of its items stands in every source."""

    items: list[int]
    scores: list[float]
    ranks: list[dict[str, int]]
    """For each item, source -> its rank there; sources that do not hold it are absent."""


def fit_scorers(
    names: Weights, parameters: Parameters, *, train: Samples, items: Items, ridge_max_users: int, seed: int
) -> dict[str, Scorer]:
    """The baselines that have a weight in `names`, with the parameters that were chosen for them on valid."""
    material = Material(train, items, ridge_max_users, seed)
    return {
        name: BASELINE_TABLE[name].fit(material, **parameters.get(name, {}))
        for name, weight in names.items()
        if weight > 0
    }


def rank_finally(
    sample: Samples,
    *,
    items: Items,
    scorers: Mapping[str, Scorer],
    lists: Mapping[str, RankedLists],
    mixture: Mixture,
    depth: int,
) -> Final:
    """The final list of a single sample from its lists of `graph` and `llm`; never an item of its own history."""
    assert len(sample) == 1, len(sample)
    (batch,) = batches(sample, items)
    ingredients = make_ingredients(scorers, lists, sample, items, filter_history=True)
    baselines = ingredients.baseline_parts(batch)
    scores_BC = fuse(ingredients.kinrec_parts(batch, fuse(baselines, mixture.baselines)), mixture.kinrec)
    listed, scores = top_k(scores_BC, depth, batch.ids_array)
    there = listed[0] != NO_ITEM
    best, values = listed[0][there], scores[0][there]
    own = set(sample.history.tolist())
    return Final(
        items=best.tolist(),
        scores=values.tolist(),
        ranks=[
            {
                **{name: _rank_among(scores_BC, item - batch.ids.start) for name, scores_BC in baselines.items()},
                **{
                    name: place for name, ranked in lists.items() if (place := _place_in(ranked, item, own)) is not None
                },
            }
            for item in best.tolist()
        ],
    )


def _rank_among(scores_BC: Floats, column: int) -> int:
    """How many items score at least as much."""
    return int(np.count_nonzero(scores_BC[0] >= scores_BC[0, column]))


def _place_in(lists: RankedLists, item: int, own: set[int]) -> int | None:
    """The rank in the first row, the history's own items not counted; None if it is not there."""
    held = [other for other in lists.items[0].tolist() if other not in own]
    return held.index(item) + 1 if item in held else None
