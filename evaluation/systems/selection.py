"""Choose on valid: hyper-parameters and fusion weights out of few candidates.

Valid is small and easily over-fitted (docs/method.md#evaluation). So a fusion may not fall below what it is made of,
neither by HR@10 nor by MRR, and of the candidates that are as good as the best, the simplest is taken.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import Floats
from evaluation.metrics.intervals import standard_error
from evaluation.metrics.metrics import one_metric
from evaluation.metrics.ranks import DomainSamples, Ranks, target_ranks
from evaluation.metrics.shared import Batches
from evaluation.systems.fusion import Weights, fuse

log = logging.getLogger(__name__)
C = TypeVar("C")
FLOOR_METRICS = ("hr@10", "mrr")


@dataclass(frozen=True)
class Choice(Generic[C]):
    """What was chosen out of how many, and how it and the best stood on valid."""

    candidate: C
    value: float
    """Its selection metric on valid."""
    best_value: float
    num_candidates: int
    below_parts: bool = False
    """True if every candidate was below one of its parts by one metric; then the least bad was taken."""


def simplest_of(
    candidates: Sequence[C],
    ranks: Sequence[Ranks],
    user_N: NDArray[np.int64],
    metric: str,
    floors: Sequence[Ranks] = (),
) -> Choice[C]:
    """The first candidate that is not below any floor and within one standard error of the best.

    The standard error is that of the paired difference to the best, over users.

    Args:
        candidates: the one to prefer first: the usual values, the simplest fusion.
        ranks: each candidate's target ranks on valid.
        floors: target ranks of the systems that the choice may not fall below, by MRR and by HR@10.
    """
    gains_KN = np.stack([one_metric(ranks_N, metric) for ranks_N in ranks])
    values_K = gains_KN.mean(axis=1)
    shortfall_K = np.zeros(len(candidates))
    for floor_N in floors:
        for name in FLOOR_METRICS:
            floor = one_metric(floor_N, name).mean()
            reached_K = np.array([one_metric(ranks_N, name).mean() for ranks_N in ranks])
            shortfall_K = np.maximum(shortfall_K, (floor - reached_K) / max(floor, 1e-12))
    allowed_K = shortfall_K <= 0
    if not allowed_K.any():
        least = int(np.argmin(shortfall_K))
        log.warning("every fusion is below one of its parts on valid; taking the least bad, %s", candidates[least])
        return Choice(candidates[least], float(values_K[least]), float(values_K.max()), len(candidates), True)
    best = int(np.argmax(np.where(allowed_K, values_K, -np.inf)))
    for place in np.flatnonzero(allowed_K).tolist():
        error = standard_error(gains_KN[place] - gains_KN[best], user_N)
        if values_K[place] >= values_K[best] - error:
            return Choice(candidates[place], float(values_K[place]), float(values_K[best]), len(candidates))
    raise AssertionError("the best candidate is not below itself")


def fused_ranks(
    batches: Batches, parts_of: Callable[[DomainSamples], Mapping[str, Floats]], candidates: Sequence[Weights]
) -> list[Ranks]:
    """Target ranks of every candidate's fusion, from one pass over the samples."""

    def of_batch(batch: DomainSamples) -> list[Ranks]:
        parts = parts_of(batch)
        return [target_ranks(fuse(parts, weights), batch) for weights in candidates]

    return batches.ranks(of_batch, len(candidates))
