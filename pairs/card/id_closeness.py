"""Do items' numbers follow what was bought together? How often a target's number is next to one of its history's.

Numbers that were given in the order of purchases tell a target to whoever reads them. The share of targets that have an
item of their history, of the same domain, at most `NEAR` numbers away is compared with what numbers drawn at random
would give, which is known exactly.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pairs.ragged import rows_of
from pairs.tables import Ints, Samples, Split

NEAR = 3
CLEARLY = 1.5
"""Numbers are said to follow purchases from this many times the share that chance gives ..."""
DEVIATIONS = 8.0
"""... if that is so many standard deviations above it. (Samples that share items are not independent, so few would
cry wolf.)"""
Card = dict[str, Any]  # Any: plain JSON values
Domains = npt.NDArray[np.int8]


class IdCloseness:
    """The sums of every split, added up batch by batch."""

    def __init__(self, domain_of: Domains) -> None:
        self._domain_of = domain_of
        self._num_items = np.bincount(domain_of, minlength=2)
        self._sums: dict[Split, npt.NDArray[np.float64]] = {}

    def add(self, split: Split, samples: Samples) -> None:
        """More samples of a split."""
        close, chance = close_targets(samples, self._domain_of)
        sums = np.array([len(samples), close.sum(), chance.sum(), (chance * (1 - chance)).sum()])
        self._sums[split] = self._sums.get(split, np.zeros(4)) + sums

    def describe(self) -> Card:
        """Of every split the share of targets and what chance gives; and whether numbers follow purchases."""
        num_samples, close, chance, variance = sum(self._sums.values(), np.zeros(4)).tolist()
        follow = close > CLEARLY * chance and close - chance > DEVIATIONS * max(variance, 1.0) ** 0.5
        return {
            "within": NEAR,
            **{
                split: {"targets": _share(sums[1], sums[0]), "by_chance": _share(sums[2], sums[0])}
                for split, sums in self._sums.items()
            },
            "all": {"targets": _share(close, num_samples), "by_chance": _share(chance, num_samples)},
            "ids_follow_purchases": bool(follow),
        }


def close_targets(samples: Samples, domain_of: Domains) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """For every sample whether some other item of its history and its target's domain is close by number [N], and the
    probability of that if the domain's numbers were drawn [N]."""
    row = rows_of(samples.lengths)
    target = samples.target[row]
    others = (domain_of[samples.history] == domain_of[target]) & (samples.history != target)
    row, item, target = row[others], samples.history[others], target[others]
    close = np.zeros(len(samples), dtype=bool)
    close[row[np.abs(item - target) <= NEAR]] = True
    cells = np.unique(row * len(domain_of) + item)  # an item that a history repeats has one number
    num_others = np.bincount(cells // len(domain_of), minlength=len(samples))
    chance = np.zeros(len(samples))
    for domain, num_items in enumerate(np.bincount(domain_of, minlength=2).tolist()):
        mine = samples.domain == domain
        chance[mine] = chance_of_close(num_others[mine], num_items=num_items)
    return close, chance


def chance_of_close(num_others: Ints, *, num_items: int) -> npt.NDArray[np.float64]:
    """The probability that one of so many others is at most `NEAR` places from an item, where `num_items` stand in a
    row in random order [N].

    If the item has w places near it, none of m others is there with C(n - 1 - w, m) / C(n - 1, m). w is 2 NEAR except
    at the ends of the row.
    """
    ends = np.arange(min(NEAR, num_items))
    place = np.arange(num_items) if num_items <= 2 * NEAR else np.append(ends, NEAR)
    near = np.minimum(place, NEAR) + np.minimum(num_items - 1 - place, NEAR)
    weight = np.ones(len(place)) if num_items <= 2 * NEAR else np.append(np.full(NEAR, 2.0), num_items - 2 * NEAR)
    none = np.zeros(len(num_others))
    for places, often in zip(near.tolist(), (weight / num_items).tolist(), strict=True):
        step = np.arange(places)
        left = np.maximum(num_items - 1 - num_others[:, None] - step, 0) / np.maximum(num_items - 1 - step, 1)
        none += often * left.prod(axis=1)
    return np.where(num_others > 0, 1 - none, 0.0)


def _share(some: float, of_all: float) -> float:
    return round(float(some) / max(of_all, 1), 5)
