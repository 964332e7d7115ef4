"""Runs side by side: paired differences, what seeds have in common, and the table on disk."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from evaluation.compare import Compared, as_json, compare, compare_systems, main, over_seeds, render
from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.judged_run import JudgedRun, read_run
from launch.artifacts import read_json
from launch.errors import InputError
from launch.systems import BASELINES
from tests.evaluation_runs import write_run

CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged(tmp_path_factory.mktemp("judged"), seed=1)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged(tmp_path_factory.mktemp("copy"), seed=1)


def judged(folder: Path, *, seed: int) -> Path:
    write_run(folder, seed=seed)
    evaluate(CONFIG, run_dir=folder, seed=1)
    return folder


def test_a_run_compared_with_its_copy_shows_no_difference(run_dir: Path, copy: Path) -> None:
    table = render(compare([run_dir, copy], system="kinrec", split="test", resamples=100))
    assert "difference to" in table
    assert table.count("+0.0000 to +0.0000") == 3


def test_runs_of_other_pairs_are_compared_without_pairing(run_dir: Path, tmp_path: Path) -> None:
    judged(tmp_path, seed=9)
    table = render(compare([run_dir, tmp_path], system="ridge", split="valid", resamples=100))
    assert "no paired difference, the prepared pairs differ" in table
    with pytest.raises(InputError, match="no system 'nope'; its report has popularity"):
        compare([run_dir, tmp_path], system="nope", split="valid")


def test_a_run_that_has_not_finished_is_refused_or_left_out_by_name(run_dir: Path, copy: Path, tmp_path: Path) -> None:
    runs = [run_dir, tmp_path / "stopped", copy]
    with pytest.raises(InputError, match="stopped"):
        compare(runs, system="kinrec", split="test")
    compared = compare(runs, system="kinrec", split="test", resamples=100, finished_only=True)
    assert list(compared.left_out) == [str(tmp_path / "stopped")]
    assert [run.name for run in compared.runs] == [str(run_dir), str(copy)]
    with pytest.raises(InputError, match="none of the 1 runs has finished"):
        compare(runs[1:2], system="kinrec", split="test", finished_only=True)


def test_the_table_is_saved_and_what_is_missing_ends_with_1(run_dir: Path, copy: Path, tmp_path: Path) -> None:
    words = [f"--save={tmp_path}", "--resamples=100", str(run_dir), str(copy)]
    main(words)
    kept = read_json(tmp_path / "compare.json")
    assert [run["run"] for run in kept["runs"]] == [str(run_dir), str(copy)]
    assert kept["differences"][str(copy)]["hr@10"] == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0}
    assert kept["runs"][0]["metrics"]["ci95"]["hr@10"][0] <= kept["runs"][0]["metrics"]["hr@10"]
    with pytest.raises(SystemExit) as ended:
        main(["--finished", *words, str(tmp_path / "stopped")])
    assert ended.value.code == 1
    assert str(tmp_path / "stopped") in (tmp_path / "compare.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [("metrics.json", "{"), ("metrics.json", "{}"), ("metrics.json", "[]"), ("ranks_test.parquet", "x")],
)
def test_a_report_that_is_none_is_refused_in_one_line(run_dir: Path, tmp_path: Path, name: str, text: str) -> None:
    shutil.copytree(run_dir, tmp_path / "foreign")
    (tmp_path / "foreign" / "report" / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="report: no report of this version"):
        compare([run_dir, tmp_path / "foreign"], system="kinrec", split="test")


@pytest.mark.parametrize("resamples", [99, 10**11])
def test_draws_that_no_interval_can_be_made_of_are_refused(run_dir: Path, resamples: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--resamples={resamples}", str(run_dir), str(run_dir)])
    assert ended.value.code == 2


def test_seeds_are_summed_up_with_their_standard_deviation(run_dir: Path) -> None:
    run = read_run(run_dir, system="kinrec", split="test")

    def seeded(seed: int | None, hr: float, recipe: str = "one") -> JudgedRun:
        return dataclasses.replace(
            run, name=f"{recipe}-{seed}", recipe=recipe, seed=seed, numbers={**run.numbers, "hr@10": hr}
        )

    runs = [seeded(1, 0.1), seeded(2, 0.2), seeded(3, 0.6), seeded(1, 0.9, "other"), seeded(None, 0.5)]
    [(group, figures)] = over_seeds(runs)
    assert [member.seed for member in group] == [1, 2, 3]
    assert figures["hr@10"] == pytest.approx((0.3, 0.2645751311))
    compared = Compared(system="kinrec", split="test", runs=runs, differences={}, unpaired={})
    assert "0.3000 +- 0.2646" in render(compared)
    assert as_json(compared)["over_seeds"][0]["hr@10"]["mean"] == pytest.approx(0.3)


def test_systems_of_one_run_are_compared_as_the_report_does(run_dir: Path) -> None:
    compared = compare_systems(run_dir, ["graph", "kinrec"], split="test", resamples=100)
    apart = compared.differences["kinrec"]["hr@10"]
    reported = read_json(run_dir / "report" / "metrics.json")["splits"]["test"]["paired"]["kinrec - graph"]["hr@10"]
    assert apart.mean == pytest.approx(reported["difference"], abs=1e-6)
    table = render(compared)
    assert table.startswith(f"{run_dir}, test\n")
    assert "difference to graph" in table


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--systems=graph"], "at least two different systems, got graph"),
        (["--systems=graph,graph"], "at least two different systems"),
        (["--systems=graph,nobody"], "no system 'nobody'; its report has popularity"),
        (["--systems=graph,llm", "--system=kinrec"], "compares systems of one run"),
        ([], "at least two runs, or --systems"),
    ],
)
def test_a_wrong_choice_of_systems_is_refused_in_one_line(
    run_dir: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(run_dir), *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1


def test_every_system_is_compared_with_the_best_baseline(run_dir: Path) -> None:
    metrics = read_json(run_dir / "report" / "metrics.json")
    best = metrics["chosen"]["best_baseline"]
    valid = metrics["splits"]["valid"]["systems"]
    others = [valid[name]["all"]["hr@10"] for name in (*BASELINES, "baseline_fusion") if name in valid]
    assert valid[best]["all"]["hr@10"] == max(others)
    for split in ("valid", "test"):
        paired = metrics["splits"][split]["paired"]
        assert {f"{name} - {best}" for name in ("graph", "llm", "fusion", "kinrec") if name != best} <= set(paired)
