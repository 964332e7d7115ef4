"""Candidates of a batch and what the list ranker is told of them. No feature is an id or follows from the order of ids.

Candidates are the union of every source's best; all else is asked of candidates alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import DAY, Floats
from evaluation.metrics.ranks import DomainSamples
from evaluation.ranked_lists import NO_ITEM, top_k
from evaluation.sales import Sales
from evaluation.systems.baseline_table import WORDS
from pairs.tables import Ints, Items

WINDOWS_DAYS = (7, 30, 90)
HISTORY_FACTS = ("history length", "history of the domain", "age of the knowledge")
SALES_FACTS = ("sales", *(f"sales of {days} days" for days in WINDOWS_DAYS), "days since last", "days since first")


@dataclass(frozen=True)
class Candidates:
    """P candidates of the samples of one batch, in order of (row, column)."""

    row: Ints  # [P], of the batch
    column: Ints  # [P], of the domain's items
    features: Floats  # [P, F]
    best_place: Ints  # [P], from 0, in any source
    word_place: Ints  # [P], from 0, by words; `depth` where words do not name it

    def take(self, kept_P: NDArray[np.bool_]) -> "Candidates":
        """Some of them, in their order."""
        return Candidates(
            self.row[kept_P],
            self.column[kept_P],
            self.features[kept_P],
            self.best_place[kept_P],
            self.word_place[kept_P],
        )


def feature_names(sources: list[str], told: list[str], *, timed: bool) -> list[str]:
    """The columns of `features`, in order."""
    of_sources = [f"{source} {what}" for source in sources for what in ("score", "share", "place")]
    return [*of_sources, *told, *HISTORY_FACTS, *(SALES_FACTS if timed else ())]


def find_candidates(
    batch: DomainSamples,
    items: Items,
    sources: Mapping[str, Floats],
    told: Mapping[str, Floats],
    *,
    depth: int,
    sales: Sales | None,
    at_B: Ints | None,
) -> Candidates:
    """The union of the sources' `depth` best for every sample, with features.

    Args:
        sources: scores [B, C]; -inf where an item may not be recommended or a list does not hold it.
        told: scores that are features only.
        sales, at_B: what was sold, and the moment as of which each sample asks; None on pairs without times.
    """
    width = batch.num_columns
    sources = {name: coarse(scores_BC) for name, scores_BC in sources.items()}
    lowest = {name: _lowest(scores_BC) for name, scores_BC in sources.items()}
    listed = {name: _best(scores_BC, lowest[name], depth, batch) for name, scores_BC in sources.items()}
    keys_P = np.unique(np.concatenate([row * width + column for row, column, _ in listed.values()]))
    row_P, column_P = keys_P // width, keys_P % width
    places: dict[str, Ints] = {}
    columns = []
    for name, (row, column, place) in listed.items():
        places[name] = np.full(len(keys_P), depth, dtype=np.int64)
        places[name][np.searchsorted(keys_P, row * width + column)] = place
        scores_BC = sources[name]
        low_B, high_B = _extremes(scores_BC, lowest[name])
        score_P = np.maximum(scores_BC[row_P, column_P], low_B[row_P])
        share_P = (score_P - low_B[row_P]) / np.maximum(high_B - low_B, 1e-12)[row_P]
        columns += [score_P, share_P, np.log1p(places[name].astype(np.float32))]
    columns += [coarse(scores_BC[row_P, column_P]) for scores_BC in told.values()]
    same_B = _same_domain_lengths(batch, items)
    columns += [batch.samples.lengths[row_P], same_B[row_P]]
    columns += [_staleness(batch, at_B)[row_P]]
    if sales is not None:
        assert at_B is not None
        columns += _sales_columns(sales, batch.item_at(row_P, column_P), at_B[row_P])
    features_PF = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
    best_P = np.min(list(places.values()), axis=0)
    return Candidates(row_P, column_P, features_PF, best_P, places.get(WORDS, np.full(len(row_P), depth)))


def coarse(scores_BC: Floats) -> Floats:
    """Scores rounded to 14 bits of mantissa: what differs by less differs by the order in which it was summed."""
    bits_BC = np.array(scores_BC, dtype=np.float32).view(np.uint32)
    bits_BC += np.uint32(1 << 8)
    bits_BC &= ~np.uint32((1 << 9) - 1)
    return bits_BC.view(np.float32)  # an infinity stays one: its mantissa is 0


def _best(scores_BC: Floats, lowest_B: Floats, depth: int, batch: DomainSamples) -> tuple[Ints, Ints, Ints]:
    """(row, column, place from 0) of at most `depth` items a row that are above the row's lowest score.

    Equal scores have equal places, and all of them or none are taken: ids decide nothing.
    """
    listed_BK, best_BK = top_k(scores_BC, depth + 1, batch.columns)
    bar_B = np.maximum(best_BK[:, depth], lowest_B)
    starts_BK = np.ones(best_BK.shape, dtype=bool)
    starts_BK[:, 1:] = best_BK[:, 1:] < best_BK[:, :-1]
    place_BK = np.maximum.accumulate(np.where(starts_BK, np.arange(depth + 1), 0), axis=1)
    row, cell = np.nonzero((listed_BK != NO_ITEM) & (best_BK > bar_B[:, None]))
    column, _ = batch.column_of(row, listed_BK[row, cell])
    return row.astype(np.int64), column, place_BK[row, cell].astype(np.int64)


def _lowest(scores_BC: Floats) -> Floats:
    """[B] the lowest finite score of each row; inf for a row without any."""
    allowed_BC = np.where(scores_BC == -np.inf, np.float32(np.inf), scores_BC)
    return np.asarray(allowed_BC.min(axis=1, initial=np.inf), dtype=np.float32)


def _extremes(scores_BC: Floats, lowest_B: Floats) -> tuple[Floats, Floats]:
    """[B] the lowest and the highest score of each row; 0 for a row without any."""
    has_any_B = np.isfinite(lowest_B)
    high_B = scores_BC.max(axis=1, initial=-np.inf)
    return np.where(has_any_B, lowest_B, 0).astype(np.float32), np.where(has_any_B, high_B, 0).astype(np.float32)


def _same_domain_lengths(batch: DomainSamples, items: Items) -> Ints:
    samples = batch.samples
    same = items.domain[samples.history] == batch.domain
    return np.bincount(samples.item_rows[same], minlength=len(samples)).astype(np.int64)


def _staleness(batch: DomainSamples, at_B: Ints | None) -> Floats:
    """[B] days between what is known and the moment of the question."""
    if at_B is None or batch.samples.target_time is None:
        return np.zeros(len(batch.rows), dtype=np.float32)
    return ((batch.samples.target_time - at_B) / DAY).astype(np.float32)


def _sales_columns(sales: Sales, item_P: Ints, at_P: Ints) -> list[Floats]:
    before_P, last_P, first_P = sales.facts(item_P, at_P)
    windows = [before_P - sales.before(item_P, at_P - days * DAY) for days in WINDOWS_DAYS]
    counts = [np.log1p(count_P).astype(np.float32) for count_P in (before_P, *windows)]
    return [*counts, last_P, first_P]
