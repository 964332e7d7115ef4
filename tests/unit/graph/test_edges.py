"""Edges are counted by users, whatever the number of their samples."""

import numpy as np
import pytest
import torch

from graph.companions import build_companion_graph
from graph.edges import NUM_GAPS, Edges, companion_pairs, successor_edges
from pairs.tables import Samples
from tests.graph_runs import NUM_ITEMS, NUM_X, make_samples, make_splits

DOMAINS = (np.arange(NUM_ITEMS) >= NUM_X).astype(np.int8)


def as_dict(edges: Edges) -> dict[tuple[int, int], int]:
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return dict(zip(ends, edges.count.tolist(), strict=True))


def slow_pairs(train: Samples, window: int) -> dict[tuple[int, int, int], int]:
    """(user, one, other) -> class of the shortest distance, forward preferred."""
    nearest: dict[tuple[int, int, int], tuple[int, int]] = {}
    for row in range(len(train)):
        items = [*train.history_of(row).tolist(), int(train.target[row])]
        for i, one in enumerate(items):
            for j, other in enumerate(items):
                if one == other or not 0 < abs(i - j) <= window:
                    continue
                distance = abs(i - j)
                near = sum(distance > bound for bound in (1, 2, 4, 8))
                key = (int(train.user[row]), one, other)
                nearest[key] = min(nearest.get(key, (99, 99)), (near, 0 if j > i else 1))
    return {key: near + backward * NUM_GAPS // 2 for key, (near, backward) in nearest.items()}


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


def test_companions_match_a_slow_count() -> None:
    train = make_splits()["train"]
    pairs, slow = companion_pairs(train, window=3), slow_pairs(train, 3)
    counts = {
        (int(source), int(target)): gaps.tolist()
        for source, target, gaps in zip(pairs.source, pairs.target, pairs.gap_counts, strict=True)
    }
    expected: dict[tuple[int, int], list[float]] = {}
    for (_, one, other), gap in slow.items():
        expected.setdefault((one, other), [0.0] * NUM_GAPS)[gap] += 1
    assert counts == expected


def test_companions_do_not_depend_on_how_many_users_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train = make_splits()["train"]
    whole = companion_pairs(train, window=3)
    monkeypatch.setattr("graph.edges.USERS_AT_ONCE", 3)
    parts = companion_pairs(train, window=3)
    for name in ("source", "target", "gap_counts", "users", "user_offsets", "user_pair", "user_gap"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_companions_know_whose_they_are() -> None:
    train = make_splits()["train"]
    pairs = companion_pairs(train, window=3)
    owned = {
        (int(user), int(pairs.source[pair]), int(pairs.target[pair])): int(gap)
        for row, user in enumerate(pairs.users)
        for pair, gap in zip(
            pairs.user_pair[pairs.user_offsets[row] : pairs.user_offsets[row + 1]],
            pairs.user_gap[pairs.user_offsets[row] : pairs.user_offsets[row + 1]],
            strict=True,
        )
    }
    assert owned == slow_pairs(train, 3)


def test_most_shared_companions_are_kept() -> None:
    rows = [(user, [0], 20) for user in range(3)] + [(3, [0], 21), (4, [0], 22)]
    pairs = companion_pairs(make_samples(rows), window=5)
    text = np.zeros((NUM_ITEMS, 2), dtype=np.float32)
    graph = build_companion_graph(
        pairs, range(NUM_X, NUM_ITEMS), num_items=NUM_ITEMS, likeness_of=text, max_companions=2
    )
    assert graph.pairs_of(torch.tensor([0]), None).candidate.tolist() == [20 - NUM_X]


def test_no_samples_make_no_edges() -> None:
    nothing = make_samples([])
    assert len(companion_pairs(nothing, window=5).source) == 0
    assert len(successor_edges(nothing, DOMAINS, within_domain=False).source) == 0
