"""What is expected of a train sample knows nothing of its user and, on chronological pairs, of what came later."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from evaluation.ranked_lists import NO_ITEM
from graph.batches import make_batch
from graph.load import prepare
from graph.ranking import left_out
from graph.ranking.full_ranking import Judge
from graph.ranking.left_out import export_left_out, time_spans
from graph.ranking.parts import evidence_scores
from pairs.draws import draw_rows
from pairs.tables import Ints, Samples
from retrieval.posterior.expected import load_asking
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, make_splits, timed, write_run
from tests.unit.graph.ranking.test_export_lists import CONFIG, exported

DEPTH = 12


def left_out_of(run_dir: Path, judge: Judge | None = None) -> tuple[Judge, Ints]:
    """The stage's lists of train; those of a given ranker over the graphs of the run, if there is one."""
    if judge is None:
        judge, prepared = exported(run_dir)
    else:
        prepared = prepare(run_dir, CONFIG, ALONE)
        judge = dataclasses.replace(judge, graphs=prepared.graphs)
    export_left_out(judge, prepared, run_dir, depth=DEPTH, most=None, seed=1)
    assert np.load(run_dir / "graph" / "left_out" / "samples.npy").tolist() == prepared.train.sample.tolist()
    return judge, np.load(run_dir / "graph" / "left_out" / "items.npy").astype(np.int64)


def with_drawn_targets(samples: Samples, rows: Ints, *, seed: int) -> Samples:
    """Other targets, of the same domains, in some rows."""
    random = np.random.default_rng(seed)
    target = samples.target.copy()
    target[rows] = [
        random.integers(*((0, NUM_X) if domain == 0 else (NUM_X, NUM_ITEMS))) for domain in samples.domain[rows]
    ]
    return dataclasses.replace(samples, target=target)


def test_a_users_lists_are_those_of_a_graph_without_that_user(tmp_path: Path) -> None:
    train = write_run(tmp_path)["train"]
    judge, items = left_out_of(tmp_path)
    prepared = prepare(tmp_path, CONFIG, ALONE)
    for user in (0, 3, 7, 20):
        own, others = (np.flatnonzero((train.user == user) == is_own) for is_own in (True, False))
        graphs = prepared.source.graphs_of(train.take(others))
        score = evidence_scores(judge.ranker.evidence, graphs)
        for row in own:
            batch = make_batch(
                train, np.array([row]), max_history=CONFIG.model.max_history, pad=NUM_ITEMS, device=ALONE.device
            )
            domain = int(train.domain[row])
            expected = score(batch, domain)[0].detach().numpy()
            listed = items[row][items[row] != NO_ITEM]
            given = expected[listed - graphs.ids(domain).start]
            assert (np.diff(given) <= 1e-4).all()
            assert given[-1] >= np.sort(expected)[-len(listed)] - 1e-4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_user_bought_at_random_leaves_that_users_lists_as_they_were(tmp_path: Path, seed: int) -> None:
    train = write_run(tmp_path / "one")["train"]
    judge, items = left_out_of(tmp_path / "one")
    user = 5 * seed + 1
    rows = np.flatnonzero(train.user == user)
    splits = make_splits() | {"train": with_drawn_targets(train, rows, seed=seed)}
    assert splits["train"].target.tolist() != train.target.tolist()
    write_run(tmp_path / "other", splits=splits)
    _, again = left_out_of(tmp_path / "other", judge)
    assert again[rows].tolist() == items[rows].tolist()
    assert again.tolist() != items.tolist(), "nobody else noticed"


def test_lists_of_a_span_know_nothing_that_came_later(tmp_path: Path) -> None:
    splits = timed(make_splits())
    train = splits["train"]
    assert train.target_time is not None
    write_run(tmp_path / "one", splits=splits)
    judge, items = left_out_of(tmp_path / "one")
    spans = time_spans(train)
    cut = int(train.target_time[spans[4].rows].min())
    later = np.flatnonzero(train.target_time >= cut)
    splits["train"] = with_drawn_targets(train, later, seed=4)
    write_run(tmp_path / "other", splits=splits)
    _, again = left_out_of(tmp_path / "other", judge)
    before = np.concatenate([span.rows for span in spans[:5]])
    assert again[before].tolist() == items[before].tolist()
    assert again.tolist() != items.tolist()


def test_spans_hold_every_sample_once_in_order_of_time() -> None:
    train = timed(make_splits())["train"]
    assert train.target_time is not None
    spans = time_spans(train)
    assert sorted(np.concatenate([span.rows for span in spans]).tolist()) == list(range(len(train)))
    for span in spans:
        known = span.known(train, None)
        assert known.target_time is not None
        assert known.target_time.max(initial=0) < train.target_time[span.rows].min()


def test_parts_of_any_size_give_the_same_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    judge, items = left_out_of(tmp_path)
    monkeypatch.setattr(left_out, "ROWS_AT_ONCE", 9)
    assert left_out_of(tmp_path, judge)[1].tolist() == items.tolist()


def test_a_list_is_of_the_targets_domain(tmp_path: Path) -> None:
    train = write_run(tmp_path)["train"]
    _, items = left_out_of(tmp_path)
    assert ((items >= NUM_X) == (train.domain == 1)[:, None])[items != NO_ITEM].all()
    assert (items != NO_ITEM).all()


@pytest.mark.parametrize("has_times", [False, True])
def test_samples_that_are_drawn_have_the_lists_that_they_have_among_all(tmp_path: Path, has_times: bool) -> None:
    splits = timed(make_splits()) if has_times else make_splits()
    train = write_run(tmp_path, splits=splits)["train"]
    judge, items = left_out_of(tmp_path)
    export_left_out(judge, prepare(tmp_path, CONFIG, ALONE), tmp_path, depth=DEPTH, most=9, seed=3)
    folder = tmp_path / "graph" / "left_out"
    listed = np.load(folder / "samples.npy")
    assert listed.tolist() == train.sample[draw_rows(len(train), 9, seed=3)].tolist()
    assert np.load(folder / "items.npy").tolist() == items[train.row_of(listed)].tolist()
    assert len(load_asking(tmp_path, "train", has_lists=True)) == 9
    assert len(load_asking(tmp_path, "test", has_lists=True)) == len(splits["test"])
