"""One copy of the companions serves all ranks, and is that of one rank."""

from pathlib import Path

import pytest

from launch.artifacts import sha256_file
from tests.graph_runs import ALONE
from tests.ranks import run_ranks
from tests.unit.graph.companions.test_kept import keep, samples


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_read_what_one_rank_would_have_counted(tmp_path: Path, size: int) -> None:
    alone = keep(ALONE, tmp_path / "alone", samples())
    assert run_ranks(keep, size, tmp_path / "ranks", samples()) == [alone] * size
    digests = [{path.name: sha256_file(path) for path in (tmp_path / name).iterdir()} for name in ("alone", "ranks")]
    assert digests[0] == digests[1]
