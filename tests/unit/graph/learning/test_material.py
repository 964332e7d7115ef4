"""On a split of time the last part of train teaches, asked with what was known before it; elsewhere all of train."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.list_ranker.knowledge import age_before_test
from graph.config import GraphConfig
from graph.learning.material import LATEST_SHARE, LearningMaterial, learning_material, passes_of, with_passes
from graph.load import Prepared, prepare
from pairs.tables import Samples
from tests.graph_runs import ALONE, ATTENTION, make_splits, timed, tiny, write_run


def made(run_dir: Path, config: GraphConfig) -> tuple[Prepared, LearningMaterial]:
    prepared = prepare(run_dir, config, ALONE)
    return prepared, learning_material(prepared, run_dir, ALONE, seed=1)


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.learning.material.LEAST_SAMPLES", 5)


def latest(train: Samples) -> "np.typing.NDArray[np.bool_]":
    assert train.target_time is not None
    return np.asarray(train.target_time > np.quantile(train.target_time, 1 - LATEST_SHARE, method="lower"))


def test_the_last_part_teaches_and_its_graphs_end_where_it_begins(tmp_path: Path) -> None:
    splits = timed(make_splits())
    train = splits["train"]
    write_run(tmp_path / "one", splits=splits)
    prepared, material = made(tmp_path / "one", tiny())
    assert material.samples.sample.tolist() == train.sample[latest(train)].tolist()
    assert material.graphs.votes is prepared.graphs.votes
    assert material.passes == 5, "the most"
    longer = with_passes(tiny(epochs=3), material.passes).schedule
    assert (longer.epochs, longer.patience) == (15, 10)
    other_targets = train.target.copy()
    other_targets[latest(train)] = np.roll(other_targets[latest(train)], 1)
    same_domain = (other_targets < 14) == (train.target < 14)
    other_targets[~same_domain] = train.target[~same_domain]
    assert (other_targets != train.target).any()
    splits["train"] = dataclasses.replace(train, target=other_targets)
    write_run(tmp_path / "other", splits=splits)
    prepared_again, again = made(tmp_path / "other", tiny())
    for graphs, told in ((material.graphs, again.graphs), (prepared.graphs, prepared_again.graphs)):
        assert graphs.evidence is not None
        assert told.evidence is not None
        same = all(
            torch.equal(one.num_users, other.num_users)
            for one, other in zip(graphs.evidence, told.evidence, strict=True)
        )
        assert same == (graphs is material.graphs), "what came later is in the graphs of all of train alone"


def test_clocks_end_where_the_samples_begin(tmp_path: Path) -> None:
    train = write_run(tmp_path, times=True)["train"]
    assert train.target_time is not None
    _, material = made(tmp_path, tiny())
    assert material.graphs.evidence is not None
    clock = material.graphs.evidence[0].clock
    assert clock is not None
    assert clock.end <= train.target_time[latest(train)].min()


@pytest.mark.parametrize("why", ["attention", "too few"])
def test_else_all_of_train_teaches_and_asks_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "too few":
        monkeypatch.setattr("graph.learning.material.LEAST_SAMPLES", 500)
    splits = write_run(tmp_path, times=True)
    prepared, material = made(tmp_path, tiny("best", **(ATTENTION if why == "attention" else {})))
    assert material.graphs is prepared.graphs
    assert material.samples.sample.tolist() == prepared.train.sample.tolist()
    assert material.samples.target_time is not None
    assert prepared.train.target_time is not None
    age = prepared.train.target_time - material.samples.target_time
    assert 0 <= age.min() < age.max() <= age_before_test(splits["train"], splits["valid"])


def test_without_times_nothing_changes(tmp_path: Path) -> None:
    write_run(tmp_path)
    prepared, material = made(tmp_path, tiny())
    assert material.samples is prepared.train
    assert material.graphs is prepared.graphs


def test_without_evidence_nothing_changes(tmp_path: Path) -> None:
    write_run(tmp_path, times=True)
    prepared, material = made(tmp_path, tiny(evidence=False, fused_weight=0.0))
    assert material.samples is prepared.train


@pytest.mark.parametrize(("samples", "passes"), [(700, 5), (1300, 3), (2702, 2), (3200, 1), (10**6, 1), (30, 5)])
def test_a_short_part_is_passed_over_more_than_once(samples: int, passes: int) -> None:
    assert passes_of(samples, tiny("best", global_batch=64)) == passes
