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
        # Whole numbers, so that the result does not depend on how histories were cut into batches.
        self._most = self._switches = self._mixed = self._alternating = 0
        self._products = np.zeros(1, dtype=np.int64)
        """Sum of (items of X) x (items of Y) over the mixed histories of each length."""
        self._timed = True

    def add(self, samples: Samples) -> None:
        """More histories."""
        self._timed &= samples.history_time is not None
        domain = self._domain_of[samples.history].astype(np.int64)
        row = samples.item_rows
        differ = (domain[1:] != domain[:-1]) & (row[1:] == row[:-1])
        switches = np.bincount(row[1:][differ], minlength=len(samples))
        num_y = np.bincount(row[domain == 1], minlength=len(samples))
        num_x = samples.lengths - num_y
        mixed = (num_x > 0) & (num_y > 0)
        most = (2 * np.minimum(num_x, num_y) - (num_x == num_y))[mixed]
        longest = max(int(samples.lengths.max(initial=0)) + 1, len(self._products))
        self._products = np.pad(self._products, (0, longest - len(self._products)))
        np.add.at(self._products, samples.lengths[mixed], num_x[mixed] * num_y[mixed])
        self._most += int(most.sum())
        self._switches += int(switches[mixed].sum())
        self._mixed += int(mixed.sum())
        self._alternating += int((switches[mixed] >= most - 1).sum())

    def describe(self) -> dict[str, Any]:  # Any: plain JSON values
        """The card's entry; an order is only called synthetic where there are no timestamps to believe."""
        length = np.maximum(np.arange(len(self._products)), 1)
        by_chance = float((2 * self._products / length).sum())  # the mean number of switches of a random order
        spread = self._most - by_chance
        alternation = (self._switches - by_chance) / spread if spread > 0 else 0.0
        synthetic = not self._timed and alternation >= SYNTHETIC_FROM
        return {
            "order": "synthetic" if synthetic else "chronological",
            "timestamps": self._timed,
            "alternation": round(alternation, 4),
            "fully_alternating_histories": round(self._alternating / max(self._mixed, 1), 4),
            "note": "the domains were zipped: cross-domain transitions mean nothing" if synthetic else "",
        }
