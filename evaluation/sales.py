"""Who bought what when, asked as of a moment: counts in windows, ages, popularity that fades. Nothing at or after the
moment is read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import Floats
from pairs.tables import Ints, Samples

DAY = 86_400
"""Seconds."""
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

    @classmethod
    def of_samples(cls, samples: Samples, num_items: int) -> "Sales | None":
        """What the histories and targets tell; None where they have no times."""
        if samples.history_time is None or samples.target_time is None or len(samples) == 0:
            return None
        user = np.concatenate([samples.user[samples.item_rows], samples.user])
        item = np.concatenate([samples.history, samples.target])
        time = np.concatenate([samples.history_time, samples.target_time])
        order = np.lexsort((user, time, item))
        user, item, time = user[order], item[order], time[order]
        first = np.ones(len(item), dtype=bool)
        first[1:] = (item[1:] != item[:-1]) | (time[1:] != time[:-1]) | (user[1:] != user[:-1])
        return cls(item[first], time[first], num_items, int(time.max()) + 1)

    def before(self, item_P: Ints, at_P: Ints) -> Ints:
        """[P] purchases of each item before its moment."""
        return self._place(item_P, at_P) - self._place(item_P, np.full(len(item_P), self._start))

    def days_since_last(self, item_P: Ints, at_P: Ints) -> Floats:
        """[P] days from an item's last purchase before the moment; `NEVER_DAYS` where there is none."""
        place_P = self._place(item_P, at_P)
        return self._days(place_P - 1, place_P > self._place(item_P, np.full(len(item_P), self._start)), at_P)

    def days_since_first(self, item_P: Ints, at_P: Ints) -> Floats:
        """[P] days from an item's first purchase to the moment; `NEVER_DAYS` where it comes later or never."""
        first_P = self._place(item_P, np.full(len(item_P), self._start))
        return self._days(first_P, self._place(item_P, at_P) > first_P, at_P)

    def fading_counts(self, at_B: Ints, ids: range, half_life: float) -> Floats:
        """[B, C] purchases before each moment, each counting 1/2 ** (its age / `half_life` days)."""
        item, time = self._by_time
        inside = (item >= ids.start) & (item < ids.stop)
        column, time = item[inside] - ids.start, time[inside]
        asked, row_B = np.unique(at_B, return_inverse=True)
        counts_AC = np.zeros((len(asked), len(ids)))
        now_C, begin = np.zeros(len(ids)), 0
        for row, at in enumerate(asked.tolist()):
            if row:
                now_C *= 0.5 ** ((at - asked[row - 1]) / (half_life * DAY))
            end = int(np.searchsorted(time, at, side="left"))
            weight = 0.5 ** ((at - time[begin:end]) / (half_life * DAY))
            now_C += np.bincount(column[begin:end], weights=weight, minlength=len(ids))
            counts_AC[row], begin = now_C, end
        return counts_AC[row_B].astype(np.float32)

    @cached_property
    def _by_time(self) -> tuple[Ints, Ints]:
        """Items and times [E] in order of time."""
        order = np.argsort(self.time, kind="stable")
        return self.item[order], self.time[order]

    @cached_property
    def _start(self) -> int:
        return int(self.time.min(initial=self.end))

    def _place(self, item_P: Ints, at_P: Ints) -> Ints:
        """[P] how many purchases lie before (item, moment) in the table's order."""
        offset_P = np.clip(at_P - self._start, 0, self._span - 1)
        return np.searchsorted(self._keys, item_P * self._span + offset_P, side="left").astype(np.int64)

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


def moments(samples: Samples, sales: Sales) -> Ints:
    """[N] as of when each sample may ask: its target's time, or the end of what is known where that is earlier."""
    if samples.target_time is None:
        return np.full(len(samples), sales.end, dtype=np.int64)
    return np.minimum(samples.target_time, sales.end)
