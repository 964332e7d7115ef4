"""Keys that equal histories share, and the twins that they tell: samples of one user with one history."""

import numpy as np
import numpy.typing as npt

from pairs.ragged import places_of
from pairs.tables import Samples

Hashes = npt.NDArray[np.uint64]


def history_keys(samples: Samples) -> Hashes:
    """64 bits [N] of each history: the same for the same items in the same order, practically never for others."""
    places = places_of(samples.lengths).astype(np.uint64)
    mixed = splitmix64(splitmix64(samples.history.astype(np.uint64)) + places)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    keys: Hashes = sums[samples.offsets[1:]] - sums[samples.offsets[:-1]]  # modulo 2^64
    return keys


def twin_groups(samples: Samples) -> npt.NDArray[np.int64]:
    """A number from 0 on [N], the same for samples of one user with one history."""
    keys = np.stack([samples.user.astype(np.uint64), history_keys(samples)])
    return np.unique(keys, axis=1, return_inverse=True)[1].ravel().astype(np.int64)


def one_of_twins(samples: Samples, *, seed: int) -> Samples:
    """The samples, in their order, with one of each user's samples of one history, drawn."""
    draw = np.random.default_rng(seed).permutation(len(samples))
    keys = np.stack([samples.user[draw].astype(np.uint64), history_keys(samples)[draw]])
    _, first = np.unique(keys, axis=1, return_index=True)
    return samples.take(np.sort(draw[first]).astype(np.int64))


def splitmix64(values: Hashes) -> Hashes:
    """One step of splitmix64 (Steele, Lea and Flood 2014) from each state: neighbouring numbers become unlike."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
