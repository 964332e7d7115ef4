"""`kinrec submit` without a SLURM: it shows all, writes nothing, and says in one line what is wrong."""

from pathlib import Path

import pytest

from launch.errors import InputError
from launch.slurm.command import main
from tests.end_to_end.runs import TINY


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KINREC_SITE", raising=False)


def test_a_dry_run_shows_all_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    assert main([str(TINY), f"--run_dir={run_dir}", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n#!/bin/bash\n") == 7
    assert f"$ sbatch --parsable --dependency=afterok:JOB_OF_generate {run_dir}/slurm/evaluate.sbatch\n" in shown
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_one_array_a_stage_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main([str(TINY), f"--run_dir={tmp_path / 'run'}", "--dry-run", "--sweep=llm.lr=1e-3,2e-3", "--seeds=1,2"]) == 0
    )
    shown = capsys.readouterr().out
    root = tmp_path / "run-sweep"
    assert f"$ sbatch --parsable --array=0,1,2,3 {root}/slurm/prepare.sbatch\n" in shown
    assert f"--array=0,1,2,3 --dependency=aftercorr:JOB_OF_prepare {root}/slurm/pretrain.sbatch\n" in shown
    assert f"$ sbatch --parsable --dependency=afterany:JOB_OF_evaluate {root}/slurm/compare.sbatch\n" in shown
    assert f"    {root}/lr-2e-3_seed-1\n" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no SLURM here"),
        (["--from=train"], "no such stage"),
        (["--from=retrieve", "--dry-run"], "prepare has not finished"),
        (["--seeds=1,2", "--seed=3", "--dry-run"], "swept as well"),
        (["--slurm.site=nowhere.yaml", "--dry-run"], "slurm.site=nowhere.yaml: no such file"),
        (["--prompts.base=/no/such/model", "--dry-run"], "/no/such/model"),
        (["--seeds=1,x", "--dry-run"], "seed must be a whole number"),
    ],
)
def test_what_cannot_be_submitted_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        main([str(TINY), f"--run_dir={tmp_path / 'run'}", *words])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not the folder of a run"):
        main([str(TINY), f"--run_dir={tmp_path / 'run'}", "--dry-run"])
    (tmp_path / "begun" / "slurm").mkdir(parents=True)  # by a submission that got no further
    assert main([str(TINY), f"--run_dir={tmp_path / 'begun'}", "--dry-run"]) == 0
    with pytest.raises(InputError, match="cannot be given to sbatch"):
        main([str(TINY), f"--run_dir={tmp_path / '100%'}", "--dry-run"])
