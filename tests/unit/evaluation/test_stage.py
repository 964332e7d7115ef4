"""Stage evaluate on a small run: what it writes, what it guarantees, what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.metrics.metrics import METRICS
from evaluation.ranked_lists import read_lists
from launch.artifacts import write_json
from launch.errors import InputError
from pairs.tables import load_pair, load_samples
from tests.evaluation_runs import write_run, write_system

CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20)
MADE_HERE = {"popularity", "markov", "item_cosine", "ridge", "text", "text_squares", "baseline_fusion", "fusion"}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    write_run(folder)
    evaluate(CONFIG, run_dir=folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def metrics(run_dir: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((run_dir / "report" / "metrics.json").read_text())
    return written


def test_metrics_json_has_the_layout_that_others_read(metrics: dict[str, Any]) -> None:
    assert {"pair", "splits", "retrieval", "out_of_domain", "timing"} <= set(metrics)
    assert metrics["retrieval"] == {"test": {"hit_rate": 0.25}}
    for split in ("valid", "test"):
        judged = metrics["splits"][split]
        assert judged["num_samples"] == 50
        assert set(judged["systems"]) == MADE_HERE | {"graph", "llm", "paper_refined", "kinrec"}
        for slices in judged["systems"].values():
            assert {"all", "X", "Y"} <= set(slices)
            assert set(slices["all"]) == {*METRICS, "ci95"}
            assert set(slices["all"]["ci95"]) == set(METRICS)


def test_kinrec_is_not_below_graph_nor_baseline_fusion_on_valid(metrics: dict[str, Any]) -> None:
    systems = metrics["splits"]["valid"]["systems"]
    assert not metrics["chosen"]["fusion"]["below_parts"]
    assert metrics["chosen"]["kinrec"] == {"by": "fusion"}, "80 users are too few for a list ranker"
    for other in ("graph", "baseline_fusion"):
        for name in ("hr@10", "mrr"):
            assert systems["kinrec"]["all"][name] >= systems[other]["all"][name]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_final_list_is_in_domain_full_and_without_history(run_dir: Path, split: Any) -> None:
    items, samples = load_pair(run_dir).items, load_samples(run_dir, split)
    lists = read_lists(run_dir / "lists" / f"kinrec_{split}.parquet").of_samples(samples.sample)
    assert lists.lengths.tolist() == [CONFIG.list_depth] * len(samples)
    assert (items.domain[lists.items] == samples.domain[:, None]).all()
    for row in range(len(samples)):
        assert not set(lists.items[row].tolist()) & set(samples.history_of(row).tolist())


def test_metrics_of_the_final_list_are_those_of_the_report(run_dir: Path, metrics: dict[str, Any]) -> None:
    samples = load_samples(run_dir, "test")
    lists = read_lists(run_dir / "lists" / "kinrec_test.parquet").of_samples(samples.sample)
    hit_rate = (lists.items[:, :10] == samples.target[:, None]).any(axis=1).mean()
    assert metrics["splits"]["test"]["systems"]["kinrec"]["all"]["hr@10"] == pytest.approx(hit_rate)


def test_out_of_domain_rates_come_from_the_texts_and_from_the_lists(run_dir: Path, metrics: dict[str, Any]) -> None:
    assert metrics["out_of_domain"]["kinrec"] == {"valid": 0.0, "test": 0.0}
    assert 0.02 < metrics["out_of_domain"]["llm_raw"]["test"] < 0.25


def test_both_ways_of_filtering_are_reported(metrics: dict[str, Any], tmp_path: Path) -> None:
    write_run(tmp_path)
    kept = evaluate(EvaluationConfig(bootstrap_resamples=100, filter_history=False), run_dir=tmp_path, seed=1)
    other = metrics["splits"]["test"]["other_filter"]
    assert other["filter_history"] is False
    systems = kept["splits"]["test"]["systems"]
    assert other["systems"]["popularity"]["all"] == systems["popularity"]["all"]
    assert other["systems"]["graph"]["all"] == systems["graph"]["all"]


def test_a_second_evaluation_writes_the_same_files(run_dir: Path, tmp_path: Path) -> None:
    write_run(tmp_path)
    evaluate(CONFIG, run_dir=tmp_path, seed=1)
    names = sorted(path.relative_to(run_dir) for path in run_dir.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    differing = {str(name) for name in names if (run_dir / name).read_bytes() != (tmp_path / name).read_bytes()}
    assert differing <= {"report/metrics.json", "report/report.html"}, "only what tells the timing may differ"
    first, second = (
        (folder / "report" / "report.html").read_text().split(">Timing</h2>")[0] for folder in (run_dir, tmp_path)
    )
    assert first == second


def test_the_report_escapes_what_it_did_not_write(run_dir: Path) -> None:
    report = (run_dir / "report" / "report.md").read_text()
    assert report.startswith("# tiny \\| &lt;pair&gt;: report\n")
    assert "<pair>" not in report
    assert "<pair>" not in (run_dir / "report" / "report.html").read_text()
    tables = [line for line in report.splitlines() if line.startswith("|")]
    assert len(tables) > 60
    assert all(line.endswith(" |") for line in tables)


def test_stages_that_have_not_run_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path, systems=())
    with caplog.at_level("INFO"):
        report = evaluate(CONFIG, run_dir=tmp_path, seed=1)
    assert set(report["splits"]["test"]["systems"]) == MADE_HERE | {"kinrec"}
    assert "no lists of graph" in caplog.text
    assert report["chosen"]["fusion"]["weights"] == {"baseline_fusion": 1.0}
    systems = report["splits"]["test"]["systems"]
    assert systems["kinrec"] == systems["baseline_fusion"]


def test_lists_of_a_stage_that_was_stopped_are_not_read_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path, systems=("graph", "llm"))
    write_json(tmp_path / "manifests" / "generate.started.json", {"config": {}, "seed": 1, "inputs": {}})
    systems = evaluate(CONFIG, run_dir=tmp_path, seed=1)["splits"]["test"]["systems"]
    assert "llm" not in systems
    assert "graph" in systems
    assert "no lists of llm (stage generate is stopped" in caplog.text


def test_an_llm_that_answered_some_samples_is_also_judged_on_those_alone(tmp_path: Path) -> None:
    write_run(tmp_path, systems=("graph",))
    write_system(tmp_path, "llm", random=np.random.default_rng(3), keep=20)
    judged = evaluate(CONFIG, run_dir=tmp_path, seed=1)["splits"]["test"]
    assert judged["slices"]["llm_answered"] == 20
    answered, everything = (judged["systems"]["llm"][name]["hr@10"] for name in ("llm_answered", "all"))
    assert everything == pytest.approx(answered * 20 / 50)
    assert "The LLM answered 20 of 50 samples" in (tmp_path / "report" / "report.md").read_text()


def test_graph_lists_without_a_sample_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, systems=("llm",))
    write_system(tmp_path, "graph", random=np.random.default_rng(3), keep=20)
    with pytest.raises(InputError, match=r"graph_valid\.parquet: no list for sample \d+ \(30 of 50 missing\)"):
        evaluate(CONFIG, run_dir=tmp_path, seed=1)


def test_a_config_refuses_with_its_dotted_name() -> None:
    with pytest.raises(ValueError, match=r"evaluation\.list_depth must be at least 20, got 5"):
        EvaluationConfig(list_depth=5)


def test_large_splits_are_cut_to_whole_users(tmp_path: Path) -> None:
    write_run(tmp_path)
    config = EvaluationConfig(bootstrap_resamples=100, max_samples=21)
    judged = evaluate(config, run_dir=tmp_path, seed=1)["splits"]["test"]
    assert (judged["num_samples"], judged["num_users"]) == (20, 10)
