"""Fusions: scaled sums, chosen so that on valid they never fall below what they are made of; the paper's refinement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics.metrics import one_metric
from evaluation.metrics.ranks import DomainSamples, Ranks
from evaluation.ranked_lists import NO_ITEM, RankedLists
from evaluation.systems.fusion import fuse, is_replaced, refine_as_paper, scale_list, scale_rows, spread_list
from evaluation.systems.mixture import fusion_candidates
from evaluation.systems.selection import simplest_of
from tests.evaluation_runs import make_samples

F32 = np.float32


def lists_of(*rows: list[int]) -> RankedLists:
    """Lists whose scores fall by one from 10."""
    depth = max(len(row) for row in rows)
    items = np.full((len(rows), depth), NO_ITEM)
    scores = np.full((len(rows), depth), -np.inf, dtype=F32)
    for number, row in enumerate(rows):
        items[number, : len(row)] = row
        scores[number, : len(row)] = 10.0 - np.arange(len(row))
    return RankedLists(np.arange(len(rows)), items, scores)


def test_each_part_weighs_by_its_distance_to_its_own_best() -> None:
    parts = {"a": np.array([[10.0, 5.0, 0.0]], dtype=F32), "b": np.array([[0.0, 0.1, 0.2]], dtype=F32)}
    assert fuse(parts, {"a": 1.0, "b": 2.0}).tolist() == [[1.0, 1.5, 2.0]]


def test_an_excluded_item_stays_excluded() -> None:
    parts = {"a": np.array([[-np.inf, 1.0]], dtype=F32), "b": np.array([[5.0, 1.0]], dtype=F32)}
    assert fuse(parts, {"a": 1.0, "b": 1.0})[0, 0] == -np.inf


def test_a_part_alone_is_left_exactly_as_it_is() -> None:
    scores = np.random.default_rng(0).random((3, 50)).astype(F32)
    assert np.array_equal(fuse({"a": scores, "b": scores * 0}, {"a": 4.0, "b": 0.0}), scores)


def test_rows_without_a_positive_score_are_not_scaled() -> None:
    scores = np.array([[0.0, 0.0], [-2.0, -1.0], [-np.inf, -np.inf], [1.0, 4.0]], dtype=F32)
    assert scale_rows(scores).tolist() == [[0.0, 0.0], [-2.0, -1.0], [-np.inf, -np.inf], [0.25, 1.0]]


def test_scaled_lists_run_from_one_towards_zero_without_the_history() -> None:
    samples = make_samples([(0, 0, [3], 1), (1, 0, [], 1), (2, 0, [7], 1)])
    lists = lists_of([3, 4, 5, 6], [2], [7])
    row_max = scale_list(lists, samples, "row_max", num_items=9, filter_history=True)
    assert row_max.items.tolist() == [[-1, 4, 5, 6], [2, -1, -1, -1], [-1, -1, -1, -1]]
    assert row_max.scores[0, 1:].tolist() == [1.0, 0.5, 0.0]
    assert row_max.scores[1, 0] == 1.0
    reciprocal = scale_list(lists, samples, "reciprocal", num_items=9, filter_history=True)
    assert reciprocal.scores[0, 1:].tolist() == pytest.approx([1.0, 1 / 2, 1 / 3])
    kept = scale_list(lists, samples, "reciprocal", num_items=9, filter_history=False)
    assert kept.scores[0].tolist() == pytest.approx([1.0, 1 / 2, 1 / 3, 1 / 4])


def test_spreading_a_list_ignores_items_of_the_other_domain() -> None:
    samples = make_samples([(0, 1, [], 6)])
    batch = DomainSamples(np.array([0]), samples, 1, range(5, 8))
    assert spread_list(lists_of([2, 6, 7]), batch).tolist() == [[0.0, 9.0, 8.0]]


def test_paper_refinement_takes_the_graph_when_one_of_the_top_texts_strays() -> None:
    graph, llm = lists_of([1, 2], [3, 4], [5, 6], [7, 8]), lists_of([11], [12], [13], [14])
    flags = [[True, True, True], [True, False, True], [True, True, False], []]
    replaced = is_replaced(flags, top=2)
    refined = refine_as_paper(graph, llm, replaced)
    assert replaced.tolist() == [False, True, False, True]
    assert refined.items.tolist() == [[11, -1], [3, 4], [13, -1], [7, 8]]


ranks_of_samples = st.lists(st.sampled_from([1.0, 2.0, 5.0, 12.0, 40.0, np.inf]), min_size=8, max_size=8)


@settings(deadline=None)
@given(st.lists(ranks_of_samples, min_size=1, max_size=6), st.sampled_from(["hr@10", "mrr"]))
def test_a_choice_never_falls_below_its_floors_unless_all_do(rows: list[list[float]], metric: str) -> None:
    ranks: list[Ranks] = [np.array(row) for row in rows]
    floors = ranks[-2:]
    choice = simplest_of(range(len(ranks)), ranks, np.repeat(np.arange(4), 2), metric, floors)
    chosen = ranks[choice.candidate]
    below = [
        one_metric(chosen, name).mean() < one_metric(floor, name).mean()
        for name in ("hr@10", "mrr")
        for floor in floors
    ]
    assert any(below) == choice.below_parts


def test_of_equals_the_first_is_taken_and_of_clearly_different_ones_the_best() -> None:
    user = np.arange(200)
    good, equal, bad = np.full(200, 2.0), np.full(200, 2.0), np.full(200, 50.0)
    assert simplest_of(["equal", "good"], [equal, good], user, "mrr").candidate == "equal"
    assert simplest_of(["bad", "good"], [bad, good], user, "mrr").candidate == "good"


def test_a_difference_within_one_standard_error_does_not_buy_a_more_complex_fusion() -> None:
    simple = np.full(100, 5.0)
    lucky = simple.copy()
    lucky[:4] = [1.0, 50.0, 50.0, 50.0]
    assert one_metric(lucky, "mrr").mean() > one_metric(simple, "mrr").mean()
    assert simplest_of(["simple", "lucky"], [simple, lucky], np.arange(100), "mrr").candidate == "simple"
    better = simple.copy()
    better[:30] = 2.0
    assert simplest_of(["simple", "better"], [simple, better], np.arange(100), "mrr").candidate == "better"


def test_kinrec_may_be_any_source_alone_and_never_names_an_absent_one() -> None:
    everything = fusion_candidates(["graph", "llm"])
    for alone in ("baseline_fusion", "graph/row_max", "llm/reciprocal"):
        assert {alone: 1.0} in everything
    assert len(everything) < 40
    without_llm = fusion_candidates(["graph"])
    assert not any(name.startswith("llm") for weights in without_llm for name in weights)
    assert without_llm[0] == {"baseline_fusion": 1.0, "graph/row_max": 1.0}
    assert fusion_candidates([]) == [{"baseline_fusion": 1.0}]
