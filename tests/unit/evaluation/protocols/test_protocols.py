"""Warm targets are those that a slow look finds in what is known; the report has warm and cold side by side."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.chosen import Inputs
from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.list_ranker.knowledge import PROTOCOLS, Knowledge, Timeline
from evaluation.matrices import DAY
from evaluation.protocols.side_by_side import target_slices
from pairs.tables import Pair, Samples
from tests.evaluation_runs import make_items, make_samples
from tests.report_cards import make_card, make_metrics, write_report
from tests.unit.evaluation.list_ranker.test_knowledge import parts_in_time, write_timed_run
from tests.unit.evaluation.test_sales import events_of

NEW, NUM_ITEMS = 20, 30
"""Items from `NEW` on are in no history."""
CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20)


def with_new_targets(test: Samples) -> Samples:
    """Every third target is one of a few items that nobody had before, some of them twice."""
    target = test.target.copy()
    target[::3] = NEW + np.arange(len(target[::3])) // 2
    return dataclasses.replace(test, target=np.minimum(target, NUM_ITEMS - 1))


def inputs_of(train: Samples, valid: Samples, test: Samples, others: Samples | None = None) -> Inputs:
    pair = Pair("timed", ("x", "y"), make_items(NUM_ITEMS, NUM_ITEMS))
    held_out = {"valid": valid, "test": test}
    return Inputs(
        run_dir=Path(),
        pair=pair,
        systems=[],
        train=train,
        others=others,
        held_out=held_out,  # type: ignore[arg-type]  # the keys are splits
        judged=held_out,  # type: ignore[arg-type]
        config=CONFIG,
        seed=1,
    )


@pytest.mark.parametrize("knowledge", PROTOCOLS)
def test_warm_targets_are_those_that_a_slow_look_finds(knowledge: Knowledge) -> None:
    train, valid, test = parts_in_time()
    test = with_new_targets(test)
    slices = target_slices(inputs_of(train, valid, test), test, Timeline(True, knowledge))
    assert test.target_time is not None
    cut = max(time for _, _, time in events_of(train) | events_of(valid))
    everything = events_of(train) | events_of(valid) | events_of(test)
    for row, (target, at) in enumerate(zip(test.target.tolist(), test.target_time.tolist(), strict=True)):
        known = {
            "train": {item for _, item, _ in events_of(train)},
            "refit": {item for _, item, time in everything if time <= cut},
            "rolling": {item for _, item, time in everything if time < at},
        }[knowledge]
        assert slices["warm_target"][row] == (target in known)
        assert slices["cold_target"][row] == (target not in known)
    assert slices["all"].all()
    assert slices["cold_target"].any()
    assert slices["warm_target"].any()


def test_the_second_who_buys_a_new_item_is_warm_where_sales_are_counted_as_they_come_in() -> None:
    train, valid, test = parts_in_time()
    pair = test.take(np.array([0, 1]))
    pair = dataclasses.replace(pair, target=np.array([NEW, NEW]), target_time=np.array([58 * DAY, 59 * DAY]))
    warm = {
        knowledge: target_slices(inputs_of(train, valid, pair), pair, Timeline(True, knowledge))["warm_target"].tolist()
        for knowledge in PROTOCOLS
    }
    assert warm == {"train": [False, False], "refit": [False, False], "rolling": [False, True]}


def test_what_users_of_one_domain_bought_is_known() -> None:
    train, valid, test = parts_in_time()
    others = make_samples([(900, 0, [NEW], NEW + 1)], first=900)
    others = dataclasses.replace(others, history_time=np.array([DAY]), target_time=np.array([2 * DAY]))
    asked = dataclasses.replace(test, target=np.full(len(test), NEW + 1))
    for known, warm in ((None, False), (others, True)):
        slices = target_slices(inputs_of(train, valid, asked, known), asked, Timeline(True, "train"))
        assert slices["warm_target"].tolist() == [warm] * len(test)


def test_figures_of_both_kinds_are_the_means_over_their_targets(tmp_path: Path) -> None:
    write_timed_run(tmp_path, change_test=with_new_targets)
    metrics = evaluate(CONFIG, run_dir=tmp_path, seed=1)
    for table in metrics["protocols"].values():
        slices = table["slices"]
        assert slices["warm_target"] + slices["cold_target"] == slices["all"]
        assert slices["cold_target"] > 0
        for system in table["systems"].values():
            for metric in ("hr@10", "mrr"):
                parts = sum(system[label][metric] * slices[label] for label in ("warm_target", "cold_target"))
                assert parts / slices["all"] == pytest.approx(system["all"][metric], abs=1e-5)
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["protocols"] == metrics["protocols"]
    report = (tmp_path / "report" / "report.md").read_text().split("## Other knowledge\n")[1].split("## Out of")[0]
    assert report.count("| system | warm hr@10 | warm mrr | cold hr@10 | cold mrr |") == 3
    own = metrics["protocols"]["refit"]
    popular = own["systems"]["popularity"]
    numbers = [popular[label][metric] for label in ("warm_target", "cold_target") for metric in ("hr@10", "mrr")]
    assert f"| popularity | {' | '.join(f'{number:.4f}' for number in numbers)} |" in report
    counts = own["slices"]
    assert f"Of {counts['all']} targets {counts['warm_target']} are warm, {counts['cold_target']} cold:" in report


@pytest.mark.parametrize(("kind", "other"), [("warm", "cold"), ("cold", "warm")])
def test_targets_of_one_kind_alone_are_said_in_a_line(tmp_path: Path, kind: str, other: str) -> None:
    system = make_metrics()["splits"]["test"]["systems"]["popularity"]["all"]
    table = {
        "own": True,
        "age_days": 3.5,
        "slices": {"all": 2, f"{kind}_target": 2, f"{other}_target": 0},
        "systems": {"popularity": {"all": system, f"{kind}_target": system}},
    }
    for told in write_report(make_card(), tmp_path, {**make_metrics(), "protocols": {"refit": table}}):
        assert f"All 2 targets are {kind}." in told
        assert "hr@10" in told
        assert f"{kind} hr@10" not in told
