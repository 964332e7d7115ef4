"""Refuse the same interactions as X and as Y: whatever their form, order or files, such a pair leaks perfectly.

Each domain keeps a sketch: the smallest hashes of its interactions (user, item, time). Below the larger hash that both
sketches still have whole, they hold the same sample of both domains, so the share of it that is in both is an unbiased
estimate of the share of all: exact up to `SKETCHED` interactions, to about .2 % of a point beyond.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from launch.errors import InputError

SKETCHED = 1 << 16
"""So many interactions of each domain are compared."""
REFUSED, WARNED = 0.5, 0.01
"""Share of the smaller domain's interactions that may not, and should not, be the other's too."""
ENDLESS = np.uint64(2**64 - 1)
Hashes = npt.NDArray[np.uint64]
log = logging.getLogger(__name__)


class Sketch:
    """The smallest hashes of the interactions of one domain."""

    def __init__(self) -> None:
        self._parts: list[Hashes] = []
        self._num_waiting = 0
        self._below = ENDLESS
        """Hashes up to here are all kept."""

    def add(self, events: pl.DataFrame) -> None:
        """Some more interactions: user, item, time (seconds). Ratings do not make one another."""
        hashes = events.select("user", "item", "time").hash_rows(seed=0).to_numpy()
        small = hashes[hashes <= self._below]
        self._parts.append(small)
        self._num_waiting += len(small)
        if self._num_waiting > 2 * SKETCHED:
            self.hashes()

    def hashes(self) -> Hashes:
        """At most `SKETCHED` different hashes, ascending."""
        smallest = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *self._parts]))
        if len(smallest) > SKETCHED:
            smallest = smallest[:SKETCHED]
            self._below = smallest[-1]
        self._parts, self._num_waiting = [smallest], len(smallest)
        return smallest

    def share_in(self, other: "Sketch") -> float:
        """The share of the interactions of the smaller of the two domains that are in the larger too."""
        mine, others = self.hashes(), other.hashes()
        both_whole = min(self._below, other._below)
        mine, others = mine[mine <= both_whole], others[others <= both_whole]
        smaller = min(len(mine), len(others))
        return len(np.intersect1d(mine, others, assume_unique=True)) / smaller if smaller else 0.0


def refuse_shared(x: Sketch, y: Sketch, x_files: Sequence[Path], y_files: Sequence[Path]) -> None:
    """InputError if most interactions of a domain are the other's too; a warning if some are."""
    share = x.share_in(y)
    if share >= REFUSED:
        raise InputError(
            f"{y_files[0]}: the same interactions as {x_files[0]}, in whatever order or form: {100 * share:.0f} % of "
            "one domain are in the other, so every target would stand in the other domain's history; give two "
            "different categories"
        )
    if share >= WARNED:
        log.warning(
            "%s: %.0f %% of the interactions of one domain are in the other (%s) too: their targets stand in the other "
            "domain's histories",
            y_files[0], 100 * share, x_files[0],
        )  # fmt: skip
