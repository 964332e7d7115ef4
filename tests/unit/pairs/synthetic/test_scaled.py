"""The sampled generator's purchases: the shapes of real data, and interests that can be learnt from them."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import scipy.sparse as sp

from pairs.synthetic.scaled import Purchases, build_shop, popularity, simulate_users

NUM_USERS, NUM_ITEMS, MEAN = 10_000, 5_000, 18
TOP = 10
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def bought() -> Purchases:
    """Purchases of 10,000 users among 5,000 items of each domain."""
    shop, rng = build_shop(NUM_ITEMS), np.random.default_rng(1)
    return simulate_users(rng, shop, num_users=NUM_USERS, mean=MEAN, single_domain_share=0.0)


def test_users_buy_as_much_as_asked_and_some_very_much(bought: Purchases) -> None:
    lengths = np.bincount(bought.user, minlength=NUM_USERS)
    assert lengths.mean() == pytest.approx(MEAN, rel=0.04)
    assert np.sort(lengths)[-NUM_USERS // 100 :].sum() > 0.05 * lengths.sum()
    assert np.median(lengths) < 0.8 * MEAN


def test_about_half_of_the_users_buy_five_times_in_each_domain(bought: Purchases) -> None:
    of_domain = np.bincount(bought.user * 2 + bought.domain, minlength=2 * NUM_USERS).reshape(-1, 2)
    assert (of_domain > 0).all()
    assert 0.45 < (of_domain >= 5).all(axis=1).mean() < 0.65


def test_the_given_share_of_users_buys_in_one_domain_only() -> None:
    rng = np.random.default_rng(1)
    bought = simulate_users(rng, build_shop(500), num_users=2000, mean=18, single_domain_share=0.3)
    of_domain = np.bincount(bought.user * 2 + bought.domain).reshape(-1, 2)
    assert (of_domain == 0).any(axis=1).mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("domain", [0, 1])
def test_few_items_hold_a_large_share_of_the_purchases(bought: Purchases, domain: int) -> None:
    counts = np.sort(np.bincount(bought.item[bought.domain == domain], minlength=NUM_ITEMS))[::-1]
    assert counts[: NUM_ITEMS // 100].sum() > 0.12 * counts.sum()
    assert counts[NUM_ITEMS // 2 :].sum() < 0.25 * counts.sum()


def test_stated_popularity_goes_with_the_purchases(bought: Purchases) -> None:
    stated = popularity(build_shop(NUM_ITEMS), np.arange(NUM_ITEMS), domain=0)
    counts = np.bincount(bought.item[bought.domain == 0], minlength=NUM_ITEMS)
    assert stated.sum() == pytest.approx(1)
    assert np.corrcoef(stated, counts)[0, 1] > 0.8


def test_repeat_purchases_are_occasional(bought: Purchases) -> None:
    distinct = pl.DataFrame({"user": bought.user, "domain": bought.domain, "item": bought.item}).n_unique()
    assert 0.01 < 1 - distinct / len(bought.user) < 0.03


def test_times_of_a_user_increase(bought: Purchases) -> None:
    assert (np.diff(bought.time)[np.diff(bought.user) == 0] > 0).all()


def test_some_users_rate_low(bought: Purchases) -> None:
    means = np.bincount(bought.user, bought.rating) / np.bincount(bought.user)
    assert 0.05 < (means < 3.4).mean() < 0.15
    assert set(bought.rating) == {1, 2, 3, 4, 5}


def test_item_cosine_finds_held_out_items_far_more_often_than_popularity(bought: Purchases) -> None:
    column = bought.domain * NUM_ITEMS + bought.item
    last = np.flatnonzero(np.diff(bought.user, append=NUM_USERS))
    rest = np.delete(np.arange(len(column)), last)
    seen_UI = _bought_once(bought.user[rest], column[rest])
    popularity_hits, cosine_hits = (
        _hits(scores, seen_UI, column[last], bought.domain[last])
        for scores in (_popularity(seen_UI), _scores(seen_UI, _cosine(seen_UI)))
    )
    assert popularity_hits < 0.08
    assert cosine_hits > 4 * popularity_hits


def test_purchases_in_one_domain_help_to_predict_the_other(bought: Purchases) -> None:
    column = bought.domain * NUM_ITEMS + bought.item
    in_y = np.flatnonzero(bought.domain == 1)
    last = in_y[np.flatnonzero(np.diff(bought.user[in_y], append=NUM_USERS))]  # everybody has one
    rest = np.delete(np.arange(len(column)), last)
    seen_UI = _bought_once(bought.user[rest], column[rest])
    cosine_II, wanted = _cosine(seen_UI), np.ones(NUM_USERS, np.int64)
    x_only, y_only = (_keep_domain(seen_UI, domain) for domain in (0, 1))
    hits = {
        name: _hits(scores, seen_UI, column[last], wanted)
        for name, scores in (
            ("popularity", _popularity(seen_UI)),
            ("from x", _scores(x_only, cosine_II)),
            ("from y", _scores(y_only, cosine_II)),
            ("from both", _scores(seen_UI, cosine_II)),
        )
    }
    assert hits["from x"] > 3 * hits["popularity"]
    assert hits["from both"] > 1.05 * hits["from y"]


def _bought_once(user: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> sp.csr_array:
    pairs = np.unique(np.stack([user, column], axis=1), axis=0)
    return sp.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(NUM_USERS, 2 * NUM_ITEMS))


def _keep_domain(seen_UI: sp.csr_array, domain: int) -> sp.csr_array:
    kept = (np.arange(2 * NUM_ITEMS) // NUM_ITEMS == domain).astype(float)
    return sp.csr_array(seen_UI @ sp.diags_array(kept))


def _cosine(seen_UI: sp.csr_array) -> sp.csr_array:
    scaled_UI = seen_UI @ sp.diags_array(1 / np.sqrt(np.maximum(seen_UI.sum(axis=0), 1)))
    return sp.csr_array(scaled_UI.T @ scaled_UI)


def _scores(seen_UI: sp.csr_array, cosine_II: sp.csr_array, *, users: int = 2000) -> Floats:
    scores: Floats = (seen_UI[:users] @ cosine_II).toarray()
    return scores


def _popularity(seen_UI: sp.csr_array, *, users: int = 2000) -> Floats:
    return np.tile(seen_UI.sum(axis=0), (users, 1))


def _hits(
    scores_UI: Floats, seen_UI: sp.csr_array, target_U: npt.NDArray[np.int64], domain_U: npt.NDArray[np.int64]
) -> float:
    """Share of the first users whose target is among the TOP best items of its domain that they have not bought."""
    hits = 0
    for user, scores in enumerate(scores_UI):
        allowed = np.arange(2 * NUM_ITEMS) // NUM_ITEMS == domain_U[user]
        allowed[seen_UI[[user]].indices] = False
        top = np.argsort(-np.where(allowed, scores, -1.0), kind="stable")[:TOP]
        hits += int(target_U[user] in top)
    return hits / len(scores_UI)
