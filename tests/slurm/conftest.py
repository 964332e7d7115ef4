"""The fixture `slurm`: the cluster that runs here, or a real one of the tests' own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.runs import kinrec
from tests.slurm.cluster import Cluster
from tests.slurm.daemons import Daemons, is_running, missing_programs
from tests.slurm.stopping import RECIPE
from tests.slurm.submitting import Whole, submit_whole


def need_programs() -> None:
    """Skip without SLURM's programs; in CI their lack is a failure."""
    missing = missing_programs()
    if missing:
        reason = f"no {', '.join(missing)} here: apt-get install slurm-wlm munge"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A SLURM with two nodes, both this machine. Its nodes' names need not resolve."""
    need_programs()
    cluster = Cluster()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="kinrec-slurm-") as folder:
        daemons = None
        if os.environ.get("KINREC_OWN_SLURM") or not is_running():
            daemons = Daemons(Path(folder))
            patch.setenv("SLURM_CONF", str(daemons.config))
        try:
            if daemons is not None:
                daemons.start()
            yield cluster
        finally:
            cluster.cancel_all()
            if daemons is not None:
                daemons.stop()


@pytest.fixture(scope="session")
def whole(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A whole run on two nodes through `kinrec submit`; read it, do not change it."""
    return submit_whole(slurm, tmp_path_factory.mktemp("submitted") / "run")


@pytest.fixture(scope="session")
def unstopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody stopped, on two ranks of one machine; read it, do not change it."""
    run_dir = tmp_path_factory.mktemp("unstopped") / "run"
    ended = kinrec("run", str(RECIPE), f"--run_dir={run_dir}", "--launch.nodes=1", "--launch.processes=2")
    assert ended.returncode == 0, ended.stderr[-3000:]
    return run_dir
