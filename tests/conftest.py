"""One thread a process: sums in another order round differently, and ranks are compared byte for byte."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.runs import TINY, kinrec

SHARED = "KINREC_TESTS_SHARED"
"""Names a folder of all parts of `make test`: whoever comes first leaves there what the others would make as well."""
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; spawned ranks and commands inherit it


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of checkpoints lies in a folder of the tests, not of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINREC_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tiny.yaml, two ranks on this machine; read it, do not change it."""
    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    shared = os.environ.get(SHARED)
    if shared is None:
        make_tiny_run(run_dir)
        return run_dir
    made = Path(shared) / "tiny"
    with (Path(shared) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            make_tiny_run(made.with_name("partial")).rename(made)
    return shutil.copytree(made, run_dir)


def make_tiny_run(run_dir: Path) -> Path:
    """Run tiny.yaml to its end in `run_dir`."""
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}", timeout=1500)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return run_dir
