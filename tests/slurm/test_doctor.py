"""The doctor inside an allocation: its ranks start on every node, as a stage's would."""

import re
import sys
from pathlib import Path

import pytest

from tests.end_to_end.runs import TINY
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slow


def test_ranks_of_all_nodes_meet(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    doctor = (sys.executable, "-P", "-m", "launch.cli", "doctor", str(TINY))
    done = slurm.salloc(*doctor, f"--run_dir={run_dir}", "--launch.processes=1", nodes=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^pass  ranks +2 met: 1 on \S+, 1 on \S+$", done.stdout, flags=re.MULTILINE), done.stdout
    assert "one rank's lock keeps all others out" in done.stdout
    assert not run_dir.exists()
