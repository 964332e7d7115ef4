"""The same pair prepared twice, by KinRec and by the pandas version that it is measured beside: the same rows, and the
same figures in the card."""

import json
from pathlib import Path

import pytest

from bench.pairs import compare, generate, label, main, prepare, run_pandas
from pairs.synthetic_config import Compression


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["none", "zstd"])
def test_pandas_finds_the_same_samples_and_the_same_figures(tmp_path: Path, packing: Compression) -> None:
    plain = generate(tmp_path / "data", 60_000, packing="none")
    data = plain if packing == "none" else generate(tmp_path / "data", 60_000, packing="zstd")
    prepare(data, tmp_path / "run")
    run_pandas(plain, tmp_path / "pandas")
    compare(tmp_path / "run", tmp_path / "pandas")


@pytest.mark.slow
def test_benchmark_prints_its_figures_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--large", "40000", "--small", "20000", "--pandas", "20000", "--data", str(tmp_path), "--json"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert label(20_000_000) == "20m"
    assert {
        "seconds_0.04m", "peak_gib_0.04m", "time_ratio_0.04m_0.02m", "memory_ratio_0.04m_0.02m", "pandas_speedup",
    } < set(figures)  # fmt: skip
    assert 0 < figures["peak_gib_0.04m"] < figures["limit_gib"]
