"""Who bought what when, asked as of a moment: counts in windows, ages, popularity that fades. Nothing at or after the
moment is read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import DAY, Floats, parts_of_users
from evaluation.ranked_lists import NO_ITEM
from pairs.orders import distinct_rows, lex_order
from pairs.tables import Ints, Samples

MOMENTS = 512
"""As of which best sellers are counted, from the first purchase to the last."""
MOST_FADED = 2
"""Half-lives by which all purchases are kept faded: of each domain the one that is asked for; the grid's others go."""
NEVER_DAYS = 10_000.0
"""Age of what has not happened."""


@dataclass(frozen=True)
class Sales:
    """Purchases of some samples' users, each (user, item, time) once, in order of item and time."""

    item: Ints  # [E]
    time: Ints  # [E], seconds
    num_items: int
    end: int
    """Just after the last purchase; at this moment all is known."""
    _leaders: dict[tuple[int, float, int], tuple[Ints, Ints]] = field(default_factory=dict, init=False, repr=False)
    _domains: dict[tuple[int, int], tuple[NDArray[np.int32], Ints]] = field(
        default_factory=dict, init=False, repr=False
    )
    _faded_by: dict[float, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of_samples(cls, samples: Samples, num_items: int) -> "Sales | None":
        """What the histories and targets tell; None where they have no times."""
        purchases = purchases_of(samples)
        if purchases is None:
            return None
        _, item, time = purchases
        return cls(item, time, num_items, int(time.max()) + 1)

    def before(self, item_P: Ints, at_P: Ints) -> Ints:
        """[P] purchases of each item before its moment."""
        return self._place(item_P, at_P) - self._first[item_P]

    def facts(self, item_P: Ints, at_P: Ints) -> tuple[Ints, Floats, Floats]:
        """[P] each: purchases of an item before its moment, days from the last of them to it, and from the first;
        `NEVER_DAYS` where there is none."""
        first_P, place_P = self._first[item_P], self._place(item_P, at_P)
        some_P = place_P > first_P
        return place_P - first_P, self._days(place_P - 1, some_P, at_P), self._days(first_P, some_P, at_P)

    def fading_counts(self, at_B: Ints, ids: range, half_life: float) -> Floats:
        """[B, C] purchases before each moment, each counting 1/2 ** (its age / `half_life` days)."""
        asked, row_B = np.unique(at_B, return_inverse=True)
        counts_AC = np.zeros((len(asked), len(ids)))
        for row, now_C in enumerate(self._counts_at(asked, ids, half_life)):
            counts_AC[row] = now_C
        return counts_AC[row_B].astype(np.float32)

    def _counts_at(self, asked_A: Ints, ids: range, half_life: float) -> Iterator[NDArray[np.float64]]:
        """[C] fading counts at one ascending moment after the other, in one array."""
        column, time = self._of_domain(ids)
        at = asked_A[0] if len(asked_A) else self._start
        now_C = self._fading(np.arange(ids.start, ids.stop), np.full(len(ids), at), half_life)
        begin = int(np.searchsorted(time, at, side="left"))
        for row, at in enumerate(asked_A.tolist()):
            if row:
                now_C *= 0.5 ** ((at - asked_A[row - 1]) / (half_life * DAY))
                end = int(np.searchsorted(time, at, side="left"))
                weight = 0.5 ** ((at - time[begin:end]) / (half_life * DAY))
                now_C += np.bincount(column[begin:end], weights=weight, minlength=len(ids))
                begin = end
            yield now_C

    def fading(self, item_P: Ints, at_P: Ints, half_life: float) -> Floats:
        """[P] what `fading_counts` says of single items, each as of its own moment."""
        return self._fading(item_P, at_P, half_life).astype(np.float32)

    def _fading(self, item_P: Ints, at_P: Ints, half_life: float) -> NDArray[np.float64]:
        if len(self.time) == 0:
            return np.zeros(len(item_P))
        place_P = self._place(item_P, at_P)
        some_P = place_P > self._first[item_P]
        last_P = np.maximum(place_P - 1, 0)
        age_P = np.where(some_P, at_P - self.time[last_P], 0)
        return np.where(some_P, self._faded(half_life)[last_P] * 0.5 ** (age_P / (half_life * DAY)), 0.0)

    def leaders(self, ids: range, half_life: float, depth: int) -> tuple[Ints, Ints]:
        """The items of a domain with the largest fading counts at some moments: [M] ascending, [M, K] items."""
        key = (ids.start, half_life, depth)
        if key not in self._leaders:
            shares = np.linspace(0, 1, MOMENTS)
            times_M = np.unique([*np.quantile(self.time, shares, method="lower"), self.end]).astype(np.int64)
            items_MK = np.full((len(times_M), min(depth, len(ids))), NO_ITEM, dtype=np.int64)
            for row, counts_C in enumerate(self._counts_at(times_M, ids, half_life)):
                best = best_sellers(counts_C.astype(np.float32), items_MK.shape[1])
                items_MK[row, : len(best)] = best + ids.start
            self._leaders[key] = times_M, items_MK
        return self._leaders[key]

    def _faded(self, half_life: float) -> NDArray[np.float64]:
        """[E] the fading count of a purchase's item just after it."""
        known_E = self._faded_by.get(half_life)
        if known_E is not None:
            return known_E
        order_first = np.flatnonzero(np.concatenate([[True], self.item[1:] != self.item[:-1]]))
        lengths = np.diff(np.concatenate([order_first, [len(self.item)]]))
        by_length = np.argsort(-lengths, kind="stable")
        starts, lengths = order_first[by_length], lengths[by_length]
        counts_E = np.ones(len(self.item))
        for place in range(1, int(lengths.max(initial=0))):
            sale = starts[: np.searchsorted(-lengths, -place, side="left")] + place
            age = (self.time[sale] - self.time[sale - 1]) / (half_life * DAY)
            counts_E[sale] += counts_E[sale - 1] * 0.5**age
        for other in list(self._faded_by)[: 1 - MOST_FADED]:
            self._faded_by.pop(other, None)  # another thread may have been here
        self._faded_by[half_life] = counts_E
        return counts_E

    def _of_domain(self, ids: range) -> tuple[NDArray[np.int32], Ints]:
        """Columns and times, in order of time, of the purchases of a domain's items."""
        key = (ids.start, ids.stop)
        if key not in self._domains:
            inside = slice(*np.searchsorted(self.item, [ids.start, ids.stop]).tolist())
            order = lex_order(self.time[inside])
            self._domains[key] = (self.item[inside] - ids.start).astype(np.int32)[order], self.time[inside][order]
        return self._domains[key]

    @cached_property
    def _first(self) -> Ints:
        """[I] the place of each item's first purchase or, without any, where it would be."""
        return np.searchsorted(self.item, np.arange(self.num_items), side="left").astype(np.int64)

    @cached_property
    def _start(self) -> int:
        return int(self.time.min(initial=self.end))

    def _place(self, item_P: Ints, at_P: Ints) -> Ints:
        """[P] how many purchases lie before (item, moment) in the table's order."""
        keys_P = item_P * self._span + np.clip(at_P - self._start, 0, self._span - 1)
        order = np.argsort(keys_P, kind="stable")  # whoever is looked up next is near: half the time among 20 M
        place_P = np.empty(len(keys_P), dtype=np.int64)
        place_P[order] = np.searchsorted(self._keys, keys_P[order], side="left")
        return place_P

    @cached_property
    def _span(self) -> int:
        return self.end - self._start + 2

    @cached_property
    def _keys(self) -> Ints:
        return self.item * self._span + (self.time - self._start)

    def _days(self, place_P: Ints, happened_P: NDArray[np.bool_], at_P: Ints) -> Floats:
        if len(self.time) == 0:
            return np.full(len(at_P), NEVER_DAYS, dtype=np.float32)
        when_P = self.time[np.clip(place_P, 0, len(self.time) - 1)]
        return np.where(happened_P, (at_P - when_P) / DAY, NEVER_DAYS).astype(np.float32)


def purchases_of(samples: Samples) -> tuple[Ints, Ints, Ints] | None:
    """User, item and time [E] of every purchase of histories and targets once, in order of item, time and user; None
    where there are no times or no samples."""
    if samples.history_time is None or samples.target_time is None or len(samples) == 0:
        return None
    columns = zip(*(_purchases(part) for part in parts_of_users(samples)), strict=True)
    user, item, time = (np.concatenate(column) for column in columns)  # in order of user
    order = lex_order(item, time)
    user = user[order]
    item = item[order]
    time = time[order]
    return user, item, time


def _purchases(samples: Samples) -> tuple[Ints, ...]:
    assert samples.history_time is not None
    assert samples.target_time is not None
    return distinct_rows(
        np.concatenate([samples.user[samples.item_rows], samples.user]),
        np.concatenate([samples.history, samples.target]),
        np.concatenate([samples.history_time, samples.target_time]),
    )


def moments(samples: Samples, sales: Sales) -> Ints:
    """[N] as of when each sample may ask: its target's time, or the end of what is known where that is earlier."""
    if samples.target_time is None:
        return np.full(len(samples), sales.end, dtype=np.int64)
    return np.minimum(samples.target_time, sales.end)


def best_sellers(counts_C: Floats, most: int) -> Ints:
    """The columns of the largest counts above 0, the largest first; equal ones by the lower column."""
    if len(counts_C) > most:
        columns = np.flatnonzero(counts_C >= np.partition(counts_C, len(counts_C) - most)[len(counts_C) - most])
    else:
        columns = np.arange(len(counts_C))
    columns = columns[counts_C[columns] > 0]
    return columns[np.lexsort((columns, -counts_C[columns]))][:most]
