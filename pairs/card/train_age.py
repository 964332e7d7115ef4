"""How old the train data is when a held-out target happens: from the newest train target to it, in days.

Below 0 where train goes on after the target, as it does for some users where each one's last interactions are held out.
"""

from typing import Any

import numpy as np

from pairs.tables import SPLITS, Ints, Samples, Split

DAY = 86_400
QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}
Card = dict[str, Any]  # Any: plain JSON values


class TrainAge:
    """The times of held-out targets and the newest of train, batch by batch."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._times: dict[Split, list[Ints]] = {split: [] for split in SPLITS if split != "train"}
        self._timed = True

    def add(self, split: Split, samples: Samples) -> None:
        """More samples of a split."""
        if not len(samples):
            return
        if samples.target_time is None:
            self._timed = False
        elif split != "train":
            self._times[split].append(samples.target_time)
        else:
            newest = int(samples.target_time.max())
            self._newest = newest if self._newest is None else max(newest, self._newest)

    def describe(self) -> Card:
        """Of every held-out split the 10 %, 50 % and 90 % quantiles in days; null without times."""
        return {split: self._quantiles(times) for split, times in self._times.items()}

    def _quantiles(self, times: list[Ints]) -> Card | None:
        if not self._timed or self._newest is None or not times:
            return None
        ages = (np.concatenate(times) - self._newest) / DAY
        return {name: round(float(np.quantile(ages, share)), 1) for name, share in QUANTILES.items()}
