"""What samples show of their users, each interaction once."""

from dataclasses import dataclass

import numpy as np

from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Interactions:
    """A user and an item once, in order of (user, item)."""

    user: Ints  # [E]
    item: Ints  # [E]
    count: Ints  # [E], how often the user interacted with the item


def interactions(samples: Samples, *, num_items: int) -> Interactions:
    """What the histories and targets of these samples show, each interaction once. (Sorting: numpy's unique, which
    hashes, is several times slower.)

    Samples of one user overlap: twins have the same history, later targets have the earlier ones in theirs. The most
    often that an item occurs in any one of a user's samples is how often the user interacted with it.
    """
    users, user_of_row = np.unique(samples.user, return_inverse=True)
    rows = np.arange(len(samples))
    row = np.concatenate([np.repeat(rows, samples.lengths), rows])
    item = np.concatenate([samples.history, samples.target])
    cells, per_row = _count_sorted(np.sort(row * num_items + item))
    owner = user_of_row[cells // num_items] * num_items + cells % num_items
    if per_row.max(initial=1) == 1:
        owned, most = _count_sorted(np.sort(owner))[0], None
    else:
        most_in_a_row = int(per_row.max()) + 1
        ordered = np.sort(owner * most_in_a_row + per_row)
        owners = ordered // most_in_a_row
        last = np.append(owners[1:] != owners[:-1], True)
        owned, most = owners[last], ordered[last] % most_in_a_row
    count = np.ones(len(owned), dtype=np.int64) if most is None else most
    return Interactions(users[owned // num_items], owned % num_items, count)


def _count_sorted(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct values of a sorted array, and how often each occurs."""
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, dtype=np.int64)
    return keys[first], np.diff(np.append(first, len(keys)))
