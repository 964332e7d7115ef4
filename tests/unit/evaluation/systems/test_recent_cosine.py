"""What those who have the same items bought of late equals the same counted slowly, where the split is one of time."""

import dataclasses

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import fit_bank
from evaluation.matrices import DAY
from evaluation.systems import item_cosine
from evaluation.systems.baseline_table import Material, fit_recent_cosine
from evaluation.systems.tuning import fit_baselines
from pairs.known import as_of
from pairs.tables import Samples, joined
from tests.evaluation_runs import make_items, make_samples
from tests.unit.evaluation.list_ranker.test_knowledge import parts_in_time
from tests.unit.evaluation.test_sales import NUM_ITEMS, events_of, timed_samples

ITEMS = make_items(3, NUM_ITEMS)
VALUES = {"half_life": 7.0, "exponent": 0.3, "decay": 0.8}


def asked() -> Samples:
    return make_samples([(900, 0, [4, 1, 5], 0), (901, 0, [], 1), (902, 0, [2], 0)])


def slow_scores(train: Samples, history: list[int], domain: int) -> list[float]:
    events = events_of(train)
    end = max(time for _, _, time in events)
    has = {(user, item) for user, item, _ in events}
    latest = {key: max(time for user, item, time in events if (user, item) == key) for key in has}
    users = {item: {user for user, one in has if one == item} for item in range(NUM_ITEMS)}
    scores = []
    for candidate in ITEMS.ids(domain):
        score = 0.0
        for after, item in enumerate(reversed(history)):
            both = users[item] & users[candidate]
            counts = sum(0.5 ** ((end - latest[user, candidate]) / (7 * DAY)) for user in both)
            score += 0.8**after * counts / (max(1, len(users[item])) * max(1, len(users[candidate]))) ** 0.3
        scores.append(score)
    return scores


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("domain", [0, 1])
def test_it_equals_the_sum_over_users(domain: int, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not at_once:
        monkeypatch.setattr(item_cosine, "MOST_TOGETHER", 0)
    train = timed_samples()
    material = Material(train, ITEMS, 100, 1)
    assert (material.faded(7.0).counts is not None) == at_once
    scores = fit_recent_cosine(material, **VALUES).score(asked(), domain)
    for row in range(len(asked())):
        slow = slow_scores(train, asked().history_of(row).tolist(), domain)
        assert scores[row] == pytest.approx(slow, rel=1e-5)


def test_of_several_purchases_of_one_item_the_latest_counts() -> None:
    train = make_samples([(0, 0, [4, 1, 1], 2)])
    train = dataclasses.replace(train, history_time=np.array([0, 0, 7]) * DAY, target_time=np.array([14 * DAY]))
    score = fit_recent_cosine(Material(train, ITEMS, 100, 1), **VALUES | {"exponent": 0.0}).score
    assert score(make_samples([(1, 0, [4], 0)]), 0)[0].tolist() == [0.0, 0.5, 1.0]


def test_users_of_one_domain_count_as_far_as_train_goes() -> None:
    train, others = timed_samples(), timed_samples(seed=5)
    others = dataclasses.replace(others, user=others.user + 500)
    assert train.target_time is not None
    both = joined(train, as_of(others, int(train.target_time.max())))
    alone, beside, slow = (
        fit_recent_cosine(Material(known, ITEMS, 100, 1, extra), **VALUES).score(asked(), 0).tolist()
        for known, extra in ((train, None), (train, others), (both, None))
    )
    assert alone != beside == slow


@pytest.mark.parametrize("chronological", [True, False])
def test_it_is_there_where_the_split_is_one_of_time(chronological: bool) -> None:
    train, valid, _ = parts_in_time()
    items = make_items(30, 30)
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20)
    fitted = fit_baselines(train, valid, items, config=config, seed=1, chronological=chronological)
    bank = fit_bank(train, items, fitted.parameters, ridge_max_users=100, seed=1)
    assert ("recent_cosine" in fitted.scorers) == ("recent_cosine" in bank.scorers) == chronological
    assert "recent" in bank.scorers


def test_what_baselines_were_fitted_on_is_gone_but_for_what_they_hold() -> None:
    train, valid, _ = parts_in_time()
    fitted = fit_baselines(
        train, valid, make_items(30, 30), config=EvaluationConfig(bootstrap_resamples=100, list_depth=20), seed=1,
        chronological=True,
    )  # fmt: skip
    held = {name for name, value in vars(fitted.material).items() if not name.startswith("_") or value}
    assert not held & {"bought", "co_purchases", "ridge_rows", "_latest", "_transitions", "_faded", "_ridge_weights"}
    assert np.ptp(fitted.scorers["recent_cosine"].score(valid, 0)) > 0
