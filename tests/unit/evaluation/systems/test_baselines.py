"""Each baseline equals its formula written out slowly on a small pair."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from evaluation.candidates.asked import Scorer
from evaluation.matrices import recency_matrix, sequences_with_target, transition_matrix, user_item_matrix
from evaluation.plan import evaluate
from evaluation.systems import item_cosine
from evaluation.systems.baseline_table import Material, fit_item_cosine, fit_popularity, fit_ridge
from evaluation.systems.baselines import Markov, Popularity, Text
from evaluation.systems.item_cosine import ItemCosine, co_purchases
from evaluation.systems.ridge import DirectRidge, Ridge, sample_users
from evaluation.tfidf import EVERY_WORD, Words
from pairs.tables import Samples, joined
from tests.evaluation_runs import make_items, make_samples
from tests.unit.evaluation.test_sales import events_of

NUM_X, NUM_ITEMS = 7, 12
ITEMS = make_items(NUM_X, NUM_ITEMS)
FITS: dict[str, Callable[[Material], Scorer]] = {
    "popularity": fit_popularity,
    "item_cosine": partial(fit_item_cosine, exponent=0.3, decay=0.9),
}


def random_train(seed: int = 0, *, num_users: int = 15) -> Samples:
    random = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        history = random.integers(0, NUM_ITEMS, random.integers(1, 6)).tolist()
        rows.append((user, 0, history, int(random.integers(0, NUM_X))))
        rows.append((user, 1, history, int(random.integers(NUM_X, NUM_ITEMS))))
    return make_samples(rows)


def queries() -> Samples:
    return make_samples([(90, 0, [0, 8, 3, 8], 1), (91, 0, [11], 2), (92, 0, [], 3), (93, 0, [5, 4], 6)])


def slow_query(history: list[int], decay: float) -> NDArray[np.float64]:
    query = np.zeros(NUM_ITEMS)
    for after, item in enumerate(reversed(history)):
        query[item] = max(query[item], decay**after)
    return query


def slow_bought(train: Samples) -> NDArray[np.float64]:
    users = sorted(set(train.user.tolist()))
    bought = np.zeros((len(users), NUM_ITEMS))
    for row in range(len(train)):
        for item in [*train.history_of(row).tolist(), int(train.target[row])]:
            bought[users.index(int(train.user[row])), item] = 1
    return bought


def test_twin_samples_of_a_user_are_one_row_of_ones() -> None:
    train = random_train()
    assert user_item_matrix(train, NUM_ITEMS).toarray().tolist() == slow_bought(train).tolist()


def test_recency_counts_an_item_at_its_latest_place() -> None:
    weights = recency_matrix(queries(), 0.5, NUM_ITEMS).toarray()
    for row in range(len(queries())):
        assert weights[row] == pytest.approx(slow_query(queries().history_of(row).tolist(), 0.5))


def test_a_decay_of_zero_asks_with_the_last_item_alone() -> None:
    weights = recency_matrix(queries(), 0.0, NUM_ITEMS)
    assert [weights[row].indices.tolist() for row in range(4)] == [[8], [11], [], [4]]


def test_popularity_scores_by_train_count() -> None:
    items = make_items(2, 4, counts=[3, 1, 4, 1])
    assert Popularity(items).score(make_samples([(0, 1, [], 3)]), 1).tolist() == [[4.0, 1.0]]


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize(("exponent", "decay", "at_once"), [(0.5, 1.0, True), (0.3, 0.9, True), (0.3, 0.9, False)])
def test_item_cosine_equals_a_dense_loop(
    exponent: float, decay: float, at_once: bool, domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = random_train()
    bought = slow_bought(train)
    frequency = np.maximum(bought.sum(axis=0), 1)
    matrix = user_item_matrix(train, NUM_ITEMS)
    if not at_once:
        monkeypatch.setattr("evaluation.systems.item_cosine.MOST_TOGETHER", 0)
    purchases = co_purchases(matrix, ITEMS)
    assert (purchases.counts is not None) == at_once
    scores = ItemCosine(purchases, ITEMS, exponent=exponent, decay=decay).score(queries(), domain)
    for row in range(len(queries())):
        query = slow_query(queries().history_of(row).tolist(), decay)
        for column, item in enumerate(ITEMS.ids(domain)):
            expected = 0.0
            for other in range(NUM_ITEMS):
                together = float((bought[:, other] * bought[:, item]).sum())
                expected += query[other] * together / (frequency[other] * frequency[item]) ** exponent
            assert scores[row, column] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_dual_ridge_equals_the_primal_solution(penalty: float, weight: float) -> None:
    train = random_train(1)
    bought = slow_bought(train)
    frequency = np.maximum(bought.sum(axis=0), 1)
    primal_II = np.linalg.solve(bought.T @ bought + penalty * np.diag(frequency**weight), bought.T @ bought)
    scorer = Ridge(user_item_matrix(train, NUM_ITEMS), ITEMS, penalty=penalty, weight=weight, decay=0.9, tolerance=1e-6)
    query = np.stack([slow_query(queries().history_of(row).tolist(), 0.9) for row in range(len(queries()))])
    assert scorer.score(queries(), 0) == pytest.approx((query @ primal_II)[:, :NUM_X], abs=2e-4)
    assert scorer.score(queries(), 1) == pytest.approx((query @ primal_II)[:, NUM_X:], abs=2e-4)


@pytest.mark.parametrize("cross", [1.0, 0.5])
@pytest.mark.parametrize(("penalty", "weight"), [(0.5, 0.0), (0.5, 0.5), (200.0, 0.5)])
def test_few_items_are_solved_at_once_with_the_same_scores(
    penalty: float, weight: float, cross: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = make_samples([(user, 0, [0, 8, 3, user % 3], 4) for user in range(9)] + [(9, 1, [0, 9], 10)])
    material = Material(train, ITEMS, 100, 0)
    assert len(material.ridge_items) < NUM_ITEMS  # some items have no buyer
    settings = {"penalty": penalty, "weight": weight, "decay": 0.9, "cross": cross}
    at_once = fit_ridge(material, **settings)
    assert isinstance(at_once, DirectRidge)
    by_steps = Ridge(material.ridge_rows, ITEMS, **settings, tolerance=1e-6)
    monkeypatch.setattr("evaluation.systems.ridge.SOLVED_AT_ONCE", 3)
    for domain in (0, 1):
        scores = by_steps.score(queries(), domain)
        assert np.ptp(scores) > 0
        assert at_once.score(queries(), domain) == pytest.approx(scores, abs=2e-5)
        asked = np.broadcast_to(np.asarray(ITEMS.ids(domain)), scores.shape)
        for ridge in (at_once, by_steps):
            assert ridge.ask(queries(), domain).at(asked) == pytest.approx(scores, abs=2e-5)


def test_too_many_pairs_are_not_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bought = user_item_matrix(random_train(), NUM_ITEMS)
    pairs = int((np.diff(bought.indptr) ** 2).sum())
    monkeypatch.setattr("evaluation.systems.item_cosine.MOST_TOGETHER", pairs)
    assert co_purchases(bought, ITEMS).counts is not None
    monkeypatch.setattr("evaluation.systems.item_cosine.MOST_TOGETHER", pairs - 1)
    assert co_purchases(bought, ITEMS).counts is None


def test_many_items_are_solved_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.systems.baseline_table.DIRECT_ITEMS", 1)
    fitted = fit_ridge(Material(random_train(1), ITEMS, 100, 0), penalty=1.0, weight=0.5, decay=0.9, cross=1.0)
    assert isinstance(fitted, Ridge)


def test_ridge_uses_all_users_or_a_random_few_of_them() -> None:
    bought_UI = sp.csr_matrix(np.arange(40, dtype=np.float32).reshape(20, 2))
    assert sample_users(bought_UI, 20, seed=0).shape == (20, 2)
    few = sample_users(bought_UI, 5, seed=0).toarray()[:, 0].tolist()
    assert len(set(few)) == 5
    assert few == sorted(few) == sample_users(bought_UI, 5, seed=0).toarray()[:, 0].tolist()
    assert few != sample_users(bought_UI, 5, seed=1).toarray()[:, 0].tolist()


def test_transitions_count_users_not_twin_samples() -> None:
    train = make_samples([(0, 0, [1, 8, 2], 3), (0, 1, [1, 8, 2], 9), (1, 0, [1], 2)])
    mixed = transition_matrix(train, ITEMS.domain, within_domain=False).toarray()
    assert mixed[1].nonzero()[0].tolist() == [2, 8]
    assert mixed[1, [2, 8]].tolist() == [0.5, 0.5]
    assert mixed[2, [3, 9]].tolist() == [0.5, 0.5]
    within = transition_matrix(train, ITEMS.domain, within_domain=True).toarray()
    assert within[1, 2] == 1.0
    assert within[8, 9] == 1.0
    assert within[8].sum() == 1.0


def test_markov_recommends_what_follows_the_last_item() -> None:
    train = make_samples([(0, 0, [1, 8], 3), (1, 0, [8], 4), (2, 0, [8], 4)])
    scorer = Markov(transition_matrix(train, ITEMS.domain, within_domain=False), ITEMS, decay=0.0)
    scores = scorer.score(make_samples([(9, 0, [2, 8], 4)]), 0)
    assert scores[0].argsort()[::-1][:2].tolist() == [4, 3]


def test_sequences_end_with_their_target() -> None:
    row, items = sequences_with_target(queries())
    assert items.tolist() == [0, 8, 3, 8, 1, 11, 2, 3, 5, 4, 6]
    assert row.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3]


def test_text_finds_the_item_with_the_same_rare_word() -> None:
    titles = ["red pen", "blue pen", "red brush", "zebra pen", "zebra brush", "paper"]
    items = make_items(3, 6)
    scorer = Text(Words(titles, EVERY_WORD).vectors(titles), items, decay=0.9)
    scores = scorer.score(make_samples([(0, 1, [0, 3], 4)]), 1)
    assert scores[0].argsort()[::-1].tolist() == [0, 1, 2]
    assert scores[0, 2] == 0.0


def test_a_catalogue_without_words_scores_zero() -> None:
    scorer = Text(Words(["", ""], EVERY_WORD).vectors(["", ""]), make_items(1, 2), decay=0.9)
    assert scorer.score(make_samples([(0, 1, [0], 1)]), 1).tolist() == [[0.0]]


def test_users_of_one_domain_say_what_goes_together_and_what_sold_while_train_lasted() -> None:
    train, others = random_train(1), random_train(2, num_users=9)
    others = dataclasses.replace(others, user=others.user + 100, sample=others.sample + 100)
    alone, both = (Material(train, ITEMS, 1000, 1, one) for one in (None, others))
    assert both.bought.toarray().tolist() == slow_bought(joined(train, others)).tolist()
    assert alone.bought.toarray().tolist() == slow_bought(train).tolist()
    assert both.transitions(True).nnz > alone.transitions(True).nnz
    scores = {name: [fit(one).score(queries(), 0).tolist() for one in (alone, both)] for name, fit in FITS.items()}
    assert scores["popularity"][0] == scores["popularity"][1]
    assert scores["item_cosine"][0] != scores["item_cosine"][1]
    timed_train, timed_others = (
        dataclasses.replace(part, history_time=np.zeros(len(part.history), np.int64), target_time=target)
        for part, target in ((train, np.ones(len(train), np.int64)), (others, np.arange(len(others)) % 3))
    )
    sold, sold_beside = (Material(timed_train, ITEMS, 1000, 1, one).sales for one in (None, timed_others))
    assert sold is not None
    assert sold_beside is not None
    every, late = np.arange(NUM_ITEMS), np.full(NUM_ITEMS, 5)
    added = [item for _, item, time in events_of(timed_others) if time <= 1]
    assert 0 < len(added) < len(events_of(timed_others))
    expected = sold.before(every, late) + np.bincount(added, minlength=NUM_ITEMS)
    assert sold_beside.before(every, late).tolist() == expected.tolist()


def test_the_ridge_takes_trains_users_before_those_of_one_domain() -> None:
    train, others = random_train(1), random_train(2, num_users=9)
    others = dataclasses.replace(others, user=others.user + 100, sample=others.sample + 100)
    for most, expected in ((40, 15 + 9), (20, 20), (15, 15), (7, 7)):
        rows = Material(train, ITEMS, most, 1, others).ridge_rows.toarray()
        assert len(rows) == expected
        own = slow_bought(train).tolist()
        if most >= len(own):
            assert rows[: len(own)].tolist() == own
        else:
            assert {*map(tuple, rows.tolist())} <= {*map(tuple, own)}


def test_the_plan_counts_pairs_of_items_up_to_where_the_baseline_does() -> None:
    assert evaluate.MOST_TOGETHER == item_cosine.MOST_TOGETHER
