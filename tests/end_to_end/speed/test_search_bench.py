"""The bench of search prints what it says it does, on small keys."""

import json
from pathlib import Path

import pytest

from bench.retrieval import main
from tests.retrieval_runs import write_expected, write_run
from tests.unit.retrieval.test_neighbours import run

SMALL = ["--keys", "3000", "--dim", "64", "--queries", "40", "--repeats", "1", "--rank-keys", "200000", "--json"]


@pytest.mark.slow
def test_the_bench_measures_search_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, num_train_users=400)
    write_expected(tmp_path)
    run(tmp_path)
    main([*SMALL, "--run", str(tmp_path), "--nlist", "8", "--nprobe", "8", "--huge", "--huge-keys", "30000"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["ivf_recall_at_10"] == 1.0
    assert figures["hnsw_recall_at_10"] > 0.8
    ratios = figures["memory_per_rank_ratio"]
    assert ratios["4"] < ratios["2"] < ratios["1"] == 1.0
    assert figures["merge_64_shards_ms"] < 5 * figures["merge_2_shards_ms"]
    assert figures["past_ratio"] < figures["past_by_depth_ratio"]
    assert figures["huge"]["ranks"] == 2
    assert 0 < figures["single_query_ms"] <= figures["slowest_query_ms"]
    assert figures["flat_qps_ratio"] > 0


@pytest.mark.slow
def test_vectors_stand_in_for_a_runs(capsys: pytest.CaptureFixture[str]) -> None:
    main([*SMALL, "--nlist", "4", "--nprobe", "4"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["approximate_keys"] == 3000
    assert figures["ivf_recall_at_10"] == 1.0
    assert "single_query_ms" not in figures
