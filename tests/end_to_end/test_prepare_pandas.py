"""The same pair prepared twice, by KinRec and by the pandas version that it is measured beside: the same rows, and the
same figures in the card."""

from pathlib import Path

import pytest

from bench.pairs import compare, generate, prepare, run_pandas
from pairs.synthetic_config import Compression


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["none", "zstd"])
def test_pandas_finds_the_same_samples_and_the_same_figures(tmp_path: Path, packing: Compression) -> None:
    plain = generate(tmp_path / "data", 60_000, packing="none")
    data = plain if packing == "none" else generate(tmp_path / "data", 60_000, packing="zstd")
    prepare(data, tmp_path / "run")
    run_pandas(plain, tmp_path / "pandas")
    compare(tmp_path / "run", tmp_path / "pandas")
