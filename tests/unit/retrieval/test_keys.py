"""Keys in their file are those that a train table gives."""

from pathlib import Path

import numpy as np
import pytest

from launch.distributed import ALONE
from launch.errors import InputError
from pairs.tables import load_samples
from retrieval.keys import Keys, run_keys, shared_keys, unique_histories
from tests.retrieval_runs import write_run


def equal(first: Keys, second: Keys) -> bool:
    columns = [(first.sample, second.sample), (first.row, second.row), (first.user, second.user)]
    if first.last_time is None or second.last_time is None:
        return first.last_time is second.last_time and all(np.array_equal(*column) for column in columns)
    return all(np.array_equal(*column) for column in [*columns, (first.last_time, second.last_time)])


@pytest.mark.parametrize("timed", [False, True])
def test_keys_come_back_from_their_file(tmp_path: Path, timed: bool) -> None:
    write_run(tmp_path, timed=timed)
    train = load_samples(tmp_path, "train")
    assert equal(run_keys(tmp_path, train), unique_histories(train)), "without a file they are made"
    assert equal(shared_keys(tmp_path, train, ALONE), unique_histories(train))
    assert equal(run_keys(tmp_path, train.take(np.zeros(0, np.int64))), unique_histories(train)), "they are read"


def test_a_file_that_is_cut_is_refused_in_one_line(tmp_path: Path) -> None:
    write_run(tmp_path, timed=False)
    train = load_samples(tmp_path, "train")
    shared_keys(tmp_path, train, ALONE)
    path = tmp_path / "neighbours" / "keys.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"keys\.safetensors: damaged: .*; run `kinrec retrieve` again"):
        run_keys(tmp_path, train)
