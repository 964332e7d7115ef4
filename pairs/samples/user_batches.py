"""Go through the samples of all splits a range of users at a time, so that each user is looked at once and whole."""

from collections.abc import Iterator, Mapping

import numpy as np

from pairs.samples.spool import SampleSpool
from pairs.tables import Samples, Split

Batch = Mapping[Split, Samples]
"""All samples of some users, by split."""


def user_batches(spools: Mapping[Split, SampleSpool], *, interactions: int) -> Iterator[Batch]:
    """All samples, in batches that hold about so many interactions of the largest split.

    Where samples are not in order of their users (a released pair keeps the order of its lines), all are one batch.
    """
    if any((np.diff(spool.users) < 0).any() for spool in spools.values()):
        yield {split: spool.read(0, len(spool)) for split, spool in spools.items()}
        return
    largest = max(spools.values(), key=lambda spool: int(spool.offsets[-1]))
    total = int(largest.offsets[-1])
    places = np.searchsorted(largest.offsets, np.arange(interactions, total, interactions))
    borders = np.unique(largest.users[np.minimum(places, len(largest) - 1)]) if len(largest) else np.empty(0)
    rows = {split: [0, *np.searchsorted(spool.users, borders).tolist(), len(spool)] for split, spool in spools.items()}
    for number in range(len(borders) + 1):
        yield {split: spools[split].read(at[number], at[number + 1]) for split, at in rows.items()}
