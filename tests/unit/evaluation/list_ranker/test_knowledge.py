"""What test is ranked with never holds a test target."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.list_ranker.bank import fit_bank
from evaluation.list_ranker.blocks import follows_in_time
from evaluation.list_ranker.features import SALES_FACTS
from evaluation.list_ranker.knowledge import (
    Knowledge,
    Timeline,
    known_at_cut,
    known_to_test,
    read_timeline,
    sold_by_all,
)
from evaluation.matrices import DAY
from evaluation.ranked_lists import RankedLists, read_lists, write_lists
from evaluation.sales import moments
from evaluation.systems.baseline_table import BASELINE_TABLE, Material
from launch.artifacts import write_json
from launch.errors import InputError
from pairs.tables import SPLITS, Samples, Split, load_samples
from tests.evaluation_runs import make_items, make_samples, write_run
from tests.pair_files import write_pair
from tests.unit.evaluation.test_sales import events_of, timed_samples

HELD_OUT: tuple[Split, ...] = ("valid", "test")
KNOWLEDGE: tuple[Knowledge, ...] = ("train", "refit")
PARAMETERS = {
    name: {key: values[0] for key, values in baseline.grid.items()} for name, baseline in BASELINE_TABLE.items()
}


def parts_in_time() -> tuple[Samples, Samples, Samples]:
    samples = timed_samples(num_users=200)
    assert samples.target_time is not None
    part_N = np.searchsorted([30 * DAY, 45 * DAY], samples.target_time, side="left")
    train, valid, test = (samples.take(np.flatnonzero(part_N == part)) for part in range(3))
    return train, valid, test


def targets_of(samples: Samples) -> set[tuple[int, int, int]]:
    assert samples.target_time is not None
    return set(zip(samples.user.tolist(), samples.target.tolist(), samples.target_time.tolist(), strict=True))


def test_refit_in_time_knows_all_purchases_up_to_the_cut_and_none_after() -> None:
    train, valid, test = parts_in_time()
    timeline = read_timeline(train, valid, test, EvaluationConfig())
    assert (timeline.chronological, timeline.knowledge) == (True, "refit")
    cut = max(time for _, _, time in targets_of(valid))
    everything = events_of(train) | events_of(valid) | events_of(test)
    assert events_of(known_to_test(train, valid, test, timeline)) == {event for event in everything if event[2] <= cut}


@pytest.mark.parametrize("timed", [True, False])
def test_refit_asked_for_where_the_split_is_of_users_knows_no_test_target(timed: bool) -> None:
    train, valid, test = (
        dataclasses.replace(timed_samples(seed), user=timed_samples(seed).user + 100 * seed) for seed in range(3)
    )
    timeline = read_timeline(train, valid, test, EvaluationConfig(knowledge="refit"))
    assert (timeline.chronological, timeline.knowledge) == (False, "refit")
    if not timed:
        train, valid, test = (
            dataclasses.replace(part, history_time=None, target_time=None) for part in (train, valid, test)
        )
    known = known_to_test(train, valid, test, timeline)
    assert set(known.user.tolist()) == {*train.user.tolist(), *valid.user.tolist()}
    assert len(known) == len(train) + len(valid)


def test_splits_that_touch_in_one_second_are_not_of_time() -> None:
    train, valid, _ = parts_in_time()
    assert train.target_time is not None
    assert valid.target_time is not None
    touching = dataclasses.replace(valid, target_time=np.zeros_like(valid.target_time) + train.target_time.max())
    assert follows_in_time(valid, train)
    assert not follows_in_time(touching, train)


@pytest.mark.parametrize("with_one_domain", [False, True])
def test_rolling_counts_all_that_was_sold_strictly_before_each_question(with_one_domain: bool) -> None:
    train, valid, test = parts_in_time()
    timeline = read_timeline(train, valid, test, EvaluationConfig(knowledge="rolling"))
    assert timeline.makes_graphs_anew
    assert events_of(known_to_test(train, valid, test, timeline)) == events_of(known_at_cut(train, valid, test))
    others = timed_samples(seed=5) if with_one_domain else None
    sold = sold_by_all(train, valid, test, timeline, others)
    assert sold is not None
    items = make_items(3, 6)
    material = Material(known_to_test(train, valid, test, timeline), items, 100, 1, sold=sold)
    assert material.sales is not None
    at_N = moments(test, material.sales)
    assert test.target_time is not None
    assert at_N.tolist() == test.target_time.tolist()
    everything = events_of(train) | events_of(valid) | events_of(test) | (events_of(others) if others else set())
    for item in range(6):
        expected = [sum(one == item and time < at for _, one, time in everything) for at in at_N.tolist()]
        assert material.sales.before(np.full(len(test), item), at_N).tolist() == expected


def test_rolling_without_times_is_refused_with_the_cure() -> None:
    parts = [dataclasses.replace(part, history_time=None, target_time=None) for part in parts_in_time()]
    with pytest.raises(InputError, match="rolling needs a pair with times, this one has none; set it to auto"):
        read_timeline(parts[0], parts[1], parts[2], EvaluationConfig(knowledge="rolling"))


@pytest.mark.parametrize("knowledge", ["train", "refit", "rolling"])
def test_a_timed_pairs_report_has_a_table_of_each_protocol(tmp_path: Path, knowledge: Knowledge) -> None:
    write_timed_run(tmp_path)
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20, knowledge=knowledge)
    metrics = evaluate(config, run_dir=tmp_path, seed=1)
    protocols = metrics["protocols"]
    assert list(protocols) == ["train", "refit", "rolling"]
    assert [name for name, table in protocols.items() if table["own"]] == [knowledge]
    ages = [table["age_days"] for table in protocols.values()]
    assert ages[0] > ages[1] > ages[2] == 0
    own = {name: slices["all"] for name, slices in metrics["splits"]["test"]["systems"].items()}
    assert {name: slices["all"] for name, slices in protocols[knowledge]["systems"].items()} == own
    of_recent = {name: table["systems"]["recent"]["all"]["mrr"] for name, table in protocols.items()}
    assert len(set(of_recent.values())) == 3
    assert f"{knowledge}: " in (tmp_path / "report" / "report.md").read_text()


def test_without_the_clock_no_time_of_a_sale_is_told_and_the_protocols_stay(tmp_path: Path) -> None:
    write_timed_run(tmp_path)
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20, clock=False)
    metrics = evaluate(config, run_dir=tmp_path, seed=1)
    assert metrics["chosen"]["chronological"]
    assert metrics["chosen"]["knowledge"] == "refit"
    assert list(metrics["protocols"]) == ["train", "refit", "rolling"]
    assert "recent" not in metrics["splits"]["test"]["systems"]
    train, items = parts_in_time()[0], make_items(3, 6)
    told, untold = (
        fit_bank(train, items, PARAMETERS, ridge_max_users=100, seed=1, clock=clock) for clock in (True, False)
    )
    recent = {f"{name} {what}" for name in ("recent", "recent_cosine") for what in ("score", "share", "place")}
    halves = {f"recent_cosine of the {half} domain" for half in ("same", "other")}
    assert set(told.names) - set(untold.names) == {*SALES_FACTS, *recent, *halves}
    assert set(untold.names) < set(told.names)


def test_each_protocols_table_is_the_one_of_a_report_under_it(tmp_path: Path) -> None:
    write_timed_run(tmp_path)
    settings = (EvaluationConfig(bootstrap_resamples=100, list_depth=20, knowledge=one) for one in KNOWLEDGE)
    train, refit = (evaluate(config, run_dir=tmp_path, seed=1)["protocols"] for config in settings)
    for knowledge in ("train", "refit", "rolling"):
        assert train[knowledge]["systems"]["recent"] == refit[knowledge]["systems"]["recent"]


def test_judging_fewer_samples_changes_nothing_of_what_is_known(tmp_path: Path) -> None:
    write_timed_run(tmp_path)
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20)
    whole, few = (
        evaluate(dataclasses.replace(config, max_samples=most), run_dir=tmp_path, seed=1) for most in (None, 10)
    )
    assert few["splits"]["test"]["num_samples"] <= 10 < whole["splits"]["test"]["num_samples"]
    assert few["chosen"]["chronological"]
    ages = [{name: table["age_days"] for name, table in one["protocols"].items()} for one in (whole, few)]
    assert ages[0] == ages[1]
    judged = read_lists(tmp_path / "lists" / "popularity_test.parquet").sample
    here, there = (one["splits"]["test"]["systems"]["popularity"]["all"]["mrr"] for one in (whole, few))
    assert len(judged) == few["splits"]["test"]["num_samples"]
    assert here != there


def test_without_the_graphs_lists_for_it_a_protocol_has_no_table(tmp_path: Path) -> None:
    write_timed_run(tmp_path)
    for split in HELD_OUT:
        samples = load_samples(tmp_path, split)
        items = np.tile(np.arange(3), (len(samples), 1))
        scores = np.tile(np.array([3, 2, 1], dtype=np.float32), (len(samples), 1))
        write_lists(tmp_path / "lists" / f"graph_{split}.parquet", RankedLists(samples.sample, items, scores))
    config = EvaluationConfig(bootstrap_resamples=100, list_depth=20, knowledge="train")
    assert list(evaluate(config, run_dir=tmp_path, seed=1)["protocols"]) == ["train"]


def write_timed_run(run_dir: Path, *, change_test: Callable[[Samples], Samples] = lambda test: test) -> None:
    """A run whose splits are spans of time, without lists of other stages."""
    write_run(run_dir, systems=())
    items = pl.read_parquet(run_dir / "pair" / "items.parquet").drop("train_count")
    users = pl.DataFrame({"user": range(200), "source_id": [f"U{user}" for user in range(200)]})
    shutil.rmtree(run_dir / "pair")
    train, valid, test = parts_in_time()
    parts = (train, valid, change_test(test))
    firsts = np.cumsum([0, *map(len, parts)]).tolist()
    splits: dict[Split, Samples] = {
        split: dataclasses.replace(part, sample=np.arange(first, first + len(part)))
        for split, part, first in zip(SPLITS, parts, firsts[:-1], strict=True)
    }
    write_pair(run_dir / "pair", items=items, users=users, samples=splits)
    write_json(run_dir / "pair" / "card.json", {"pair": "timed", "domains": ["x", "y"], "order": "chronological"})


@pytest.mark.parametrize(("samples", "least", "deciding"), [(80, 100, 80), (80, 60, 60), (80, 8, 20)])
def test_the_last_quarter_decides_unless_it_is_small(
    monkeypatch: pytest.MonkeyPatch, samples: int, least: int, deciding: int
) -> None:
    monkeypatch.setattr("evaluation.list_ranker.knowledge.LEAST_DECIDING", least)
    valid = make_samples([(user, 0, [1], 2) for user in range(samples)])
    valid = dataclasses.replace(valid, history_time=np.zeros(samples, np.int64), target_time=np.arange(samples))
    chosen = Timeline(True, "refit").selected_on(valid)
    assert len(chosen) == pytest.approx(deciding, abs=1)
    assert chosen.sample.max() == samples - 1
    assert Timeline(False, "train").selected_on(valid) is valid
