"""One thread a process: sums in another order round differently, and ranks are compared byte for byte."""

import os
from collections.abc import Iterator

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; spawned ranks and commands inherit it


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of checkpoints lies in a folder of the tests, not of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINREC_STATE", str(tmp_path_factory.mktemp("state")))
        yield
