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
    largest = max(len(items.ids(domain)) for domain in (0, 1))
    if config.candidates == "all" or (config.candidates == "auto" and largest <= WHOLE_ITEMS):
        return None
    return Pool(scorers, lists, config.candidate_depth)
