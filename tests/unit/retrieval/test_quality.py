"""Hit rates and lengths equal a plain loop; chance obeys the same rules."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from launch.distributed import World
from pairs.tables import load_samples
from retrieval.fixed_point import Floats
from retrieval.keys import Keys, unique_histories
from retrieval.kindred import alone
from retrieval.quality import HitCounter, random_kindred, rates
from tests.retrieval_runs import write_run

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def no_vectors(count: int) -> Floats:
    return np.empty((count, 0), np.float32)


def test_quality_equals_a_plain_loop(tmp_path: Path) -> None:
    write_run(tmp_path)
    train, test = load_samples(tmp_path, "train"), load_samples(tmp_path, "test")
    keys = unique_histories(train)
    neighbours = np.random.default_rng(0).choice(keys.sample, (len(test), 6))
    neighbours[3, 2:] = -1
    counter = HitCounter(train, keys, cuts=[1, 4, 6], recent=2)
    counts = counter.count(neighbours, test.target)
    measured = rates({"": counts, "random_": counts}, names=counter.names, num_samples=len(test), k=6, world=ALONE)
    row_of = {int(sample): row for row, sample in enumerate(train.sample)}
    for k in (1, 4, 6):
        hits = item_hits = recent_hits = length = 0
        for row in range(len(test)):
            shown: list[int] = []
            owned: list[int] = []
            latest: list[int] = []
            for sample in neighbours[row, :k]:
                if sample >= 0:
                    shown += train.history_of(row_of[int(sample)]).tolist()
                    latest += train.history_of(row_of[int(sample)]).tolist()[-2:]
                    user = train.user[row_of[int(sample)]]
                    for other in np.flatnonzero(train.user == user):
                        owned += [*train.history_of(int(other)).tolist(), int(train.target[other])]
            hits += int(test.target[row]) in shown
            item_hits += int(test.target[row]) in owned
            recent_hits += int(test.target[row]) in latest
            length += len(shown)
        assert measured[f"hit_rate@{k}"] == pytest.approx(hits / len(test))
        assert measured[f"item_hit_rate@{k}"] == pytest.approx(item_hits / len(test))
        assert measured[f"recent_hit_rate@{k}"] == pytest.approx(recent_hits / len(test))
        assert measured[f"mean_length@{k}"] == pytest.approx(length / len(test))
        assert measured[f"uhr@{k}"] == pytest.approx(hits / length)
    assert measured["hit_rate"] == measured["hit_rate@6"] == measured["random_hit_rate"]


def test_a_judge_holds_little_beside_the_train_table(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    many = train.take(np.tile(np.arange(len(train)), 400))
    many = dataclasses.replace(many, sample=np.arange(len(many)))
    keys = unique_histories(train)
    tracemalloc.start()
    counter = HitCounter(many, keys, cuts=[1, 4], recent=2)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(counter.names) == 8
    assert held < 20 * len(many)


def test_random_users_are_others_once_each_and_repeatable(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    keys = unique_histories(train)
    asking = alone(no_vectors(len(train)), train.user)
    drawn = random_kindred(keys, asking, 5, seed=(1, 2, 3))
    users = keys.user[keys.position_of(drawn)]
    assert (drawn >= 0).all()
    assert not (users == train.user[:, None]).any()
    assert all(len(set(row)) == 5 for row in users.tolist())
    assert np.array_equal(drawn, random_kindred(keys, asking, 5, seed=(1, 2, 3)))
    assert not np.array_equal(drawn, random_kindred(keys, asking, 5, seed=(1, 2, 4)))


def test_random_users_reach_everyone_where_k_is_all(tmp_path: Path) -> None:
    write_run(tmp_path, num_train_users=12)
    keys = unique_histories(load_samples(tmp_path, "train"))
    drawn = random_kindred(keys, alone(no_vectors(2), np.array([0, 999])), 12, seed=(0,))
    assert (np.sort(drawn >= 0, axis=1).sum(axis=1) == [11, 12]).all()


def test_random_users_of_the_past_are_drawn_alike_and_there_are_no_others() -> None:
    keys = Keys(np.arange(400), np.arange(400), np.arange(400), last_time=np.random.default_rng(3).permutation(400))
    assert keys.last_time is not None
    before = np.repeat([0, 2, 9, 300], 2000)
    drawn = random_kindred(keys, alone(no_vectors(8000), np.full(8000, 999), before), 4, seed=(1,))
    times = np.where(drawn < 0, -1, keys.last_time[drawn])
    assert ((drawn >= 0).sum(axis=1) == np.minimum(before, 4)).all()
    assert (times < np.maximum(before, 0)[:, None]).all()
    for limit in (9, 300):
        counts = np.bincount(times[before == limit].ravel(), minlength=limit)
        assert counts.min() > 0
        assert counts.std() < 3 * np.sqrt(counts.mean())
