"""What is searched: every different train history once."""

from dataclasses import dataclass

import numpy as np

from pairs.history_keys import history_keys
from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Keys:
    """One key a (user, history) of train, in the order of sample ids.

    Twin samples (one user, one history, two targets) have the same vectors, so only the lower sample id is kept. Keys
    of both target domains answer both: each history has a vector towards X and one towards Y.
    """

    sample: Ints  # [K], increasing
    row: Ints  # [K], in the train table
    user: Ints  # [K]
    last_time: Ints | None  # [K], of the history's last item, seconds

    def __len__(self) -> int:
        return len(self.sample)

    def samples_at(self, positions: Ints) -> Ints:
        """The sample ids of keys; -1 stays -1."""
        return np.where(positions < 0, -1, self.sample[positions]) if len(self) else positions

    def position_of(self, sample: Ints) -> Ints:
        """Where sample ids stand among the keys; -1 stays -1."""
        positions = np.searchsorted(self.sample, sample)
        is_key = self.sample[np.minimum(positions, len(self) - 1)] == sample if len(self) else sample < 0
        assert bool((is_key | (sample < 0)).all()), "a sample id is not a key"
        return np.where(sample < 0, -1, positions)


def unique_histories(train: Samples) -> Keys:
    """The keys of a train table; empty histories have nothing to show and are left out."""
    lengths = train.lengths
    hashes = history_keys(train)
    order = np.lexsort((train.sample, hashes, lengths, train.user))
    order = order[lengths[order] > 0]
    fields = (train.user[order], lengths[order], hashes[order])
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = np.logical_and.reduce([field[1:] == field[:-1] for field in fields])
    rows = order[~repeats]
    rows = rows[np.argsort(train.sample[rows], kind="stable")].astype(np.int64)
    times = train.history_time
    return Keys(
        sample=train.sample[rows],
        row=rows,
        user=train.user[rows],
        last_time=None if times is None else times[train.offsets[rows + 1] - 1],
    )
