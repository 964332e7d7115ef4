"""What is searched: every different train history once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pairs.tables import Ints, Samples

Hashes = npt.NDArray[np.uint64]


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

    def position_of(self, sample: Ints) -> Ints:
        """Where sample ids stand among the keys; -1 stays -1."""
        positions = np.searchsorted(self.sample, sample)
        found = self.sample[np.minimum(positions, len(self) - 1)] == sample if len(self) else sample < 0
        assert bool((found | (sample < 0)).all()), "a sample id is not a key"
        return np.where(sample < 0, -1, positions)


def unique_histories(train: Samples) -> Keys:
    """The keys of a train table; empty histories have nothing to show and are left out."""
    lengths = train.lengths
    order = np.lexsort((train.sample, _history_hash(train), lengths, train.user))
    order = order[lengths[order] > 0]
    fields = (train.user[order], lengths[order], _history_hash(train)[order])
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


def _history_hash(samples: Samples) -> Hashes:
    """64 bits [N] of each history, item by place; a user's own few histories are all that it has to tell apart."""
    places = np.arange(len(samples.history)) - np.repeat(samples.offsets[:-1], samples.lengths)
    mixed = _mix(_mix(samples.history.astype(np.uint64)) + places.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    hashes: Hashes = sums[samples.offsets[1:]] - sums[samples.offsets[:-1]]  # modulo 2^64
    return hashes


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finaliser."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
