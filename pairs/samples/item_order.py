"""In which order a domain's items are numbered where their numbers are ours to give: drawn, so that it says nothing.

Ids of a catalogue follow something: when a thing was first bought, or listed, or who makes it. Numbers in their order
would bring that into every tie that is broken by the number.
"""

import numpy as np

from pairs.tables import Ints


def draw_order(num_items: int, *, domain: int, seed: int) -> Ints:
    """The place of every item, of those sorted by their ids [num_items]."""
    return np.random.default_rng([seed, domain]).permutation(num_items).astype(np.int64)
