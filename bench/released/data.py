"""Samples and graphs of the released pair's size, drawn: 38,396 items, 8,000 users with two samples of one history."""

import numpy as np
import scipy.sparse as sp
import torch

from graph.build import Graphs, attribute_graph
from graph.config import GraphConfig
from graph.edges import successor_edges
from graph.item_graph import build_item_graph
from graph.sampled.negatives import negatives_of
from pairs.ragged import offsets_of
from pairs.tables import Samples

NUM_ITEMS, NUM_X, NUM_USERS = 38_396, 18_639, 8000
LEAST, MEAN_MORE = 5, 16.0
"""A history's items, and how many more of them on average; cut to 30 that is a mean of 18, as in Art-Office."""
NUM_ATTRIBUTES, ATTRIBUTES = 3000, 6


def drawn_pair(
    config: GraphConfig, *, num_items: int = NUM_ITEMS, num_x: int = NUM_X, num_users: int = NUM_USERS
) -> tuple[Samples, Graphs]:
    """Train samples, twins side by side, and what is made of them."""
    random = np.random.default_rng(1)
    lengths = LEAST + random.exponential(MEAN_MORE, num_users).astype(np.int64)
    share = random.permutation((np.arange(num_items) + 10.0) ** -0.8)
    bound = share.cumsum() / share.sum()
    items = np.searchsorted(bound, random.random(int(lengths.sum()))).clip(max=num_items - 1)
    first, second = (random.integers(low, high, num_users) for low, high in ((0, num_x), (num_x, num_items)))
    offsets = offsets_of(lengths)
    rows = np.repeat(np.arange(num_users), 2)
    history = np.concatenate([items[offsets[row] : offsets[row + 1]] for row in rows])
    train = Samples(
        sample=np.arange(2 * num_users),
        user=rows,
        domain=np.tile([0, 1], num_users),
        target=np.stack([first, second], axis=1).ravel(),
        history=history,
        offsets=offsets_of(lengths[rows]),
        history_time=None,
        target_time=None,
    )
    domain = (np.arange(num_items) >= num_x).astype(np.int8)
    mixed, within = (
        build_item_graph(
            successor_edges(train, domain, within_domain=inside),
            num_items=num_items,
            edge_weight=config.model.edge_weight,
        )
        for inside in (False, True)
    )
    columns = (random.random(num_items * ATTRIBUTES) ** 2 * NUM_ATTRIBUTES).astype(np.int64)
    has = sp.csr_matrix(
        (np.ones(len(columns), np.float32), (np.repeat(np.arange(num_items), ATTRIBUTES), columns)),
        shape=(num_items, NUM_ATTRIBUTES),
    )
    users = torch.from_numpy(np.bincount(history, minlength=num_items))
    return train, Graphs(
        mixed=mixed,
        within=within,
        attributes=attribute_graph(has, has_edges=True),
        num_items=num_items,
        num_x=num_x,
        num_attributes=NUM_ATTRIBUTES,
        evidence=None,
        negatives=(negatives_of(users[:num_x]), negatives_of(users[num_x:])),
    )
