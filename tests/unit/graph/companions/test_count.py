"""Companions on disk are those of dictionaries and loops, in whatever memory they are counted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.graph_reference import LoopedCompanions, looped_companions, same_pairs
from graph.companions import count
from graph.companions.count import BYTES_PER_KEY, count_companions
from graph.companions.kept import CompanionTables, open_companions
from graph.companions.mapped import FoundPairs
from graph.companions.rules import CompanionRules
from launch.artifacts import sha256_file
from pairs.tables import Samples
from tests.graph_runs import NUM_ITEMS, NUM_X, Row, make_rows, make_samples

TEXT = np.random.default_rng(1).standard_normal((NUM_ITEMS, 4)).astype(np.float32)
KEY_GIB = BYTES_PER_KEY / 2**30
"""Memory for one key."""
ALL = list(range(NUM_ITEMS))


def rules(*, window: int = 3, most: int = 2000) -> CompanionRules:
    return CompanionRules(NUM_ITEMS, NUM_X, window=window, max_companions=most)


def counted(folder: Path, train: Samples, how: CompanionRules, *, keys: float = 1e6) -> CompanionTables:
    folder.mkdir()
    count_companions(folder, train, TEXT, how, memory_gib=keys * KEY_GIB)
    return open_companions(folder, how)


def growing(rows: list[Row]) -> list[Row]:
    """Every beginning of every history as a sample of its own."""
    return [(user, history[:end], history[end]) for user, history, _ in rows for end in range(1, len(history))]


def expected(
    looped: LoopedCompanions, items: list[int], users: list[int] | None, domain: int, *, most: int = 2000
) -> FoundPairs:
    ids = rules().ids(domain)
    return looped.pairs_of(items, users, ids=ids, max_companions=most, text_IK=TEXT)


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("make", [list, growing])
@pytest.mark.parametrize("most", [2000, 3])
def test_pairs_are_those_of_loops(tmp_path: Path, domain: int, make: type[list[Row]], most: int) -> None:
    train = make_samples(make(make_rows(np.random.default_rng(5), range(30))))
    graph = counted(tmp_path / "c", train, rules(most=most)).of_domain[domain]
    looped = looped_companions(train, window=3)
    given = graph.pairs_of(torch.tensor([*ALL, NUM_ITEMS]), None)
    assert len(given.entry) > 25
    assert same_pairs(given, expected(looped, ALL, None, domain, most=most))
    for user in (0, 8, 23):
        asked = graph.pairs_of(torch.tensor(ALL), torch.full((NUM_ITEMS,), user))
        assert same_pairs(asked, expected(looped, ALL, [user] * NUM_ITEMS, domain, most=most))


def test_many_users_ask_at_once_and_strangers_lose_nothing(tmp_path: Path) -> None:
    train = make_samples(make_rows(np.random.default_rng(5), range(10, 40)))
    graph = counted(tmp_path / "c", train, rules()).of_domain[1]
    looped = looped_companions(train, window=3)
    users = [3, 12, 39, 12, -1, 1000, *range(10, 34)][:NUM_ITEMS]
    given = graph.pairs_of(torch.tensor(ALL), torch.tensor(users))
    assert same_pairs(given, expected(looped, ALL, users, 1))


@pytest.mark.parametrize(("keys", "threads"), [(1, 1), (40, 1), (300, 1), (1, 2), (40, 2), (300, 3), (1e6, 2)])
def test_memory_and_threads_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: float, threads: int
) -> None:
    train = make_samples(growing(make_rows(np.random.default_rng(2), range(40))))
    counted(tmp_path / "large", train, rules(most=5))
    monkeypatch.setattr(count, "num_threads", lambda: threads)
    monkeypatch.setattr(count, "LEAST_KEYS", 1)
    counted(tmp_path / "small", train, rules(most=5), keys=keys)
    digests = [{path.name: sha256_file(path) for path in (tmp_path / name).iterdir()} for name in ("large", "small")]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 22


def test_counts_beyond_a_byte_are_exact(tmp_path: Path) -> None:
    """254, 255, 256 and 700 users share a pair."""
    shared = {(0, 20): 254, (1, 21): 255, (2, 22): 256, (3, 23): 700}
    rows = [(1000 * first + user, [first], other) for (first, other), n in shared.items() for user in range(n)]
    graph = counted(tmp_path / "c", make_samples(rows), rules()).of_domain[1]
    everybody = graph.pairs_of(torch.tensor([0, 1, 2, 3]), None).gap_counts.sum(dim=1)
    assert everybody.tolist() == [254, 255, 256, 700]
    without = graph.pairs_of(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1000, 2000, 3000]))
    assert without.gap_counts.sum(dim=1).tolist() == [253, 254, 255, 699]


def test_most_shared_companions_are_kept(tmp_path: Path) -> None:
    rows: list[Row] = [(user, [0], 20) for user in range(3)] + [(3, [0], 21), (4, [0], 22)]
    graph = counted(tmp_path / "c", make_samples(rows), rules(window=5, most=2)).of_domain[1]
    assert graph.pairs_of(torch.tensor([0]), None).candidate.tolist() == [20 - NUM_X]


def test_owners_know_their_items(tmp_path: Path) -> None:
    train = make_samples(make_rows(np.random.default_rng(5), range(10, 40)))
    owners = counted(tmp_path / "c", train, rules()).owners
    entry, item = owners.items_of(np.array([12, 5, 39]))
    for place, user in enumerate((12, 5, 39)):
        rows = np.flatnonzero(train.user == user)
        own = {int(i) for row in rows.tolist() for i in [*train.history_of(row), train.target[row]]}
        assert item[entry == place].tolist() == sorted(own)


def test_nothing_has_no_companions(tmp_path: Path) -> None:
    tables = counted(tmp_path / "c", make_samples([]), rules())
    for users in (None, torch.tensor([1, 2])):
        assert len(tables.of_domain[0].pairs_of(torch.tensor([0, NUM_ITEMS]), users).entry) == 0
    assert len(tables.owners.items_of(np.array([3]))[0]) == 0
