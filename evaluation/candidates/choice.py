"""Whether a pair is ranked whole or by candidates."""

from collections.abc import Mapping

from evaluation.candidates.asked import Scorer
from evaluation.candidates.pool import Pool
from evaluation.config import WHOLE_ITEMS, EvaluationConfig
from evaluation.ranked_lists import RankedLists
from pairs.tables import Items


def pool_of(
    scorers: Mapping[str, Scorer], lists: Mapping[str, RankedLists], items: Items, config: EvaluationConfig
) -> Pool | None:
    """Who nominates; None where all items are scored.

    Args:
        lists: aligned with the samples that are asked about.
    """
    return Pool(scorers, lists, config.candidate_depth) if is_by_candidates(items, config) else None


def is_by_candidates(items: Items, config: EvaluationConfig) -> bool:
    """Whether named candidates alone are ranked."""
    largest = max(len(items.ids(domain)) for domain in (0, 1))
    return config.candidates == "named" or (config.candidates == "auto" and largest > WHOLE_ITEMS)
