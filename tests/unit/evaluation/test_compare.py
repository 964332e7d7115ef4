"""Runs side by side: paired differences, what seeds have in common, and the table on disk."""

import dataclasses
from pathlib import Path

import pytest

from evaluation.compare import Compared, as_json, compare, main, over_seeds, render
from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.judged_run import JudgedRun, read_run
from launch.artifacts import read_json
from launch.errors import InputError
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
