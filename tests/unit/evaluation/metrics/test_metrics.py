"""Ranks and metrics equal a slow, obvious reference; ties and filtered targets go against the system."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics.metrics import METRICS, metric_values, sample_slices
from evaluation.metrics.ranks import DomainSamples, batches, list_ranks, target_ranks, without_history
from evaluation.metrics.shared import own_cuts
from evaluation.ranked_lists import NO_ITEM, RankedLists
from launch.distributed import World
from pairs.tables import Samples
from tests.evaluation_runs import make_items, make_samples

NUM_X, NUM_ITEMS = 6, 11


def slow_rank(scores: dict[int, float], target: int, history: list[int], *, filter_history: bool) -> float:
    allowed = {item: score for item, score in scores.items() if not (filter_history and item in history)}
    if target not in allowed:
        return math.inf
    return 1.0 + sum(item != target and score >= allowed[target] for item, score in allowed.items())


def slow_metric(rank: float, name: str) -> float:
    kind, _, cut = name.partition("@")
    if cut and rank > int(cut):
        return 0.0
    return {"hr": 1.0, "ndcg": 1.0 / math.log2(rank + 1), "mrr": 1.0 / rank}[kind] if rank < math.inf else 0.0


@st.composite
def scored_samples(draw: st.DrawFn) -> tuple[Samples, list[list[float]]]:
    rows, scores = [], []
    for user in range(draw(st.integers(1, 6))):
        domain = draw(st.integers(0, 1))
        ids = range(NUM_X) if domain == 0 else range(NUM_X, NUM_ITEMS)
        history = draw(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=5))
        rows.append((user, domain, history, draw(st.sampled_from(list(ids)))))
        few = st.sampled_from([0.0, 0.5, 1.0, 2.0])  # few values: many ties
        scores.append(draw(st.lists(few, min_size=NUM_ITEMS, max_size=NUM_ITEMS)))
    return make_samples(rows), scores


@settings(deadline=None)
@given(scored_samples(), st.booleans())
def test_full_ranking_equals_the_slow_reference(case: tuple[Samples, list[list[float]]], filter_history: bool) -> None:
    samples, scores = case
    items = make_items(NUM_X, NUM_ITEMS)
    ranks = np.empty(len(samples))
    for batch in batches(samples, items):
        scores_BC = np.array(scores, dtype=np.float32)[batch.rows][:, batch.ids.start : batch.ids.stop]
        ranks[batch.rows] = target_ranks(without_history(scores_BC, batch) if filter_history else scores_BC, batch)
    for row in range(len(samples)):
        of_domain = {item: scores[row][item] for item in items.ids(int(samples.domain[row]))}
        history = samples.history_of(row).tolist()
        assert ranks[row] == slow_rank(of_domain, samples.target[row], history, filter_history=filter_history)


@settings(deadline=None)
@given(scored_samples(), st.booleans(), st.integers(0, 6))
def test_list_ranks_equal_the_slow_reference(
    case: tuple[Samples, list[list[float]]], filter_history: bool, depth: int
) -> None:
    samples, scores = case
    items = make_items(NUM_X, NUM_ITEMS)
    listed_NK = np.full((len(samples), depth), NO_ITEM)
    scores_NK = np.full((len(samples), depth), -np.inf, dtype=np.float32)
    for row in range(len(samples)):
        ids = sorted(items.ids(int(samples.domain[row])), key=lambda item: (-scores[row][item], item))[:depth]
        listed_NK[row, : len(ids)] = ids
        scores_NK[row, : len(ids)] = [scores[row][item] for item in ids]
    lists = RankedLists(samples.sample, listed_NK, scores_NK)
    ranks = list_ranks(lists, samples, num_items=NUM_ITEMS, filter_history=filter_history)
    for row in range(len(samples)):
        of_list = {item: scores[row][item] for item in listed_NK[row].tolist() if item != NO_ITEM}
        history = samples.history_of(row).tolist()
        assert ranks[row] == slow_rank(of_list, samples.target[row], history, filter_history=filter_history)


@pytest.mark.parametrize("rank", [1.0, 2.0, 5.0, 6.0, 10.0, 11.0, 20.0, 21.0, 4000.0, math.inf])
def test_every_metric_of_a_rank_equals_its_formula(rank: float) -> None:
    values = metric_values(np.array([rank]))[0]
    assert values.tolist() == pytest.approx([slow_metric(rank, name) for name in METRICS])


def test_all_equal_scores_put_the_target_last() -> None:
    samples = make_samples([(0, 0, [], 2)])
    batch = DomainSamples(np.array([0]), samples, 0, range(NUM_X))
    assert target_ranks(np.zeros((1, NUM_X), dtype=np.float32), batch).tolist() == [NUM_X]


def test_scores_that_are_no_numbers_put_the_target_last() -> None:
    samples = make_samples([(0, 0, [], 2)])
    batch = DomainSamples(np.array([0]), samples, 0, range(NUM_X))
    scores_BC = np.arange(NUM_X, dtype=np.float32)[None]
    scores_BC[0, 2] = np.nan
    assert target_ranks(scores_BC, batch).tolist() == [NUM_X]
    lists = RankedLists(samples.sample, np.arange(NUM_X)[None], scores_BC)
    assert list_ranks(lists, samples, num_items=NUM_ITEMS, filter_history=True).tolist() == [NUM_X]


def test_filtering_history_moves_the_target_up_and_never_lists_a_seen_item() -> None:
    samples = make_samples([(0, 0, [0, 1, 9], 2)])
    batch = DomainSamples(np.array([0]), samples, 0, range(NUM_X))
    scores_BC = np.array([[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]], dtype=np.float32)
    assert target_ranks(scores_BC, batch).tolist() == [3.0]
    assert target_ranks(without_history(scores_BC, batch), batch).tolist() == [1.0]
    assert scores_BC.min() == 0.0, "the given scores are left alone"


def test_a_target_that_the_user_already_has_is_a_miss_when_history_is_filtered() -> None:
    samples = make_samples([(0, 0, [2], 2)])
    batch = DomainSamples(np.array([0]), samples, 0, range(NUM_X))
    scores_BC = np.array([[0.0, 0.0, 9.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    assert metric_values(target_ranks(without_history(scores_BC, batch), batch)).tolist() == [[0.0] * len(METRICS)]


def test_every_sample_is_in_one_batch_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples([(user, user % 2, [], 0 if user % 2 == 0 else 7) for user in range(9)])
    monkeypatch.setattr("evaluation.metrics.ranks.BATCH_CELLS", 2 * NUM_X)
    rows = [batch.rows.tolist() for batch in batches(samples, make_items(NUM_X, NUM_ITEMS))]
    assert sorted(row for part in rows for row in part) == list(range(9))
    assert max(len(part) for part in rows) == 2


def test_slices_follow_the_target_domain_the_history_and_the_popularity() -> None:
    items = make_items(3, 6, counts=[0, 2, 9, 10, 1, 1])
    samples = make_samples([(0, 0, [0, 1, 2], 0), (1, 0, [3, 4, 5, 0, 0, 1], 2), (2, 1, [0, 1, 2, 3, 4], 3)])
    slices = {name: mask.tolist() for name, mask in sample_slices(samples, items).items()}
    assert slices == {
        "all": [True, True, True],
        "X": [True, True, False],
        "Y": [False, False, True],
        "cold": [False, False, True],
        "warm": [True, True, False],
        "popularity 0": [True, False, False],
        "popularity 3-9": [False, True, False],
        "popularity 10+": [False, False, True],
        "history 0-5": [True, False, True],
        "history 6-10": [False, True, False],
    }


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_have_rows_of_their_own_and_all_of_them_together(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.metrics.ranks.BATCH_CELLS", 3 * NUM_X)  # a few samples a batch
    samples = make_samples([(user, user % 2, [], 0 if user % 2 == 0 else 7) for user in range(50)])
    items = make_items(NUM_X, NUM_ITEMS)
    worlds = [World(rank=rank, size=size, local_rank=rank, device=torch.device("cpu")) for rank in range(size)]
    cuts = [list(own_cuts(samples, items, world, few=False)) for world in worlds]
    own = [np.concatenate([rows for _, rows in of_rank]) for of_rank in cuts]
    assert sorted(np.concatenate(own).tolist()) == list(range(50))
    assert max(map(len, own)) < 50 / size + 8
    for number, (domain, rows) in enumerate(own_cuts(samples, items, None, few=False)):
        of_rank = cuts[number % size][number // size]
        assert of_rank[0] == domain
        assert of_rank[1].tolist() == rows.tolist()
