"""A split judged in blocks is judged as a whole, and tables beside the main one may be of some users alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.ranked_lists import read_lists
from evaluation.systems.tuning import random_users
from pairs.tables import load_samples
from tests.evaluation_runs import write_run

CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20)


def judged(folder: Path, **changes: Any) -> dict[str, Any]:  # Any: values of a config
    write_run(folder)
    evaluate(EvaluationConfig(bootstrap_resamples=100, list_depth=20, **changes), run_dir=folder, seed=1)
    metrics: dict[str, Any] = json.loads((folder / "report" / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in {"timing", "settings"}}


@pytest.mark.parametrize("candidates", ["all", "named"])
def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, candidates: str) -> None:
    monkeypatch.setattr("evaluation.metrics.ranks.BATCH_CELLS", 200)  # a few samples a batch
    monkeypatch.setattr("evaluation.metrics.ranks.SAMPLES_AT_ONCE", 5)
    expected = judged(tmp_path / "whole", candidates=candidates)
    monkeypatch.setattr("evaluation.systems.blocks.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("evaluation.outputs.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("evaluation.ranked_lists.ROWS_A_GROUP", 4)
    assert judged(tmp_path / "blocks", candidates=candidates) == expected
    for path in (tmp_path / "whole" / "lists").glob("*.parquet"):
        whole, blocks = read_lists(path), read_lists(tmp_path / "blocks" / "lists" / path.name)
        assert np.array_equal(whole.items, blocks.items), path.name
        assert np.array_equal(whole.scores, blocks.scores), path.name
    assert (tmp_path / "whole" / "lists" / "kinrec_test.parquet").is_file()
    assert not (tmp_path / "blocks" / "report" / "parts").exists()


def test_the_other_way_may_be_that_of_some_users(tmp_path: Path) -> None:
    whole = judged(tmp_path / "whole")
    few = judged(tmp_path / "few", side_users=10)
    test = load_samples(tmp_path / "few", "test")
    asked = random_users(test, 10, seed=1)
    assert len(np.unique(asked.user)) == 10
    assert few["splits"]["test"]["other_filter"]["num_samples"] == len(asked) < len(test)
    assert whole["splits"]["test"]["other_filter"]["num_samples"] == len(test)
    for split in ("valid", "test"):
        assert few["splits"][split]["systems"] == whole["splits"][split]["systems"]
    popularity = few["splits"]["test"]["other_filter"]["systems"]["popularity"]["all"]
    ranks = judged_kept(tmp_path / "kept", asked.sample)
    assert popularity["hr@10"] == pytest.approx((ranks <= 10).mean(), abs=1e-6)
    report = (tmp_path / "few" / "report" / "report.md").read_text()
    assert f"history items kept in the ranking ({len(asked)} of {len(test)} samples)" in report
    assert "of 50 samples)" not in (tmp_path / "whole" / "report" / "report.md").read_text()


def judged_kept(folder: Path, sample: "np.typing.NDArray[np.int64]") -> "np.typing.NDArray[np.float64]":
    """Popularity's ranks of some samples where a run keeps the history in the ranking."""
    judged(folder, filter_history=False)
    table = pl.read_parquet(folder / "report" / "ranks_test.parquet").filter(pl.col("sample").is_in(sample.tolist()))
    return table["popularity"].fill_null(10**9).to_numpy().astype(np.float64)
