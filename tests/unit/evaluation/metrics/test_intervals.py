"""Intervals come from drawing users, so samples that belong together make them wider, not narrower."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.metrics.intervals import Array, bootstrap_means, interval, paired_difference, standard_error
from evaluation.metrics.metrics import METRICS
from evaluation.systems.summary import system_table


def hits(num_users: int, seed: int) -> Array:
    return (np.random.default_rng(seed).random(num_users) < 0.3).astype(np.float64)


def width(values_N: Array, user_N: NDArray[np.int64]) -> float:
    low, high = interval(bootstrap_means(values_N[:, None], user_N, resamples=2000, seed=0))[:, 0]
    return float(high - low)


def test_twin_samples_widen_the_interval_of_the_same_values() -> None:
    values_N = np.repeat(hits(200, 0), 2)
    as_twins, as_strangers = width(values_N, np.repeat(np.arange(200), 2)), width(values_N, np.arange(400))
    assert as_twins == pytest.approx(np.sqrt(2) * as_strangers, rel=0.15)


def test_a_copy_of_every_sample_does_not_change_the_interval() -> None:
    values_N = hits(200, 0)
    assert width(np.repeat(values_N, 2), np.repeat(np.arange(200), 2)) == pytest.approx(width(values_N, np.arange(200)))


def test_vectorised_bootstrap_equals_drawing_users_one_by_one() -> None:
    random = np.random.default_rng(5)
    values_NF, user_N = random.random((7, 2)), np.array([3, 3, 8, 1, 1, 1, 5])
    means_RF = bootstrap_means(values_NF, user_N, resamples=50, seed=9)
    users, draws = np.unique(user_N), np.random.default_rng(9)
    for row in range(50):
        drawn = users[draws.integers(len(users), size=len(users))]
        samples = np.concatenate([np.flatnonzero(user_N == user) for user in drawn])
        assert means_RF[row] == pytest.approx(values_NF[samples].mean(axis=0))


def test_draws_in_parts_equal_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values_NF, user_N = hits(30, 1)[:, None], np.arange(30)
    whole = bootstrap_means(values_NF, user_N, resamples=40, seed=2)
    monkeypatch.setattr("evaluation.metrics.intervals.DRAW_CELLS", 100)
    assert np.array_equal(bootstrap_means(values_NF, user_N, resamples=40, seed=2), whole)


def test_standard_error_agrees_with_the_bootstrap() -> None:
    values_N, user_N = np.repeat(hits(300, 3), 2), np.repeat(np.arange(300), 2)
    spread = bootstrap_means(values_N[:, None], user_N, resamples=4000, seed=1).std()
    assert standard_error(values_N, user_N) == pytest.approx(spread, rel=0.05)


def test_a_paired_difference_is_seen_where_the_two_intervals_overlap() -> None:
    random = np.random.default_rng(0)
    worse_N = random.random(400)
    better_N = worse_N + 0.02 + 0.01 * random.random(400)
    (difference,) = paired_difference(better_N[:, None], worse_N[:, None], np.arange(400), resamples=1000, seed=0)
    assert 0.02 < difference.low < difference.mean < difference.high
    assert difference.p < 0.01


def test_no_difference_has_no_significance() -> None:
    values_NF = hits(100, 0)[:, None]
    (difference,) = paired_difference(values_NF, values_NF, np.arange(100), resamples=200, seed=0)
    assert (difference.mean, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_table_holds_every_metric_inside_its_interval() -> None:
    ranks = {"kinrec": np.array([1.0, 3.0, np.inf, 7.0]), "graph": np.array([2.0, 9.0, 30.0, np.inf])}
    slices = {"all": np.ones(4, dtype=bool), "X": np.array([True, True, False, False])}
    table = system_table(ranks, np.array([0, 0, 1, 2]), slices, resamples=200, seed=0)
    assert table["kinrec"]["all"]["hr@10"] == 0.75
    assert table["graph"]["X"]["mrr"] == pytest.approx((1 / 2 + 1 / 9) / 2, abs=1e-6)
    for name in METRICS:
        low, high = table["graph"]["all"]["ci95"][name]
        assert low <= table["graph"]["all"][name] <= high
