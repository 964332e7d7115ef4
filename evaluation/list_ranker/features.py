"""Candidates of a batch and what the list ranker is told of them. No feature is an id or follows from the order of ids.

Candidates are the union of every source's best; all else is asked of candidates alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples
from evaluation.ranked_lists import NO_ITEM, top_k
from evaluation.sales import DAY, Sales
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
    num_rows, num_columns = len(batch.rows), batch.num_columns
    places: dict[str, Floats] = {}
    is_candidate_BC = np.zeros((num_rows, num_columns), dtype=bool)
    sources = {name: coarse(scores_BC) for name, scores_BC in sources.items()}
    told = {name: coarse(scores_BC) for name, scores_BC in told.items()}
    for name, scores_BC in sources.items():
        row, column, place = _best(scores_BC, depth, batch)
        is_candidate_BC[row, column] = True
        places[name] = np.full((num_rows, num_columns), depth, dtype=np.float32)
        places[name][row, column] = place
    row_P, column_P = np.nonzero(is_candidate_BC)
    columns = []
    for name, scores_BC in sources.items():
        low_B, high_B = _extremes(scores_BC)
        score_P = np.maximum(scores_BC[row_P, column_P], low_B[row_P])
        share_P = (score_P - low_B[row_P]) / np.maximum(high_B - low_B, 1e-12)[row_P]
        columns += [score_P, share_P, np.log1p(places[name][row_P, column_P])]
    columns += [scores_BC[row_P, column_P] for scores_BC in told.values()]
    same_B = _same_domain_lengths(batch, items)
    columns += [batch.samples.lengths[row_P], same_B[row_P]]
    columns += [_staleness(batch, at_B)[row_P]]
    if sales is not None:
        assert at_B is not None
        columns += _sales_columns(sales, batch.item_at(row_P, column_P), at_B[row_P])
    features_PF = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
    best_P = np.min([place_BC[row_P, column_P] for place_BC in places.values()], axis=0)
    by_words = places.get(WORDS)
    word_P = np.full(len(row_P), depth) if by_words is None else by_words[row_P, column_P]
    return Candidates(
        row_P.astype(np.int64),
        column_P.astype(np.int64),
        features_PF,
        best_P.astype(np.int64),
        word_P.astype(np.int64),
    )


def coarse(scores_BC: Floats) -> Floats:
    """Scores rounded to 14 bits of mantissa: what differs by less differs by the order in which it was summed."""
    bits_BC = np.ascontiguousarray(scores_BC, dtype=np.float32).view(np.uint32)
    rounded_BC = ((bits_BC + np.uint32(1 << 8)) & ~np.uint32((1 << 9) - 1)).view(np.float32)
    return np.where(np.isfinite(scores_BC), rounded_BC, scores_BC)


def _best(scores_BC: Floats, depth: int, batch: DomainSamples) -> tuple[Ints, Ints, Ints]:
    """(row, column, place from 0) of at most `depth` items a row that are above the row's lowest score.

    Equal scores have equal places, and all of them or none are taken: ids decide nothing.
    """
    listed_BK, best_BK = top_k(scores_BC, depth + 1, batch.columns)
    lowest_B = np.where(np.isfinite(scores_BC), scores_BC, np.inf).min(axis=1, initial=np.inf)
    bar_B = np.maximum(best_BK[:, depth], lowest_B)
    starts_BK = np.ones(best_BK.shape, dtype=bool)
    starts_BK[:, 1:] = best_BK[:, 1:] < best_BK[:, :-1]
    place_BK = np.maximum.accumulate(np.where(starts_BK, np.arange(depth + 1), 0), axis=1)
    row, cell = np.nonzero((listed_BK != NO_ITEM) & (best_BK > bar_B[:, None]))
    column, _ = batch.column_of(row, listed_BK[row, cell])
    return row.astype(np.int64), column, place_BK[row, cell].astype(np.int64)


def _extremes(scores_BC: Floats) -> tuple[Floats, Floats]:
    """[B] the lowest and the highest score of each row; 0 for a row without any."""
    finite_BC = np.isfinite(scores_BC)
    low_B = np.where(finite_BC, scores_BC, np.inf).min(axis=1, initial=np.inf)
    high_B = np.where(finite_BC, scores_BC, -np.inf).max(axis=1, initial=-np.inf)
    has_any_B = finite_BC.any(axis=1)
    return np.where(has_any_B, low_B, 0).astype(np.float32), np.where(has_any_B, high_B, 0).astype(np.float32)


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
    before_P = sales.before(item_P, at_P)
    windows = [before_P - sales.before(item_P, at_P - days * DAY) for days in WINDOWS_DAYS]
    counts = [np.log1p(count_P).astype(np.float32) for count_P in (before_P, *windows)]
    return [*counts, sales.days_since_last(item_P, at_P), sales.days_since_first(item_P, at_P)]
