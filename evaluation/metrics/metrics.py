"""Metrics of target ranks, and the slices of samples that they are averaged over."""

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.ranks import Ranks
from pairs.tables import Items, Samples

METRICS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr@20", "mrr")
COLD_HISTORY = 3
"""A sample is cold with fewer items of the target's domain than this in its history (docs/method.md#evaluation)."""
POPULARITY_BUCKETS = ((0, 0), (1, 2), (3, 9), (10, None))
HISTORY_BUCKETS = ((0, 5), (6, 10), (11, 20), (21, None))


def metric_values(ranks_N: Ranks) -> NDArray[np.float64]:
    """[N, M] every metric of every sample, in the order of `METRICS`; a target that is not ranked gives 0."""
    return np.stack([one_metric(ranks_N, name) for name in METRICS], axis=1)


def one_metric(ranks_N: Ranks, name: str) -> NDArray[np.float64]:
    """[N] one metric of every sample."""
    kind, _, cut = name.partition("@")
    kept_N = ranks_N <= (int(cut) if cut else np.inf)
    if kind == "hr":
        gains_N = np.ones_like(ranks_N)
    elif kind == "ndcg":
        gains_N = 1.0 / np.log2(ranks_N + 1.0)
    else:
        assert kind == "mrr", name
        gains_N = 1.0 / ranks_N
    return np.where(kept_N, gains_N, 0.0)


def sample_slices(samples: Samples, items: Items) -> dict[str, NDArray[np.bool_]]:
    """Name -> [N] which samples; `all`, the domains `X` and `Y`, and the finer slices. Empty ones are left out."""
    row = samples.item_rows
    same_domain = items.domain[samples.history] == samples.domain[row]
    known_N = np.bincount(row[same_domain], minlength=len(samples))
    popularity_N = items.train_count[samples.target]
    slices = {
        "all": np.ones(len(samples), dtype=bool),
        "X": samples.domain == 0,
        "Y": samples.domain == 1,
        "cold": known_N < COLD_HISTORY,
        "warm": known_N >= COLD_HISTORY,
        **_buckets("popularity", popularity_N, POPULARITY_BUCKETS),
        **_buckets("history", samples.lengths, HISTORY_BUCKETS),
    }
    return {name: mask_N for name, mask_N in slices.items() if mask_N.any()}


def _buckets(
    name: str, values_N: NDArray[np.int64], buckets: tuple[tuple[int, int | None], ...]
) -> dict[str, NDArray[np.bool_]]:
    named = {}
    for low, high in buckets:
        label = f"{low}" if high == low else f"{low}+" if high is None else f"{low}-{high}"
        named[f"{name} {label}"] = (values_N >= low) & (values_N <= (np.inf if high is None else high))
    return named
