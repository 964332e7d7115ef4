"""The numbers of a report: every system's metrics on every slice with intervals, paired differences, ceilings."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import bootstrap_means, interval, paired_difference
from evaluation.metrics.metrics import METRICS, metric_values
from evaluation.metrics.ranks import Ranks, in_history
from evaluation.systems.sources import Answered
from launch.systems import BASELINES, COMPARED, SYSTEMS
from pairs.tables import Items, Samples

Json = dict[str, Any]  # Any: plain JSON values
DIGITS = 6


def system_table(
    ranks: Mapping[str, Ranks],
    user_N: NDArray[np.int64],
    slices: Mapping[str, NDArray[np.bool_]],
    *,
    resamples: int,
    seed: int,
) -> Json:
    """{system: {slice: {metric: value, "ci95": {metric: [low, high]}}}}."""
    values = {name: metric_values(ranks_N) for name, ranks_N in ranks.items()}
    stacked_NF = np.concatenate([values[name] for name in ranks], axis=1)
    table: Json = {name: {} for name in ranks}
    for label, mask_N in slices.items():
        means_F = stacked_NF[mask_N].mean(axis=0)
        low_F, high_F = interval(bootstrap_means(stacked_NF[mask_N], user_N[mask_N], resamples=resamples, seed=seed))
        for place, name in enumerate(ranks):
            columns = range(place * len(METRICS), (place + 1) * len(METRICS))
            table[name][label] = {
                **{metric: _short(means_F[column]) for metric, column in zip(METRICS, columns, strict=True)},
                "ci95": {
                    metric: [_short(low_F[column]), _short(high_F[column])]
                    for metric, column in zip(METRICS, columns, strict=True)
                },
            }
    return table


def paired_table(
    ranks: Mapping[str, Ranks], user_N: NDArray[np.int64], *, best_baseline: str, resamples: int, seed: int
) -> Json:
    """{"A - B": {metric: {"difference", "ci95", "p"}}} for the pairs of `COMPARED` that are there, and for every system
    that is no baseline and the best of those."""
    against_best = [(name, best_baseline) for name in SYSTEMS if name not in {*BASELINES, best_baseline}]
    table: Json = {}
    for first, second in dict.fromkeys([*COMPARED, *against_best]):
        if first in ranks and second in ranks:
            differences = paired_difference(
                metric_values(ranks[first]), metric_values(ranks[second]), user_N, resamples=resamples, seed=seed
            )
            table[f"{first} - {second}"] = {
                metric: {
                    "difference": _short(difference.mean),
                    "ci95": [_short(difference.low), _short(difference.high)],
                    "p": _short(difference.p),
                }
                for metric, difference in zip(METRICS, differences, strict=True)
            }
    return table


def ceilings(samples: Samples, items: Items, *, filter_history: bool) -> Json:
    """What no ranking can exceed: targets known from train, and targets that the history filter removes."""
    known_N = items.train_count[samples.target] > 0
    repeated_N = in_history(samples.target[:, None], samples, num_items=items.num_items)[:, 0]
    reachable_N = known_N & ~repeated_N if filter_history else known_N
    domains = {"all": np.ones(len(samples), dtype=bool), "X": samples.domain == 0, "Y": samples.domain == 1}
    return {
        label: {
            "target_in_train": _short(known_N[mask_N].mean()),
            "target_in_own_history": _short(repeated_N[mask_N].mean()),
            "reachable_by_item_id": _short(reachable_N[mask_N].mean()),
        }
        for label, mask_N in domains.items()
        if mask_N.any()
    }


def raw_out_of_domain(answers: Answered) -> float:
    """Share of the LLM's texts that do not stand for an item of the asked domain."""
    flags = [flag for of_sample in answers.in_domain for flag in of_sample]
    return _short(1.0 - float(np.mean(flags))) if flags else 0.0


def first_out_of_domain(answers: Answered) -> float:
    """Share of the answered samples whose first text does not stand for an item of the asked domain."""
    first = [not flags or not flags[0] for flags, seen in zip(answers.in_domain, answers.covered, strict=True) if seen]
    return _short(float(np.mean(first))) if first else 0.0


def _short(value: float) -> float:
    return round(float(value), DIGITS)
