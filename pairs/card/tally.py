"""Add up what the data card says of samples, batch by batch; a batch holds whole users."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pairs.card.id_closeness import IdCloseness
from pairs.card.interactions import interactions
from pairs.card.order import OrderTally
from pairs.card.train_age import TrainAge
from pairs.history_keys import history_keys
from pairs.samples.spool import UserSamples
from pairs.tables import SPLITS, Ints, Samples, Split

Domains = npt.NDArray[np.int8]


class SplitTally:
    """One split's sums. Arrays over items are [I], over domains [2]."""

    def __init__(self, domain_of: Domains) -> None:
        num_items = len(domain_of)
        self._domain_of = domain_of
        self.num_samples = np.zeros(2, dtype=np.int64)
        self.num_users = 0
        self.users_asked = np.zeros(2, dtype=np.int64)
        """Users with a target in the domain."""
        self.users_asked_both = 0
        self.twin_users = 0
        """Users with two or more samples of one history."""
        self.target_counts = np.zeros(num_items, dtype=np.int64)
        self.item_counts = np.zeros(num_items, dtype=np.int64)
        """How often each item occurs, each interaction once."""
        self.users_of_both = 0
        """Users with interactions in both domains."""
        self.cells = np.zeros(2, dtype=np.int64)
        """Users x items that hold an interaction."""
        self.lengths = np.zeros(1, dtype=np.int64)
        """Samples with a history of 0, 1, 2, ... items."""
        self.histories_of_both = 0
        self.repeats_in_history = self.repeated_targets = 0
        self.target_times: tuple[int, int] | None = None
        self.history_from: int | None = None
        self.timed = True
        self.order = OrderTally(domain_of)

    def __len__(self) -> int:
        return int(self.num_samples.sum())

    def add(self, samples: Samples) -> None:
        """Samples of users that were in no batch before."""
        self.timed &= samples.target_time is not None and samples.history_time is not None
        if not len(samples):
            return
        self._add_users(samples)
        self._add_items(samples)
        self._add_histories(samples)
        self._add_times(samples)
        self.order.add(samples)

    def _add_users(self, samples: Samples) -> None:
        users, number = np.unique(samples.user, return_inverse=True)
        self.num_samples += np.bincount(samples.domain, minlength=2)
        self.num_users += len(users)
        asked = np.bincount(number * 2 + samples.domain, minlength=2 * len(users)).reshape(-1, 2) > 0
        self.users_asked += asked.sum(axis=0)
        self.users_asked_both += int(asked.all(axis=1).sum())
        self.twin_users += count_twins(samples)

    def _add_items(self, samples: Samples) -> None:
        num_items = len(self._domain_of)
        self.target_counts += np.bincount(samples.target, minlength=num_items)
        shown = interactions(samples, num_items=num_items)
        per_item = np.bincount(shown.item, minlength=num_items)
        whose = np.cumsum(np.append(False, shown.user[1:] != shown.user[:-1]))
        domains = np.bincount(whose * 2 + self._domain_of[shown.item], minlength=2 * int(whose[-1]) + 2)
        self.users_of_both += int((domains.reshape(-1, 2) > 0).all(axis=1).sum())
        self.cells += np.bincount(self._domain_of, weights=per_item, minlength=2).astype(np.int64)
        if shown.count.max(initial=1) == 1:
            self.item_counts += per_item
        else:
            self.item_counts += np.bincount(shown.item, weights=shown.count, minlength=num_items).astype(np.int64)

    def _add_histories(self, samples: Samples) -> None:
        lengths = np.bincount(samples.lengths)
        longest = max(len(lengths), len(self.lengths))
        self.lengths = np.pad(self.lengths, (0, longest - len(self.lengths)))
        self.lengths[: len(lengths)] += lengths
        row = samples.item_rows
        num_y = np.bincount(row[self._domain_of[samples.history] == 1], minlength=len(samples))
        self.histories_of_both += int(((num_y > 0) & (num_y < samples.lengths)).sum())
        cells = np.sort(row * len(self._domain_of) + samples.history)
        self.repeats_in_history += int((cells[1:] == cells[:-1]).sum())
        self.repeated_targets += len(np.unique(row[samples.history == samples.target[row]]))

    def _add_times(self, samples: Samples) -> None:
        if samples.target_time is None or samples.history_time is None:
            return
        first, last = int(samples.target_time.min()), int(samples.target_time.max())
        if self.target_times is not None:
            first, last = min(first, self.target_times[0]), max(last, self.target_times[1])
        self.target_times = first, last
        if len(samples.history_time):
            earliest = int(samples.history_time.min())
            self.history_from = earliest if self.history_from is None else min(earliest, self.history_from)


class Tally:
    """The sums of every split, and what splits share."""

    def __init__(self, domain_of: Domains) -> None:
        self.domain_of = domain_of
        self.splits: dict[Split, SplitTally] = {split: SplitTally(domain_of) for split in SPLITS}
        self.closeness = IdCloseness(domain_of)
        self.train_age = TrainAge()
        self.num_users = 0
        self.users_in_two_splits = 0

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        users = []
        for split, samples in batch.items():
            self.splits[split].add(samples)
            self.closeness.add(split, samples)
            self.train_age.add(split, samples)
            users.append(np.unique(samples.user))
        self.num_users += len(np.unique(np.concatenate(users)))
        self.users_in_two_splits += sum(np.intersect1d(one, other).size for one, other in combinations(users, 2))

    @property
    def train_count(self) -> Ints:
        """How often each item occurs in the train samples, each interaction once [I]."""
        return self.splits["train"].item_counts


def tally(batches: Iterable[UserSamples], domain_of: Domains) -> Tally:
    """The sums over all batches."""
    total = Tally(domain_of)
    for batch in batches:
        total.add(batch)
    return total


def count_twins(samples: Samples) -> int:
    """Users who have two or more samples with the same history."""
    several = np.unique(samples.user, return_counts=True)
    candidates = np.isin(samples.user, several[0][several[1] > 1])
    if not candidates.any():
        return 0
    pairs = np.stack([samples.user[candidates].astype(np.uint64), history_keys(samples)[candidates]])
    distinct, times = np.unique(pairs, axis=1, return_counts=True)
    return len(np.unique(distinct[0][times > 1]))
