"""Several rankings into one: scores scaled row by row and added with few weights; the paper's refinement beside it."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples, in_history
from evaluation.ranked_lists import NO_ITEM, RankedLists, widened
from pairs.tables import Samples

Scale: TypeAlias = Literal["row_max", "reciprocal"]
Weights: TypeAlias = Mapping[str, float]


def fuse(parts: Mapping[str, Floats], weights: Weights) -> Floats:
    """The weighted sum of the parts [B, C], each divided by its row's maximum; a weight of 0 leaves a part out.

    An item that one part excludes (-inf) stays excluded. A part that is alone is returned as it is.
    """
    used = [name for name, weight in weights.items() if weight > 0]
    assert used, "a fusion needs a positive weight"
    if len(used) == 1:
        return parts[used[0]]
    total_BC = np.zeros_like(parts[used[0]])
    for name in used:
        total_BC += np.float32(weights[name]) * scale_rows(parts[name])
    return total_BC


def scale_rows(scores_BC: Floats) -> Floats:
    """Each row divided by its maximum; a row without a positive score is left as it is."""
    highest_B = scores_BC.max(axis=1, initial=-np.inf)
    return scores_BC / np.where(highest_B > 0, highest_B, 1.0).astype(np.float32)[:, None]


def scale_list(
    lists: RankedLists, samples: Samples, how: Scale, *, num_items: int, filter_history: bool
) -> RankedLists:
    """Lists with scores from 1 (best) towards 0, whatever their own scale; the history's items dropped if asked.

    `row_max` keeps the distances: (score - lowest) / (highest - lowest). `reciprocal` keeps the order: 1 / rank.
    """
    kept_NK = lists.items != NO_ITEM
    if filter_history:
        kept_NK &= ~in_history(lists.items, samples, num_items=num_items)
    if how == "reciprocal":
        scaled_NK = 1.0 / np.maximum(np.cumsum(kept_NK, axis=1), 1)
    else:
        low_N = np.where(kept_NK, lists.scores, np.inf).min(axis=1, initial=np.inf)
        high_N = np.where(kept_NK, lists.scores, -np.inf).max(axis=1, initial=-np.inf)
        spread_N = np.where(high_N > low_N, high_N - low_N, 1.0)
        above_NK = np.where(kept_NK, lists.scores, 0.0) - np.where(kept_NK.any(axis=1), low_N, 0.0)[:, None]
        scaled_NK = np.where((high_N > low_N)[:, None], above_NK / spread_N[:, None], 1.0)
    return RankedLists(
        lists.sample,
        np.where(kept_NK, lists.items, NO_ITEM),
        np.where(kept_NK, scaled_NK, -np.inf).astype(np.float32),
    )


def spread_list(lists: RankedLists, batch: DomainSamples, *, absent: float = 0.0) -> Floats:
    """Lists as dense scores [B, C]: `absent` for an item of the domain that a list does not hold."""
    items_BK = lists.items[batch.rows]
    row, place = np.nonzero(items_BK != NO_ITEM)
    column, there = batch.column_of(row, items_BK[row, place])
    row, place, column = row[there], place[there], column[there]
    scores_BC = np.full((len(batch.rows), batch.num_columns), absent, dtype=np.float32)
    scores_BC[row, column] = lists.scores[batch.rows][row, place]
    return scores_BC


def is_replaced(llm_in_domain: list[list[bool]], *, top: int) -> NDArray[np.bool_]:
    """[N] where the paper's refinement takes the graph's list: some of the LLM's `top` texts, or all for want of any,
    stand for no item of the asked domain (docs/method.md#answers).

    Args:
        llm_in_domain: for each sample, whether each generated text stands for an item of the asked domain.
    """
    return np.array([not flags or not all(flags[:top]) for flags in llm_in_domain], dtype=bool)


def refine_as_paper(graph: RankedLists, llm: RankedLists, replaced_N: NDArray[np.bool_]) -> RankedLists:
    """The paper's refinement: the LLM's lists, but the graph's where they are `replaced_N`."""
    assert np.array_equal(graph.sample, llm.sample), "lists of different samples"
    depth = max(graph.depth, llm.depth)
    graph, llm = widened(graph, depth), widened(llm, depth)
    return RankedLists(
        graph.sample,
        np.where(replaced_N[:, None], graph.items, llm.items),
        np.where(replaced_N[:, None], graph.scores, llm.scores),
    )
