"""Whether the order of the histories can be trusted, or was made by zipping the two domains."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pairs.tables import Samples

SYNTHETIC_FROM = 0.5
"""Without timestamps, an order that alternates this much (0: random order, 1: the most possible) is synthetic."""


class OrderTally:
    """Counts how often neighbours in a history are of different domains: between what a random order would give
    (alternation 0) and the most that is possible (alternation 1). Zipping the two domains comes near it."""

    def __init__(self, domain_of: npt.NDArray[np.int8]) -> None:
        self._domain_of = domain_of
        self._spread = self._excess = 0.0
        self._mixed = self._alternating = 0
        self._timed = True

    def add(self, samples: Samples) -> None:
        """More histories."""
        self._timed &= samples.history_time is not None
        domain = self._domain_of[samples.history].astype(np.int64)
        row = np.repeat(np.arange(len(samples)), samples.lengths)
        differ = (domain[1:] != domain[:-1]) & (row[1:] == row[:-1])
        switches = np.bincount(row[1:][differ], minlength=len(samples))
        num_y = np.bincount(row[domain == 1], minlength=len(samples))
        num_x = samples.lengths - num_y
        mixed = (num_x > 0) & (num_y > 0)
        by_chance = 2 * num_x[mixed] * num_y[mixed] / samples.lengths[mixed]
        most = (2 * np.minimum(num_x, num_y) - (num_x == num_y))[mixed]
        self._spread += float((most - by_chance).sum())
        self._excess += float((switches[mixed] - by_chance).sum())
        self._mixed += int(mixed.sum())
        self._alternating += int((switches[mixed] >= most - 1).sum())

    def describe(self) -> dict[str, Any]:  # Any: plain JSON values
        """The card's entry; an order is only called synthetic where there are no timestamps to believe."""
        alternation = self._excess / self._spread if self._spread > 0 else 0.0
        synthetic = not self._timed and alternation >= SYNTHETIC_FROM
        return {
            "order": "synthetic" if synthetic else "chronological",
            "timestamps": self._timed,
            "alternation": round(alternation, 4),
            "fully_alternating_histories": round(self._alternating / max(self._mixed, 1), 4),
            "note": "the domains were zipped: cross-domain transitions mean nothing" if synthetic else "",
        }
