"""One small run that the end-to-end tests share."""

from pathlib import Path

import pytest

from tests.end_to_end.runs import TINY, kinrec


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tiny.yaml; read it, do not change it."""
    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}")
    assert ended.returncode == 0, ended.stderr[-4000:]
    return run_dir
