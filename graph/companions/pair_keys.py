"""Numbers that stand for a user, two items of one train history and how far apart they are."""

import numpy as np

from evaluation.matrices import sequences_with_target
from pairs.tables import Ints, Samples

DISTANCES = (1, 2, 4, 8)
"""Upper bounds of the distance classes; what is farther apart is in one more class."""
NUM_GAPS = 2 * (len(DISTANCES) + 1)
"""Distance classes, first with the companion after the item, then before."""
LARGEST_KEY = 1 << 62
"""Bound of the numbers."""
_NOTHING = np.empty(0, dtype=np.int64)


def most_users(num_items: int) -> int:
    """Users that numbers can tell apart in one call of `pair_keys`."""
    return max(LARGEST_KEY // (num_items**2 * NUM_GAPS), 1)


def pair_keys(samples: Samples, user_N: Ints, *, num_items: int, window: int) -> Ints:
    """One number a user, item and companion [E], ascending: ((user * I + item) * I + companion) * NUM_GAPS + class.

    Companions are different items at most `window` positions apart in a history with its target, both ways round, by
    the nearest of their distance classes, the companion after the item before the one before it: a user counts once
    for a pair, however many samples there are. (Numbers are sorted many times as fast as rows.)

    Args:
        user_N: each sample's user as a number below `most_users`.
    """
    row, items = sequences_with_target(samples)
    whose = user_N[row]
    keys_of_distances = [_NOTHING]
    for distance in range(1, min(window, len(items) - 1) + 1):
        same = (row[distance:] == row[:-distance]) & (items[distance:] != items[:-distance])
        if not same.any():
            continue
        owner, before, after = whose[distance:][same], items[:-distance][same], items[distance:][same]
        near = int(np.searchsorted(DISTANCES, distance))
        for first, second, behind in ((before, after, 0), (after, before, 1)):
            # Twice the class of the distance, so that sorting brings the nearest to the front; `_by_class` undoes it.
            keys_of_distances.append(((owner * num_items + first) * num_items + second) * NUM_GAPS + 2 * near + behind)
    keys = np.concatenate(keys_of_distances)
    del keys_of_distances
    keys.sort()
    triple = keys // NUM_GAPS
    return _by_class(keys[np.append(True, triple[1:] != triple[:-1])[: len(keys)]])


def _by_class(keys: Ints) -> Ints:
    order = keys % NUM_GAPS
    by_class: Ints = keys + (order // 2 + order % 2 * (NUM_GAPS // 2)) - order
    return by_class
