"""A run ranked by candidates stands where the run of all items stands, and what was not named is not ranked."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.metrics.intervals import MOST_UNITS, bootstrap_means, interval
from evaluation.ranked_lists import NO_ITEM, read_lists
from evaluation.systems.tuning import random_users
from pairs.tables import load_samples
from tests.evaluation_runs import write_run

ALL = EvaluationConfig(bootstrap_resamples=100, list_depth=20, ranker_depth=20, candidates="all")
NAMED = replace(ALL, candidates="named", candidate_depth=60)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    told = {}
    for name, config in (("all", ALL), ("named", NAMED)):
        folder = tmp_path_factory.mktemp(name) / "run"
        write_run(folder)
        evaluate(config, run_dir=folder, seed=1)
        told[name] = {"folder": folder, **json.loads((folder / "report" / "metrics.json").read_text())}
    return told


def test_choices_and_hit_rates_are_those_of_all_items(metrics: dict[str, dict[str, Any]]) -> None:
    whole, named = metrics["all"], metrics["named"]
    for choice in ("baselines", "baseline_fusion", "fusion"):
        assert named["chosen"][choice] == whole["chosen"][choice]
    for split in ("valid", "test"):
        for system, slices in whole["splits"][split]["systems"].items():
            of_named = named["splits"][split]["systems"][system]["all"]
            for name in ("hr@1", "hr@5", "hr@10", "ndcg@10"):
                assert of_named[name] == pytest.approx(slices["all"][name], abs=1e-9), (split, system, name)


def test_the_final_lists_are_those_of_all_items(metrics: dict[str, dict[str, Any]]) -> None:
    whole, named = (
        read_lists(metrics[name]["folder"] / "lists" / "kinrec_test.parquet").items[:, :10] for name in ("all", "named")
    )
    assert np.array_equal(whole, named)


def test_threads_that_share_the_baselines_find_what_one_finds(tmp_path: Path) -> None:
    told, before = [], torch.get_num_threads()
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        write_run(folder)
        torch.set_num_threads(threads)
        try:
            evaluate(NAMED, run_dir=folder, seed=1)
        finally:
            torch.set_num_threads(before)
        metrics = json.loads((folder / "report" / "metrics.json").read_text())
        lists = {path.name: path.read_bytes() for path in sorted((folder / "lists").iterdir())}
        told.append((metrics["chosen"], metrics["splits"], lists))
    assert told[0] == told[1]


def test_a_short_pool_ranks_nobody_below_its_depth(tmp_path: Path) -> None:
    write_run(tmp_path)
    config = replace(NAMED, candidate_depth=21)
    evaluate(config, run_dir=tmp_path, seed=1)
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    popularity = metrics["splits"]["test"]["systems"]["popularity"]["all"]
    assert popularity["mrr@20"] <= popularity["mrr"] <= popularity["mrr@20"] + 1 / 21
    history = load_samples(tmp_path, "test")
    lists = read_lists(tmp_path / "lists" / "kinrec_test.parquet").of_samples(history.sample)
    for row in range(len(history)):
        listed = set(lists.items[row].tolist()) - {NO_ITEM}
        assert not listed & set(history.history_of(row).tolist())


def test_a_part_of_the_users_is_drawn_whole(tmp_path: Path) -> None:
    write_run(tmp_path)
    valid = load_samples(tmp_path, "valid")
    few = random_users(valid, 7, seed=3)
    assert len(np.unique(few.user)) == 7
    assert len(few) == 14, "each has two samples"
    assert random_users(valid, 7, seed=3).sample.tolist() == few.sample.tolist()
    assert random_users(valid, 7, seed=4).sample.tolist() != few.sample.tolist()
    assert random_users(valid, 25, seed=3) is valid


def test_groups_of_many_users_give_the_interval_of_single_ones() -> None:
    random = np.random.default_rng(1)
    users = np.repeat(np.arange(2 * MOST_UNITS), 2)
    values = (random.random((len(users), 1)) < 0.2).astype(np.float64)
    low, high = interval(bootstrap_means(values, users, resamples=200, seed=1))[:, 0]
    error = np.sqrt(0.2 * 0.8 / len(users))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert low < values.mean() < high
