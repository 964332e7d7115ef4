"""What scorers say of given items, and whom they nominate, equals their scores of all items."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from evaluation.candidates.asked import Scorer, answer_of, rare_words
from evaluation.candidates.pool import Pool, scores_at
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples, Ranks, batch_rows, make_batch, target_ranks
from evaluation.metrics.shared import Batches
from evaluation.ranked_lists import NO_ITEM, RankedLists, top_k
from evaluation.sales import Sales
from evaluation.systems.baseline_table import BASELINE_TABLE, Material, fit_text
from evaluation.systems.baselines import Popularity, Recent
from pairs.tables import Items, Samples
from tests.evaluation_runs import make_items, make_samples

NUM_X, NUM_ITEMS, DAY = 30, 70, 86_400
WORDS = ("ink", "brush", "paper", "wood", "blue", "red", "large")


def catalogue() -> Items:
    random = np.random.default_rng(5)
    titles = [f"{' '.join(random.choice(WORDS, 3, replace=False))} n{item % 9}" for item in range(NUM_ITEMS)]
    plain = make_items(NUM_X, NUM_ITEMS, counts=random.integers(0, 6, NUM_ITEMS).tolist())
    return dataclasses.replace(plain, titles=titles)


def timed_samples(count: int, *, seed: int) -> Samples:
    random = np.random.default_rng(seed)
    rows = []
    for user in range(count):
        history = random.choice(NUM_ITEMS, random.integers(1, 8), replace=False).tolist()
        rows.append((user, user % 2, history, int(random.integers(0, NUM_X) + (user % 2) * NUM_X)))
    plain = make_samples(rows)
    return dataclasses.replace(
        plain,
        history_time=np.sort(random.integers(0, 300 * DAY, len(plain.history))),
        target_time=random.integers(100 * DAY, 400 * DAY, count),
    )


ITEMS, TRAIN, ASKED = catalogue(), timed_samples(60, seed=1), timed_samples(12, seed=2)
MATERIAL = Material(TRAIN, ITEMS, 20_000, 1)


@pytest.mark.parametrize("name", BASELINE_TABLE)
@pytest.mark.parametrize("domain", [0, 1])
def test_scores_of_given_items_are_those_among_all(name: str, domain: int) -> None:
    row = BASELINE_TABLE[name]
    scorer = row.fit(MATERIAL, **{key: values[0] for key, values in row.grid.items()})
    ids = ITEMS.ids(domain)
    items = np.sort(np.random.default_rng(3).integers(ids.start, ids.stop, (len(ASKED), 9)), axis=1)
    scores = scorer.score(ASKED, domain)
    expected = np.take_along_axis(scores, items - ids.start, axis=1)
    assert answer_of(scorer, ASKED, domain, ids).at(items) == pytest.approx(expected, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in BASELINE_TABLE if name != "recent"])
def test_the_best_are_nominated_beside_the_popular(name: str) -> None:
    row = BASELINE_TABLE[name]
    scorer = row.fit(MATERIAL, **{key: values[0] for key, values in row.grid.items()})
    ids = ITEMS.ids(0)
    scores = scorer.score(ASKED, 0)
    listed, _ = top_k(scores, 5, np.arange(ids.start, ids.stop))
    nominated = np.hstack([answer_of(one, ASKED, 0, ids).best(8) for one in (scorer, Popularity(ITEMS))])
    for sample in range(len(ASKED)):
        some = [item for item in listed[sample].tolist() if scores[sample, item - ids.start] > 0]
        assert set(some) <= set(nominated[sample].tolist())


def test_fading_sales_name_those_who_sold_before_the_moment_only() -> None:
    sales = Sales.of_samples(TRAIN, NUM_ITEMS)
    assert sales is not None
    late, early = sales.end, int(sales.time.min())
    asked = dataclasses.replace(ASKED.take(np.array([0, 1])), target_time=np.array([late, early]))
    best = Recent(sales, ITEMS, half_lives=(30.0, 30.0)).ask(asked, 0).best(NUM_X)
    sold = set(sales.item[sales.item < NUM_X].tolist())
    assert set(best[0][best[0] != NO_ITEM].tolist()) == sold
    assert (best[1] == NO_ITEM).all()


def test_candidates_are_all_that_is_named_and_the_own_history() -> None:
    class Fixed:
        def score(self, samples: Samples, domain: int) -> Floats:
            row = np.zeros(NUM_X, dtype=np.float32)
            row[[4, 7, 9]] = 3, 2, 1
            return np.tile(row, (len(samples), 1))

    samples = make_samples([(1, 0, [2, 40], 5), (2, 0, [7], 6)])
    lists = RankedLists(
        samples.sample, np.array([[11, 45], [4, NO_ITEM]]), np.array([[2, 1], [1, -np.inf]], np.float32)
    )
    scorer = Fixed()
    pool = Pool({"fixed": scorer}, {"graph": lists}, 2)
    nominees = pool.nominees(np.arange(2), samples, 0, ITEMS.ids(0))
    assert nominees.items.tolist() == [[2, 4, 7, 11], [4, 7, NUM_X, NUM_X]]
    scores = scores_at(scorer, samples, 0, nominees, ITEMS.ids(0))
    assert scores.tolist() == [[0, 3, 2, 0], [3, 2, -np.inf, -np.inf]]


@pytest.mark.parametrize(("most", "kept"), [(1, [2]), (6, [1, 2]), (100, [0, 1, 2])])
def test_the_rarest_words_are_kept(most: int, kept: list[int]) -> None:
    queries = sp.csr_matrix(np.array([[0.5, 0.2, 0.1], [0.0, 0.0, 0.0]], dtype=np.float32))
    told = rare_words(queries, np.array([50, 4, 2]), most=most)
    assert sorted(told[[0]].indices.tolist()) == kept
    assert told[[1]].nnz == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_who_nominates_is_asked_once_however_often_a_choice_is_made(threads: int) -> None:
    asked = []

    class Counted:
        def __init__(self, scorer: Scorer) -> None:
            self.scorer = scorer

        def score(self, samples: Samples, domain: int) -> Floats:
            asked.append(samples.sample.tolist())
            return self.scorer.score(samples, domain)

    scorers = {"popularity": Counted(Popularity(ITEMS)), "text": Counted(fit_text(MATERIAL, decay=0.8))}
    pool = Pool(scorers, {}, 12)

    def judged(batch: DomainSamples) -> list[Ranks]:
        return [target_ranks(scores_BC, batch) for scores_BC in batch.scores(scorers).values()]

    batches = Batches(ASKED, ITEMS, pool)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first, second = batches.ranks(judged, 2), batches.ranks(judged, 2)
    finally:
        torch.set_num_threads(before)
    assert len(asked) == 2 * len(scorers), "a batch of each domain"
    for number, ranks in enumerate(first):
        assert ranks.tolist() == second[number].tolist()
    for domain, rows in batch_rows(ASKED, ITEMS, few=True):
        for ranks, slow in zip(first, judged(make_batch(ASKED, ITEMS, pool, domain, rows)), strict=True):
            assert ranks[rows].tolist() == slow.tolist()
