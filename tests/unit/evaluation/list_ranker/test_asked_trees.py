"""All fits are asked about the candidates that the first has highest; the first alone about the others."""

from typing import Any

import lightgbm
import numpy as np
import pytest

from evaluation.list_ranker import asked_trees
from evaluation.list_ranker.asked_trees import among_best, ask_trees
from evaluation.list_ranker.features import Candidates

RANDOM = np.random.default_rng(2)
FEATURES = RANDOM.normal(size=(600, 4)).astype(np.float32)
ROW = np.sort(RANDOM.integers(0, 7, 600))


def fits() -> list[lightgbm.Booster]:
    settings: dict[str, Any] = {"num_leaves": 7, "verbosity": -1, "bagging_fraction": 0.5, "bagging_freq": 1}
    return [
        lightgbm.train(
            settings | {"seed": seed}, lightgbm.Dataset(FEATURES, FEATURES[:, 0] + FEATURES[:, 1]), num_boost_round=9
        )
        for seed in range(3)
    ]


def candidates() -> Candidates:
    nothing = np.zeros(len(ROW), dtype=np.int64)
    return Candidates(ROW, np.arange(len(ROW)), FEATURES, nothing, nothing)


def test_few_candidates_are_asked_of_all_fits() -> None:
    trees = fits()
    mean = np.mean([np.asarray(fit.predict(FEATURES)) for fit in trees], axis=0)
    assert ROW.size // 7 < asked_trees.ASKED_OF_ALL
    assert ask_trees(trees, candidates()).tolist() == mean.tolist()


def test_of_many_those_that_the_first_has_low_are_asked_of_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_trees, "ASKED_OF_ALL", 20)
    trees = fits()
    first, *_ = said = [np.asarray(fit.predict(FEATURES)) for fit in trees]
    expected = first.copy()
    for row in range(7):
        places = np.flatnonzero(row == ROW)
        bar = np.sort(first[places])[-20]
        high = places[first[places] >= bar]
        assert 20 <= len(high) < len(places)
        expected[high] = np.mean(said, axis=0)[high]
    assert ask_trees(trees, candidates()).tolist() == expected.tolist()


def test_candidates_that_are_level_go_together() -> None:
    said = np.array([1.0, 3, 2, 2, 2, 5, 5])
    row = np.array([0, 0, 0, 0, 0, 2, 2])
    assert among_best(said, row, 2).tolist() == [False, True, True, True, True, True, True]
    assert among_best(said, row, 1).tolist() == [False, True, False, False, False, True, True]
    assert among_best(np.empty(0), np.empty(0, np.int64), 3).tolist() == []
