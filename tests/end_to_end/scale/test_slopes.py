"""Stages grow no faster than their samples: bench.scale at two small sizes, in CPU time, with room for noise."""

import json
from pathlib import Path

import pytest

from bench.scale import main, slope, slopes, to_json
from bench.scaling.runs import STEP, Cost, SizedRun, run_size
from bench.scaling.target import ASSUMPTIONS, estimates, render_target
from launch.plan.counts import PairSizes

SMALL, LARGE = 500, 1500
STAGES = ("prepare", "pretrain", "retrieve", "evaluate")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[SizedRun]:
    folder = tmp_path_factory.mktemp("scale")
    return [
        run_size(users, items=users // 4, folder=folder, names=STAGES, minutes=10, train_lists=None, say=print)
        for users in (SMALL, LARGE)
    ]


def sized(users: int, seconds: float) -> SizedRun:
    sizes = PairSizes(users, users // 4, 18 * users, 2 * users, users, "told")
    return SizedRun(users, sizes, {"retrieve": Cost(seconds, seconds, 1.0, 1.0, 0, 3 * users)}, None)


@pytest.mark.slow
def test_a_sample_costs_little_more_in_a_larger_catalogue(runs: list[SizedRun]) -> None:
    assert all(run.stopped is None for run in runs), [run.stopped for run in runs]
    assert runs[1].sizes.items > 2 * runs[0].sizes.items
    told = {name: values["catalogue"] for name, values in slopes(runs).items()}
    assert told[STEP] < 1.0, told
    assert told["retrieve"] < 0.6, told
    assert told["evaluate"] < 0.4, told


@pytest.mark.slow
def test_what_was_measured_is_plain_json(runs: list[SizedRun]) -> None:
    told = json.loads(json.dumps(to_json(runs)))
    assert [run["users"] for run in told["runs"]] == [SMALL, LARGE]
    for stage in STAGES:
        cost = told["runs"][0]["stages"][stage]
        assert cost["cpu_seconds"] > 0.5
        assert 0.05 < cost["peak_gib"] < 4
        assert cost["written"] > 0


def test_slopes_are_those_of_powers() -> None:
    assert slope(10, 1000, 3.0, 300.0) == pytest.approx(1.0)
    told = slopes([sized(1000, 5.0), sized(4000, 80.0)])["retrieve"]  # seconds as users squared
    assert told["users"] == pytest.approx(2.0)
    assert told["catalogue"] == pytest.approx(1.0)  # per sample
    assert told["memory"] == pytest.approx(0.0)


def test_the_target_is_the_same_power_further_on_and_shared_out() -> None:
    runs = [sized(1000, 5.0), sized(4000, 80.0)]  # seconds as users squared
    (one,) = estimates(runs, users=40_000, ranks=8)
    assert (one.stage, one.ranks) == ("retrieve", 8)
    assert one.hours == pytest.approx(80.0 * 100 / 8 / 3600)
    assert one.slope == pytest.approx(2.0)
    assert one.peak_gib == pytest.approx(1.0)
    assert estimates(runs[1:], users=40_000, ranks=8) == []
    assert all(assumption in render_target([one], users=40_000) for assumption in ASSUMPTIONS)


def test_pretrain_at_the_target_is_a_whole_epoch_of_steps() -> None:
    runs = []
    for users in (1000, 4000):
        sizes = PairSizes(users, users // 4, 18 * users, 64 * users, users, "told")  # a step a user
        costs = {"pretrain": Cost(9.0, 9.0, 1.0, 1.0, 0, users), STEP: Cost(0.5, 0.5, 1.0, 1.0, 0, 64)}
        runs.append(SizedRun(users, sizes, costs, None))
    (one,) = estimates(runs, users=4000, ranks=1)
    assert one.hours == pytest.approx((9.0 + 0.5 * 4000) / 3600)


def test_a_stage_that_fails_is_named_and_ends_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--users", "600", "--stages", "retrieve", "--folder", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["runs"][0]["stages"] == {}
    assert told["runs"][0]["stopped"].startswith("retrieve: exit status 2")
