"""Ranking by candidates beside ranking all items."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.matrices import DAY
from graph.batches import make_batch
from graph.clock import SalesClock
from graph.config import GraphConfig
from graph.evidence import Evidence
from graph.learning.state import some_of
from graph.load import Prepared, make_ranker, prepare
from graph.ranker import GraphRanker
from graph.ranking import pools
from graph.ranking.full_ranking import Judge
from graph.ranking.infer import TrainedGraph
from graph.ranking.left_out import export_left_out
from graph.ranking.parts import evidence_by_size, system_scores
from graph.ranking.pools import is_two_stage
from pairs.tables import Samples
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, make_splits, timed, tiny, write_run

FEW_POPULAR = 4


def judges(run_dir: Path, config: GraphConfig) -> tuple[Prepared, Judge, Judge]:
    """(prepared, of all items, of candidates), with weights that are anything."""
    prepared = prepare(run_dir, config, ALONE)
    ranker = make_ranker(prepared, config, seed=1, device=ALONE.device).eval()
    with torch.no_grad():
        for weight in (*ranker.evidence.parameters(), *ranker.late.parameters()):
            weight.add_(0.1 * torch.randn_like(weight))
    whole, few = (
        Judge(ranker, prepared.graphs, replace(config, ranking=kind), ALONE) for kind in ("all", "candidates")
    )
    return prepared, whole, few


@pytest.mark.parametrize("system", ["graph", "evidence", "evidence_untrained", "encoders"])
@pytest.mark.parametrize("times", [False, True])
def test_with_every_item_a_candidate_lists_and_metrics_are_those_of_full_ranking(
    tmp_path: Path, system: str, times: bool
) -> None:
    valid: Samples = write_run(tmp_path, times=times)["valid"]
    _, whole, few = judges(tmp_path, tiny())
    expected, given = (
        judge.lists_of(valid, 20, system_scores(judge, [system]), [system])[system] for judge in (whole, few)
    )
    assert np.allclose(given.scores, expected.scores, rtol=1e-5, atol=1e-5)
    assert (given.items == expected.items).mean() > 0.99  # near ties may turn
    mine, theirs = few.metrics(valid), whole.metrics(valid)
    assert mine is not None
    assert theirs is not None
    assert mine == pytest.approx(theirs, abs=1e-4)
    assert theirs["mrr"] > 0


@pytest.mark.parametrize("candidates", [False, True])
@pytest.mark.parametrize(
    ("systems", "by_evidence", "by_late"),
    [
        (["graph", "evidence", "evidence_untrained", "encoders"], 2, 1),
        (["graph", "evidence"], 1, 1),
        (["evidence"], 1, 0),
        (["encoders"], 0, 1),
        (["evidence_untrained"], 1, 0),
    ],
)
def test_only_what_is_asked_for_is_scored_and_what_sold_is_looked_up_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    systems: list[str],
    by_evidence: int,
    by_late: int,
    candidates: bool,
) -> None:
    valid = write_run(tmp_path, times=True)["valid"]
    _, whole, few = judges(tmp_path, tiny())
    calls: Counter[str] = Counter()

    def counts(cls: type, name: str) -> None:
        plain = getattr(cls, name)

        def counted(*words: object, **options: object) -> object:
            calls[name] += 1
            return plain(*words, **options)

        monkeypatch.setattr(cls, name, counted)

    for cls, name in ((Evidence, "mixed"), (GraphRanker, "encoder_scores"), (SalesClock, "of_all")):
        counts(cls, name)
    judge = few if candidates else whole
    batch = judge._batch(valid, np.flatnonzero(valid.domain == 0))
    said = system_scores(judge, systems)(batch, 0)
    assert set(said) == set(systems)
    assert calls["mixed"] == by_evidence
    if not candidates:  # among candidates votes name them, and cells are asked what sold
        assert calls["encoder_scores"] == by_late
        assert calls["of_all"] == min(by_evidence, 1)


def test_few_candidates_are_scored_as_among_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "LEAST_POPULAR", FEW_POPULAR)
    monkeypatch.setattr(pools, "SHARING_WORDS", 2)
    valid = write_run(tmp_path)["valid"]
    config = replace(tiny(nearest=2, window=1, max_companions=2), list_depth=20)
    _, whole, few = judges(tmp_path, config)
    for domain in (0, 1):
        batch = whole._batch(valid, np.flatnonzero(valid.domain == domain))
        dense = whole.whole()(batch, domain)
        pooled = pools.pool_scores(few.ranker, few.graphs, depth=1, systems=["graph"])(batch, domain)["graph"]
        assert isinstance(dense, torch.Tensor)
        inside = pooled.column < dense.shape[1]
        assert 0 < float(inside.float().sum(dim=1).mean()) < dense.shape[1]
        at = dense.gather(1, pooled.column.clamp_max(dense.shape[1] - 1))
        torch.testing.assert_close(pooled.score[inside], at[inside], rtol=1e-5, atol=1e-5)
        assert bool((pooled.column.diff(dim=1)[inside[:, 1:]] > 0).all())


def test_items_that_share_a_historys_words_are_named(tmp_path: Path) -> None:
    write_run(tmp_path)
    _, whole, _ = judges(tmp_path, tiny())
    assert whole.graphs.evidence is not None
    graph, evidence = whole.graphs.evidence[1], whole.ranker.evidence[1]
    assert isinstance(evidence, Evidence)
    history = torch.tensor([[1, 20, 2], [30, 30, 25], [30, 30, 30]])
    likeness = evidence.words(graph, history).detach()
    row, column = evidence.word_candidates(graph, history, most=1000)
    named = torch.zeros_like(likeness, dtype=torch.bool)
    named[row, column] = True
    assert torch.equal(named, likeness > 0)
    assert bool(named[:2].any(dim=1).all())
    few, _ = evidence.word_candidates(graph, history, most=9)
    assert 0 < int(torch.bincount(few, minlength=3).max()) <= 9


def test_recommending_by_candidates_agrees(tmp_path: Path) -> None:
    write_run(tmp_path)
    prepared, whole, few = judges(tmp_path, tiny())
    answers = [
        TrainedGraph(prepared, judge.settings, judge.ranker, ALONE).ask([1, 20, 2], 1, depth=8)
        for judge in (whole, few)
    ]
    assert answers[0].items.tolist() == answers[1].items.tolist()
    assert 20 not in answers[1].items


def test_large_domains_are_ranked_by_candidates_and_small_ones_whole() -> None:
    config = tiny(full_softmax_items=100)
    assert not is_two_stage(config, 100)
    assert is_two_stage(config, 101)
    assert not is_two_stage(replace(config, ranking="all"), 10**7)
    assert is_two_stage(replace(config, ranking="candidates"), 5)
    assert not is_two_stage(tiny("paper", full_softmax_items=100), 10**7)


def test_a_sample_of_valid_is_the_same_every_time(tmp_path: Path) -> None:
    valid = write_run(tmp_path)["valid"]
    one, again = (some_of(valid, 7, seed=3) for _ in range(2))
    assert len(one) == 7
    assert one.sample.tolist() == again.sample.tolist() == sorted(one.sample.tolist())
    assert some_of(valid, len(valid), seed=3) is valid


def test_what_sold_of_late_is_a_candidate_though_few_have_it(tmp_path: Path) -> None:
    splits = timed(make_splits())
    train = splits["train"]
    assert train.target_time is not None
    last = int(train.target_time.max())
    target, time = train.target.copy(), np.minimum(train.target_time, last - 40 * DAY)
    assert train.history_time is not None
    history_time = np.minimum(train.history_time, last - 41 * DAY)
    new = np.flatnonzero(train.domain == 1)[:2]
    target[new], time[new] = NUM_ITEMS - 1, last
    history = np.where(train.history == NUM_ITEMS - 1, NUM_ITEMS - 2, train.history)
    target = np.where((target == NUM_ITEMS - 1) & ~np.isin(np.arange(len(target)), new), NUM_ITEMS - 2, target)
    splits["train"] = replace(train, target=target, target_time=time, history=history, history_time=history_time)
    write_run(tmp_path, splits=splits)
    _, _, few = judges(tmp_path, tiny())
    assert few.graphs.votes is not None
    fewest = int(few.graphs.votes[1].num_users.argsort()[0])
    assert fewest == NUM_ITEMS - 1 - NUM_X, "two users have it"
    asked = make_batch(splits["test"], np.arange(4), max_history=3, pad=NUM_ITEMS, device=ALONE.device)
    assert NUM_ITEMS - 1 - NUM_X in pools._popular(few.graphs.votes[1].num_users, few.graphs, 1, 1)(asked).tolist()
    before = replace(asked, moment=torch.tensor([last + 9, last - DAY, last + 9, last + 9]))
    assert NUM_ITEMS - 1 - NUM_X not in pools._popular(few.graphs.votes[1].num_users, few.graphs, 1, 1)(before).tolist()
    write_run(tmp_path / "untimed")
    _, _, untimed = judges(tmp_path / "untimed", tiny())
    assert untimed.graphs.votes is not None
    assert len(pools._popular(untimed.graphs.votes[1].num_users, untimed.graphs, 1, 1)(asked)) == 1


@pytest.mark.parametrize("leave_own", [True, False])
@pytest.mark.parametrize("times", [False, True])
def test_evidence_alone_says_the_same_of_candidates_with_and_without_the_users_own(
    tmp_path: Path, times: bool, leave_own: bool
) -> None:
    """As train's lists are made, over graphs without votes."""
    train = write_run(tmp_path, times=times)["train"]
    prepared, *both = judges(tmp_path, tiny())
    graphs = prepared.source.graphs_of(train, votes=False)
    assert graphs.votes is None
    whole, few = (
        replace(judge, graphs=graphs).lists(
            train, 20, scores=evidence_by_size(replace(judge, graphs=graphs), leave_own=leave_own)
        )
        for judge in both
    )
    assert np.allclose(few.scores, whole.scores, rtol=1e-5, atol=1e-5)
    assert (few.items == whole.items).mean() > 0.99


def test_lists_of_train_by_candidates_hold_what_those_of_all_items_hold(tmp_path: Path) -> None:
    write_run(tmp_path)
    prepared, *both = judges(tmp_path, tiny())
    listed = []
    for judge in both:
        export_left_out(judge, prepared, tmp_path, depth=8, most=None, seed=1)
        listed.append(np.load(tmp_path / "graph" / "left_out" / "items.npy"))
    assert (listed[0] == listed[1]).mean() > 0.99
