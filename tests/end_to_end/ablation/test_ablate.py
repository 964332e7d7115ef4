"""`kinrec ablate` beside a tiny run: killed in the middle, started again, started once more."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from launch.ablation.command import told_of
from launch.ablation.planning import plan_ablation
from launch.stages import STAGES
from tests.end_to_end.runs import TINY, kill_during, kinrec

PARTS = ("evidence_floor", "time")
QUICK = ("--launch.processes=1", "--evaluation.ranker_samples=0", "--evaluation.bootstrap_resamples=100")


def words_for(run_dir: Path, *more: str) -> list[str]:
    return ["ablate", str(TINY), f"--run_dir={run_dir}", f"--parts={','.join(PARTS)}", *QUICK, *more]


def finished(run_dir: Path, *more: str) -> set[str]:
    """The runs that a table of the recipe with these words would be made from."""
    ablation = plan_ablation(str(TINY), [*QUICK, *more], run_dir, parts=",".join(PARTS), seeds=None)
    told = told_of(ablation, {})
    return {name for runs in (told["references"], *(part["runs"] for part in told["parts"])) for name in runs.values()}


def manifest(run_dir: Path, stage: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((run_dir / "manifests" / f"{stage}.json").read_text(encoding="utf-8"))
    return told


@pytest.mark.slow
def test_a_killed_ablation_goes_on_and_a_finished_one_only_shows_its_table(tiny_run: Path, tmp_path: Path) -> None:
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    folder = run_dir / "ablate"
    reference, without_floor, without_time = (folder / name for name in ("reference", *PARTS))
    kill_during("evaluate", *words_for(run_dir), wait_for="logs/evaluate.log", run_dir=without_time)
    made = {run: (run / "manifests" / "evaluate.json").stat().st_mtime_ns for run in (reference, without_floor)}
    assert "time: not finished yet, seed 1" in (folder / "ablation.txt").read_text(encoding="utf-8")

    ended = kinrec(*words_for(run_dir))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "[2/3] evidence_floor: still holds, skipped" in ended.stderr
    assert {run: (run / "manifests" / "evaluate.json").stat().st_mtime_ns for run in made} == made
    for run in (without_floor, without_time):
        assert {stage.name for stage in STAGES if (run / "manifests" / f"{stage.name}.json").is_file()} == {
            "prepare", "pretrain", "evaluate",
        }  # fmt: skip
        assert (run / "pair" / "items.parquet").samefile(reference / "pair" / "items.parquet")
    assert (reference / "graph" / "model.safetensors").samefile(run_dir / "graph" / "model.safetensors")
    assert manifest(reference, "evaluate")["inputs"]["generate"] == "absent", "the run's has the language model's lists"
    told_graph = [manifest(run, "pretrain")["config"]["model"]["evidence_floor"] for run in (reference, without_floor)]
    assert told_graph == [True, False]
    model = reference / "graph" / "model.safetensors"
    assert (without_time / "graph" / "model.safetensors").samefile(model), "not trained twice"
    assert manifest(without_time, "evaluate")["config"]["clock"] is False
    table = json.loads((folder / "ablation.json").read_text(encoding="utf-8"))
    for split in ("valid", "test"):
        for system in ("graph", "kinrec"):
            parts = table["splits"][split][system]["parts"]
            for part, run in zip(PARTS, (without_floor, without_time), strict=True):
                reports = [json.loads((one / "report" / "metrics.json").read_text()) for one in (reference, run)]
                figures = [report["splits"][split]["systems"][system]["all"]["mrr"] for report in reports]
                assert [parts[part][way]["mrr"]["mean"] for way in ("on", "off")] == figures
                assert parts[part]["earns"]["mrr"]["mean"] == pytest.approx(figures[0] - figures[1], abs=1e-6)
        graph = table["splits"][split]["graph"]["parts"]
        assert graph["evidence_floor"]["on"]["mrr"] != graph["evidence_floor"]["off"]["mrr"]
        assert graph["time"]["earns"]["mrr"]["mean"] == 0.0
    page = (folder / "ablation.txt").read_text(encoding="utf-8")
    assert ended.stdout.endswith(page)

    again = kinrec(*words_for(run_dir))
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stderr.count("still holds, skipped") == 3
    assert again.stdout == page

    assert finished(run_dir, "--launch.threads=2") == {"reference", *PARTS}
    assert finished(run_dir, "--graph.schedule.lr=0.5") == set(), "a table never mixes recipes"


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    ended = kinrec("ablate", str(TINY), f"--run_dir={tmp_path / 'run'}", "--parts=nobody")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "no part 'nobody'; the parts are late_interaction, item_graphs" in ended.stderr
    assert list(tmp_path.iterdir()) == []
