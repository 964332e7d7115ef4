"""Edges are counted by users, whatever the number of their samples."""

import numpy as np

from graph.edges import Edges, successor_edges
from tests.graph_runs import NUM_ITEMS, NUM_X, make_samples

DOMAINS = (np.arange(NUM_ITEMS) >= NUM_X).astype(np.int8)


def as_dict(edges: Edges) -> dict[tuple[int, int], int]:
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return dict(zip(ends, edges.count.tolist(), strict=True))


def test_twin_samples_do_not_double_counts() -> None:
    one = make_samples([(1, [0, 20, 3], 4)])
    twins = make_samples([(1, [0, 20, 3], 4), (1, [0, 20, 3], 25)])
    once, twice = (as_dict(successor_edges(train, DOMAINS, within_domain=False)) for train in (one, twins))
    assert once == {(0, 20): 1, (20, 3): 1, (3, 4): 1}
    assert twice == once | {(3, 25): 1}


def test_two_users_count_twice() -> None:
    train = make_samples([(1, [0, 20], 4), (2, [0, 20], 5)])
    assert as_dict(successor_edges(train, DOMAINS, within_domain=False))[0, 20] == 2


def test_edges_within_a_domain_skip_the_other() -> None:
    train = make_samples([(1, [0, 20, 3, 21], 4)])
    assert as_dict(successor_edges(train, DOMAINS, within_domain=True)) == {(0, 3): 1, (3, 4): 1, (20, 21): 1}


def test_no_samples_make_no_edges() -> None:
    nothing = make_samples([])
    assert len(successor_edges(nothing, DOMAINS, within_domain=False).source) == 0
