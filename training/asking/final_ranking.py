"""The final ranking, `kinrec`, for a user whom the run has never seen: what `evaluate` chose, made anew."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.candidates.asked import Scorer
from evaluation.candidates.pool import Pool
from evaluation.list_ranker.bank import Bank
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.knowledge import Timeline, known_to_test, sold_by_all
from evaluation.list_ranker.store import load_ranker
from evaluation.matrices import Floats
from evaluation.metrics.ranks import batches
from evaluation.ranked_lists import NO_ITEM, RankedLists, top_k
from evaluation.systems.fusion import fuse, spread_list
from evaluation.systems.judging import FinalScorer
from evaluation.systems.mixture import Mixture, make_ingredients
from pairs.tables import SPLITS, Items, Samples, load_samples

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class Final:
    """One sample's final list, and where each of its items stands in every source."""

    items: list[int]
    scores: list[float]
    ranks: list[dict[str, int]]
    """For each item, source -> its rank there; sources that do not hold it are absent."""


@dataclass(frozen=True)
class Known:
    """What test was ranked with."""

    samples: Samples
    """Train or, where the split is one of time, all that was known at its cut."""
    sold: Samples | None
    """Whose purchases are the sales; None: theirs."""
    graphs_anew: bool
    """Whether the graphs are to be made of them, too."""


def load_known(run_dir: Path, chosen: Json, others: Samples | None) -> Known:
    """By the report's own protocol; `others` are users of one domain."""
    train, valid, test = (load_samples(run_dir, split) for split in SPLITS)
    timeline = Timeline(chosen["chronological"], chosen["knowledge"])
    return Known(
        known_to_test(train, valid, test, timeline),
        sold_by_all(train, valid, test, timeline, others),
        timeline.makes_graphs_anew,
    )


def load_final(run_dir: Path, chosen: Json, bank: Bank, lists: Mapping[str, RankedLists]) -> ListRanker | None:
    """The list ranker of the run, asking these lists; None where the simple fusion is final."""
    final = chosen["kinrec"]
    if final["by"] != "list_ranker":
        return None
    bank = dataclasses.replace(bank, given={name: lists[name] for name in final["given"]})
    return load_ranker(
        run_dir, bank, depth=final["depth"], weights=final["weights"], by_words=final.get("by_words", False)
    )


def rank_finally(
    sample: Samples,
    *,
    items: Items,
    scorers: Mapping[str, Scorer],
    lists: Mapping[str, RankedLists],
    mixture: Mixture,
    depth: int,
    final: FinalScorer | None = None,
    pool: Pool | None = None,
) -> Final:
    """The final list of a single sample from its lists of `graph` and `llm`; never an item of its own history.

    Args:
        pool: who nominates candidates, where `evaluate` ranked these alone; None: all items of the domain are ranked.
    """
    assert len(sample) == 1, len(sample)
    (batch,) = batches(sample, items, pool)
    ingredients = make_ingredients(scorers, lists, sample, items, filter_history=True)
    raw = batch.scores(scorers)
    baselines = ingredients.baseline_parts(batch, raw)
    scores_BC = fuse(ingredients.fusion_parts(batch, fuse(baselines, mixture.baselines)), mixture.fusion)
    if final is not None:
        lists_BC = {name: spread_list(ranked, batch) for name, ranked in ingredients.scaled.items()}
        scores_BC = final.score(batch, raw, scores_BC, lists_BC, filter_history=True)
    listed, scores = top_k(scores_BC, depth, batch.columns)
    there = listed[0] != NO_ITEM
    best, values = listed[0][there], scores[0][there]
    own = set(sample.history.tolist())
    columns, _ = batch.column_of(np.zeros(len(best), dtype=np.int64), best)
    return Final(
        items=best.tolist(),
        scores=values.tolist(),
        ranks=[
            {
                **{name: _rank_among(scores_BC, column) for name, scores_BC in baselines.items()},
                **{
                    name: place for name, ranked in lists.items() if (place := _place_in(ranked, item, own)) is not None
                },
            }
            for item, column in zip(best.tolist(), columns.tolist(), strict=True)
        ],
    )


def _rank_among(scores_BC: Floats, column: int) -> int:
    """How many items score at least as much."""
    return int(np.count_nonzero(scores_BC[0] >= scores_BC[0, column]))


def _place_in(lists: RankedLists, item: int, own: set[int]) -> int | None:
    """The rank in the first row, the history's own items not counted; None if it is not there."""
    held = [other for other in lists.items[0].tolist() if other not in own]
    return held.index(item) + 1 if item in held else None
